"""Find and open the files of a field: DeepR's layout, or any file, folder or pattern."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import xarray as xr

from xdeepr import cf
from xdeepr.checks import nearest
from xdeepr.deepr_compat.configuration.schema_data import FieldsConfiguration
from xdeepr.deepr_compat.configuration.section import note
from xdeepr.errors import AxisError, DataUnavailableError, GridError, VariableError
from xdeepr.io import GRIB, NETCDF, ZARR, open_file

_DEEPR_NAME = re.compile(r"^[^_]+_[^_]+_\d{6}\w*_[^_]+\.nc$")

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
"""Key -> CF standard names of the static field, and usual names of variables."""


def find_files(location: str) -> list[Path]:
    """Return the files that match a pattern, one file, or those of a folder that can be read."""
    path = Path(location)
    if glob.has_magic(location) and not path.exists():
        matching = sorted(map(Path, glob.glob(location, recursive=True)))
        if not matching:
            raise DataUnavailableError(f"no file matches {location}: check folder and pattern.")
        return matching
    if not path.exists():
        raise DataUnavailableError(f"{location} does not exist: check the name and the folder.")
    if path.is_file() or path.suffix in ZARR:
        return [path]
    kinds = NETCDF + ZARR + GRIB
    readable = [file for file in sorted(path.iterdir()) if file.suffix in kinds]
    if not readable:
        raise DataUnavailableError(
            f"{location} holds no netCDF, zarr or GRIB file ({', '.join(kinds)})."
        )
    return readable


def field_files(
    fields: FieldsConfiguration,
    variable: str,
    months: frozenset[str] | None = None,
    role: str = "data_configuration",
) -> list[Path]:
    """Return the files of a variable in some months (YYYYMM).

    A folder in DeepR's layout holds a file ``{variable}_{data_name}_{YYYYMM}_{resolution}.nc`` for
    each variable and month. Elsewhere all files are taken; a note says that the names do not count.
    """
    folder, keys = Path(str(fields.location)), ("data_name", "spatial_resolution")
    named = [f for f in folder.glob("*.nc") if _DEEPR_NAME.match(f.name)] if folder.is_dir() else []
    if named and all(getattr(fields, key) for key in keys):
        return _deepr_files(fields, variable, sorted(named), months)
    for key in keys:
        if getattr(fields, key) is not None:
            note(f"{role}.{key} has no effect: {folder} is no folder in the layout of DeepR")
    return find_files(str(fields.location))


def _deepr_files(
    fields: FieldsConfiguration, variable: str, named: Sequence[Path], months: frozenset[str] | None
) -> list[Path]:
    """Return the files of a variable in DeepR's layout; a note names months without one."""
    parts = map(re.escape, (variable, str(fields.data_name), str(fields.spatial_resolution)))
    pattern = re.compile(r"^{}_{}_(\d{{6}})\w*_{}\.nc$".format(*parts))
    months_of = {file: match[1] for file in named if (match := pattern.match(file.name))}
    name = f"{variable}_{fields.data_name}_YYYYMM_{fields.spatial_resolution}.nc"
    if not months_of:
        near = nearest(name, [file.name for file in named], count=1)[0]
        raise DataUnavailableError(
            f"{fields.location} holds no file {name}; nearest: {near}. Check variable, data_name"
            " and spatial_resolution."
        )
    wanted = [file for file, month in months_of.items() if months is None or month in months]
    have = sorted(months_of.values())
    if not wanted:
        raise DataUnavailableError(
            f"{fields.location} holds {name} of {have[0]} to {have[-1]}, but none of the months"
            " that the splits ask for."
        )
    gaps = sorted((months or frozenset()) - set(have))
    if gaps:
        note(
            f"{variable}: {len(gaps)} of {len(months or ())} months have no file in"
            f" {fields.location}, the first is {gaps[0]}"
        )
    return wanted


def open_fields(
    fields: FieldsConfiguration,
    names: Sequence[str],
    months: frozenset[str] | None = None,
    *,
    role: str = "data_configuration",
) -> xr.Dataset:
    """Open the fields of a section lazily, at the times that all variables have."""
    opened = [_open_variable(field_files(fields, name, months, role), name) for name in names]
    first = opened[0]
    for name, other in zip(names[1:], opened[1:], strict=True):
        axes = cf.find_axes(first)
        for dim in (axes.y, axes.x):
            if dim not in other.indexes or not first.indexes[dim].equals(other.indexes[dim]):
                raise GridError(
                    f"{name!r} is on another grid than {names[0]!r} (along {dim!r}): bring the"
                    " fields to one grid first."
                )
    return xr.merge(opened, join="inner", compat="override", combine_attrs="drop_conflicts")


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
        near = f"; nearest: {nearest(name, seen, count=1)[0]}" if seen else ""
        raise VariableError(
            f"{paths[0]}{' and the others' if len(paths) > 1 else ''} hold no variable {name!r},"
            f" but {', '.join(sorted(seen)) or 'none'}{near}."
        )
    return joined(parts, f"of {name!r} ({paths[0].name} to {paths[-1].name})")


def open_all(location: str) -> xr.Dataset:
    """Open all files of a place as one dataset along time."""
    return joined([open_file(path) for path in find_files(location)], f"in {location}")


def joined(parts: Sequence[xr.Dataset], origin: str) -> xr.Dataset:
    """Join the datasets of files along time: on one grid, each time once."""
    if len(parts) == 1:
        return parts[0]
    options: dict[str, Any] = {
        "join": "exact", "combine_attrs": "override", "coords": "minimal", "compat": "override",
        "data_vars": "minimal",
    }  # fmt: skip
    try:
        return cast("xr.Dataset", xr.combine_by_coords(parts, **options))
    except ValueError as error:
        raise DataUnavailableError(
            f"the {len(parts)} files {origin} cannot be joined ({error}): do they hold the same"
            " grid, and each time once?"
        ) from None


def _only(ds: xr.Dataset, name: str) -> xr.Dataset:
    """Return one variable with the grid mapping and the bounds of the horizontal axes."""
    axes = cf.find_axes(ds)
    support = [ds[name].attrs.get("grid_mapping")]
    support += [ds[dim].attrs.get("bounds") for dim in (axes.y, axes.x)]
    return ds[[name, *(key for key in support if key in ds.data_vars)]]


def open_static(location: str, key: str) -> xr.DataArray:
    """Open a static field by the key that names its file: the mean of its times, as in DeepR."""
    ds = open_file(location)
    axes = cf.find_axes(ds)
    candidates = cf.spatial_variables(ds, axes)
    standard_names, names = _STATICS[key]
    known = [n for n in candidates if ds[n].attrs.get("standard_name") in standard_names]
    known = known or [n for n in candidates if n.lower() in names]
    known = known or (candidates if len(candidates) == 1 else [])
    if len(known) != 1:
        raise VariableError(
            f"{key}: {location} holds {', '.join(known or candidates) or 'no field'}; it is not"
            f" clear which is meant. Keep one, or give it the standard_name"
            f" {' or '.join(sorted(standard_names))}."
        )
    field = ds[known[0]]
    if axes.time in field.dims:
        field = field.mean(axes.time, keep_attrs=True)
    extra = [str(dim) for dim in field.dims if dim not in (axes.y, axes.x)]
    if any(field.sizes[dim] > 1 for dim in extra):
        raise AxisError(f"{key}: {field.name!r} has the further dimension {extra[0]!r}.")
    return field.squeeze(extra, drop=True).reset_coords(drop=True)
