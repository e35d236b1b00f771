"""Find and open the files of a field: DeepR's layout, or any file, folder or pattern."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import xarray as xr

from xdeepr import cf
from xdeepr.deepr_compat.configuration.data import FieldsConfiguration
from xdeepr.errors import AxisError, DataUnavailableError, GridError, VariableError
from xdeepr.io import GRIB, NETCDF, ZARR, open_file

_DEEPR_NAME = re.compile(r"^[^_]+_[^_]+_\d{6}\w*_[^_]+\.nc$")

# What a static field is called: CF standard names, and names of variables.
_STATICS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "land_mask_location": (
        frozenset({"land_binary_mask", "land_area_fraction"}),
        frozenset({"lsm", "landmask", "land_mask", "land_sea_mask", "land_binary_mask", "mask"}),
    ),
    "orography_location": (
        frozenset({"surface_altitude", "geopotential", "geopotential_height"}),
        frozenset({"z", "orog", "orography", "height", "hsurf", "elevation", "topo", "altitude"}),
    ),
}


@dataclass(frozen=True)
class Found:
    """Files of one variable, whether DeepR's layout named them, and the months that have none."""

    paths: tuple[Path, ...]
    by_name: bool = False
    missing: tuple[str, ...] = ()


def find_files(
    fields: FieldsConfiguration, variable: str, months: frozenset[str] | None = None
) -> Found:
    """Find the files of a variable.

    A folder in DeepR's layout holds a file ``{variable}_{data_name}_{YYYYMM}_{resolution}.nc`` for
    each variable and month. Of another folder all files that can be read are taken.

    Parameters
    ----------
    fields : FieldsConfiguration
        Where they are: a folder, a file, or a pattern such as ``/data/t2m_*.nc``.
    variable : str
        Name of the variable.
    months : frozenset of str, optional
        Months wanted, as YYYYMM; for DeepR's layout, whose names tell the month.

    Returns
    -------
    Found

    Raises
    ------
    DataUnavailableError
        If there is no file.
    """
    location = str(fields.location)
    path = Path(location)
    if glob.has_magic(location) and not path.exists():
        found = sorted(map(Path, glob.glob(location, recursive=True)))
        if not found:
            raise DataUnavailableError(f"no file matches {location}: check folder and pattern.")
        return Found(tuple(found))
    if not path.exists():
        raise DataUnavailableError(f"{location} does not exist: check the name and the folder.")
    if path.is_file() or path.suffix in ZARR:
        return Found((path,))
    inside = sorted(path.iterdir())
    named = [file for file in inside if _DEEPR_NAME.match(file.name)]
    if named and fields.data_name and fields.spatial_resolution:
        return _deepr_files(fields, variable, named, months)
    readable = [file for file in inside if file.suffix in NETCDF + ZARR + GRIB]
    if not readable:
        raise DataUnavailableError(
            f"{location} holds no netCDF, zarr or GRIB file ({', '.join(NETCDF + ZARR + GRIB)})."
        )
    return Found(tuple(readable))


def _deepr_files(
    fields: FieldsConfiguration,
    variable: str,
    named: Sequence[Path],
    months: frozenset[str] | None,
) -> Found:
    """Return the files of a variable in DeepR's layout."""
    parts = map(re.escape, (variable, str(fields.data_name), str(fields.spatial_resolution)))
    pattern = re.compile(r"^{}_{}_(\d{{6}})\w*_{}\.nc$".format(*parts))
    months_of = {file: match[1] for file in named if (match := pattern.match(file.name))}
    wanted = [file for file, month in months_of.items() if months is None or month in months]
    name = f"{variable}_{fields.data_name}_YYYYMM_{fields.spatial_resolution}.nc"
    if not months_of:
        near = difflib.get_close_matches(name, [file.name for file in named], n=1, cutoff=0.0)
        raise DataUnavailableError(
            f"{fields.location} holds no file {name}; nearest: {near[0]}. Check variable, data_name"
            " and spatial_resolution."
        )
    if not wanted:
        have = sorted(months_of.values())
        raise DataUnavailableError(
            f"{fields.location} holds {name} of {have[0]} to {have[-1]}, but none of the months"
            " that the splits ask for."
        )
    gaps = sorted(months - set(months_of.values())) if months is not None else []
    return Found(tuple(wanted), True, tuple(gaps))


def open_fields(
    fields: FieldsConfiguration,
    names: Sequence[str],
    months: frozenset[str] | None = None,
    *,
    role: str = "data_configuration",
) -> tuple[xr.Dataset, tuple[str, ...]]:
    """Open the fields of a configuration lazily.

    Parameters
    ----------
    fields : FieldsConfiguration
        Where they are.
    names : sequence of str
        Names of the variables.
    months : frozenset of str, optional
        Months wanted, see :func:`find_files`.
    role : str
        Where the section stands, for messages.

    Returns
    -------
    xarray.Dataset
        Dask-backed, at the times that all variables have.
    tuple of str
        What the user should know: months without a file, keys without effect.

    Raises
    ------
    DataUnavailableError
        If files are missing, cannot be read, or do not fit together.
    VariableError
        If no file holds a variable.
    GridError
        If the variables are on different grids.
    """
    notes, opened = [], []
    for name in names:
        found = find_files(fields, name, months)
        opened.append(_open_variable(found.paths, name))
        if found.missing:
            notes.append(
                f"{name}: {len(found.missing)} of {len(months or ())} months have no file in"
                f" {fields.location}, the first is {found.missing[0]}"
            )
        if not found.by_name:
            notes += [
                f"{role}.{key} has no effect: {fields.location} is no folder in the layout of DeepR"
                for key in ("data_name", "spatial_resolution")
                if getattr(fields, key) is not None
            ]
    first = opened[0]
    for name, other in zip(names[1:], opened[1:], strict=True):
        axes = cf.find_axes(first)
        for dim in (axes.y, axes.x):
            if dim not in other.indexes or not first.indexes[dim].equals(other.indexes[dim]):
                raise GridError(
                    f"{name!r} is on another grid than {names[0]!r} (along {dim!r}): bring the"
                    " fields to one grid first."
                )
    merged = xr.merge(opened, join="inner", compat="override", combine_attrs="drop_conflicts")
    return merged, tuple(dict.fromkeys(notes))


def _open_variable(paths: Sequence[Path], name: str) -> xr.Dataset:
    """Open one variable of one or more files as one dataset along time."""
    parts: list[xr.Dataset] = []
    seen: set[str] = set()
    for path in paths:
        ds = open_file(path)
        if name in ds.data_vars:
            parts.append(_only(ds, name))
        seen.update(map(str, ds.data_vars))
    if not parts:
        near = difflib.get_close_matches(name, seen, n=1, cutoff=0.5)
        raise VariableError(
            f"{paths[0]}{' and the others' if len(paths) > 1 else ''} hold no variable {name!r},"
            f" but {', '.join(sorted(seen))}{f'; nearest: {near[0]}' if near else ''}."
        )
    if len(parts) == 1:
        return parts[0]
    return joined(parts, f"of {name!r} ({paths[0].name} to {paths[-1].name})")


def joined(parts: Sequence[xr.Dataset], what: str) -> xr.Dataset:
    """Join files along time.

    Parameters
    ----------
    parts : sequence of xarray.Dataset
        On one grid, each time once.
    what : str
        What they hold, for the message.

    Raises
    ------
    DataUnavailableError
        If they do not fit together.
    """
    options: dict[str, Any] = {
        "join": "exact", "combine_attrs": "override", "coords": "minimal", "compat": "override",
        "data_vars": "minimal",
    }  # fmt: skip
    try:
        return cast("xr.Dataset", xr.combine_by_coords(parts, **options))
    except ValueError as error:
        raise DataUnavailableError(
            f"the {len(parts)} files {what} cannot be joined ({error}): do they hold the same grid,"
            " and each time once?"
        ) from None


def _only(ds: xr.Dataset, name: str) -> xr.Dataset:
    """Return one variable with the grid mapping and the bounds of the horizontal axes."""
    axes = cf.find_axes(ds)
    support = [ds[name].attrs.get("grid_mapping")]
    support += [ds[dim].attrs.get("bounds") for dim in (axes.y, axes.x)]
    return ds[[name, *(key for key in support if key in ds.data_vars)]]


def open_static(location: str, key: str) -> xr.DataArray:
    """Open a land–sea mask or an orography.

    Parameters
    ----------
    location : str
        The file.
    key : {"land_mask_location", "orography_location"}
        Which of them.

    Returns
    -------
    xarray.DataArray
        Without time: a file with several times gives their mean, as in DeepR.

    Raises
    ------
    VariableError
        If it is not clear which variable is meant.
    """
    ds = open_file(location)
    axes = cf.find_axes(ds)
    candidates = cf.spatial_variables(ds, axes)
    standard_names, names = _STATICS[key]
    found = [n for n in candidates if ds[n].attrs.get("standard_name") in standard_names]
    found = found or [n for n in candidates if n.lower() in names]
    found = found or (candidates if len(candidates) == 1 else [])
    if len(found) != 1:
        raise VariableError(
            f"{key}: {location} holds {', '.join(found or candidates) or 'no field'}; it is not"
            f" clear which is meant. Keep one, or give it the standard_name"
            f" {' or '.join(sorted(standard_names))}."
        )
    field = ds[found[0]]
    if axes.time in field.dims:
        field = field.mean(axes.time, keep_attrs=True)
    extra = [str(dim) for dim in field.dims if dim not in (axes.y, axes.x)]
    if any(field.sizes[dim] > 1 for dim in extra):
        raise AxisError(f"{key}: {found[0]!r} has the further dimension {extra[0]!r}.")
    return field.squeeze(extra, drop=True).reset_coords(drop=True)
