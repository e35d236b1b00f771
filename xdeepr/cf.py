"""Find variables by CF criteria, check and convert units, write the history."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from xdeepr._version import __version__
from xdeepr.axes import (
    LATITUDE_UNITS,
    LONGITUDE_UNITS,
    Axes,
    check_time,
    find_axes,
    folded_pairs,
    geographic_kind,
    holds_times,
)
from xdeepr.errors import UnitsError, VariableError

__all__ = [
    "LATITUDE_UNITS",
    "LONGITUDE_UNITS",
    "Axes",
    "append_history",
    "as_dataset",
    "check_time",
    "convert_units",
    "find_axes",
    "history_line",
    "holds_times",
    "lasting_attrs",
    "select_variable",
    "spatial_variables",
    "units_of",
    "without_fill_values",
]

_UNIT_SPELLINGS = {
    "(0 - 1)": "1",
    "": "1",
    "~": "1",
    "dimensionless": "1",
    "fraction": "1",
    "degree_celsius": "degC",
    "degrees_celsius": "degC",
    "deg c": "degC",
    "degc": "degC",
    "degrees_kelvin": "K",
}

_TEXTS = (
    "units",
    "standard_name",
    "axis",
    "bounds",
    "climatology",
    "grid_mapping",
    "coordinates",
    "cell_methods",
    "calendar",
)
"""Attributes that are looked at and have to be text; a number is read as its text."""

_LONGEST_UNITS = 200
"""More characters are no units."""

_SUPERSCRIPTS = re.compile("[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_PLAIN_DIGITS = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")
_SMALL_POWER = re.compile(
    r"\*\*(?:[-+]?\d{1,2}|\([-+]?\d{1,2}\)|[-+]?\d?\.\d{1,3}|\([-+]?\d?\.\d{1,3}\))"
    r"(?![\d.(]|\*\*|[eE]\d)"
)
"""A power with an exponent of two digits, and no power of it."""

_NETCDF_FILL = 9.969209968386869e36
"""What the netCDF library writes where nothing was written, for floats and doubles."""

# they describe the numbers or the grid of the input file, not of the result
_STALE_ATTRS = frozenset(
    [
        "_FillValue",
        "missing_value",
        "scale_factor",
        "add_offset",
        "valid_range",
        "valid_min",
        "valid_max",
        "actual_range",
        "grid_mapping",
        "coordinates",
        "ancillary_variables",
        "cell_measures",
    ]
)


def as_dataset(obj: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Return a dataset; a DataArray without a name is called "field".

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        A dataset is returned as it is, but for 2-D latitudes and longitudes among its data
        variables, which become coordinates.

    Raises
    ------
    VariableError
        If an attribute that CF wants as text is an array, or a scale factor no number.
    """
    _check_attrs(obj)
    if isinstance(obj, xr.Dataset):
        folded = {name for names in folded_pairs(obj).values() for name in names}
        hidden = sorted(folded & set(map(str, obj.data_vars)))
        return obj.set_coords(hidden) if hidden else obj
    return obj.to_dataset(name=obj.name if obj.name is not None else "field")


def _check_attrs(obj: xr.DataArray | xr.Dataset) -> None:
    """Refuse attributes of a kind that would fail far from here, inside another library."""
    if isinstance(obj, xr.Dataset):
        variables: dict[Any, Any] = dict(obj.variables)
    else:
        variables = {**obj.coords, obj.name: obj}
    for name, variable in variables.items():
        for key in _TEXTS:
            value = variable.attrs.get(key, variable.encoding.get(key))
            if isinstance(value, np.ndarray | list | tuple):
                raise VariableError(
                    f"{name!r} has the attribute {key} with {len(value)} values where a text"
                    f" belongs: correct it, for example del ds[{name!r}].attrs[{key!r}]."
                )
        for key in ("scale_factor", "add_offset"):
            value = variable.encoding.get(key, 1.0)
            if not np.issubdtype(np.asarray(value).dtype, np.number) or np.size(value) != 1:
                raise VariableError(
                    f"{name!r} was stored with the {key} {str(value)[:100]!r}, which is no number:"
                    " the file is damaged; mend the attribute, or write the file again."
                )


def spatial_variables(ds: xr.Dataset, axes: Axes) -> list[str]:
    """Return the names of the data variables that have both horizontal dimensions."""
    bounds = {v.attrs.get("bounds", v.encoding.get("bounds")) for v in ds.variables.values()}
    return [
        str(name)
        for name, da in ds.data_vars.items()
        if {axes.y, axes.x} <= set(da.dims)
        and name not in bounds
        and da.dtype.kind in "biuf"  # masks are numbers too; texts and dates are not
        and geographic_kind(str(name), da) is None  # 2-D latitudes that are no coordinates
        and "grid_mapping_name" not in da.attrs  # ds.where makes fields of them
    ]


def select_variable(
    ds: xr.Dataset,
    *,
    name: str | None = None,
    standard_name: str | None = None,
    role: str = "predictor",
) -> str:
    """Return the variable that is meant.

    Parameters
    ----------
    ds : xarray.Dataset
        Where to look.
    name, standard_name : str, optional
        What to look for: first by name, then by standard name; otherwise the only candidate.
    role : str
        What it is, for the message.

    Raises
    ------
    VariableError
        If there is none, or more than one candidate.
    """
    names = spatial_variables(ds, find_axes(ds))
    if name in names:
        return str(name)
    candidates = names
    if standard_name is not None:
        same = [n for n in names if ds[n].attrs.get("standard_name") == standard_name]
        stated_others = [n for n in names if "standard_name" in ds[n].attrs and n not in same]
        candidates = same or [n for n in names if n not in stated_others]
    if len(candidates) == 1:
        return candidates[0]
    wanted = f" {name!r}" if name else ""
    if not candidates:
        raise VariableError(
            f"{role}{wanted} not found; there are: {', '.join(names) or 'no gridded variables'}."
            f" Rename the variable that is meant, or set its standard_name."
        )
    raise VariableError(
        f"{role}{wanted} is ambiguous; candidates: {', '.join(candidates)}. Select the one that is"
        f" meant, for example ds[[{candidates[0]!r}]]."
    )


def units_of(da: xr.DataArray) -> str:
    """Return the units of a field in a spelling that pint understands.

    Raises
    ------
    UnitsError
        If units are missing or unknown.
    """
    if "units" not in da.attrs:
        raise UnitsError(
            f"{da.name!r} has no units: set them, for example ds[{da.name!r}].attrs['units'] = 'K',"
            f" or leave the variable out with ds.drop_vars({da.name!r})."
        )
    stated = str(da.attrs["units"]).strip()
    spelled = _UNIT_SPELLINGS.get(stated.lower(), stated)
    if spelled.isupper() and spelled.isalpha() and len(spelled) > 4:
        spelled = spelled.lower()  # names, unlike symbols, are the same in any case (UDUNITS)
    registry = _registry()
    try:
        _check_powers(spelled)
        registry.parse_units(spelled)
    except Exception as error:  # pint raises many kinds for text that is no unit
        stated = stated if len(stated) <= 200 else f"{stated[:200]}…"
        raise UnitsError(
            f"{da.name!r} has the units {stated!r}, which are not known ({error}): correct"
            f" ds[{da.name!r}].attrs['units'], for example 'K', 'm s-1' or 'kg m-2 s-1'."
        ) from None
    return spelled


def _check_powers(units: str) -> None:
    """Refuse text that pint would compute with for ever, such as 9**9**9**9.

    Raises
    ------
    ValueError
        If the text is too long, a power has a large exponent, or there is a power of a power.
    """
    if len(units) > _LONGEST_UNITS:
        raise ValueError(f"{len(units):,} characters are too many")
    text = _SUPERSCRIPTS.sub(lambda run: f"**{run[0].translate(_PLAIN_DIGITS)} ", units)
    text = re.sub(r"\s+", "", text.replace("^", "**"))
    powers = text.count("**")
    if powers != len(_SMALL_POWER.findall(text)) or (powers > 1 and ")**" in text):
        raise ValueError("its powers are too large")


def _registry() -> Any:
    """Return pint's units in the spellings of CF; what cannot be imported is no fault of units."""
    from cf_xarray.units import units as registry

    return registry


def convert_units(da: xr.DataArray, units: str) -> xr.DataArray:
    """Convert a field, lazily.

    Water amounts convert between depth and mass (1 mm = 1 kg m-2).

    Parameters
    ----------
    da : xarray.DataArray
        A field with the attribute ``units``.
    units : str
        Units wanted.

    Returns
    -------
    xarray.DataArray
        float32 stays float32; other numbers become float64.

    Raises
    ------
    UnitsError
        If units are missing or unknown, or of another physical dimension.
    """
    found = units_of(da)
    if found == units:
        return da.assign_attrs(units=units)
    ours, theirs = (_registry().parse_units(text) for text in (found, units))
    if ours == theirs:
        return da.assign_attrs(units=units)
    density = 1.0
    if ours.dimensionality != theirs.dimensionality:
        density = _water_density(ours, theirs)
    if not density:
        raise UnitsError(
            f"{da.name!r} has the units {found!r}, which do not convert to {units!r}: give the"
            f" quantity that is wanted, or correct ds[{da.name!r}].attrs['units']."
        )
    offset = _convert(0.0, ours, theirs, density)
    slope = _convert(1.0, ours, theirs, density) - offset
    kind = da.dtype if np.issubdtype(da.dtype, np.floating) else np.dtype("float64")
    out = da.astype(kind) * kind.type(slope) + kind.type(offset)
    return out.assign_attrs({**da.attrs, "units": units})


def _water_density(ours: Any, theirs: Any) -> float:
    """Return 1000 kg m-3 to the power that makes the dimensions agree, or 0 if none does."""
    from cf_xarray.units import units as registry

    water = 1000 * registry.kilogram / registry.meter**3
    for power in (1, -1):
        if (1 * ours * water**power).dimensionality == theirs.dimensionality:
            return float(1000.0**power)
    return 0.0


def _convert(value: float, ours: Any, theirs: Any, density: float) -> float:
    """Convert one number, multiplying by a power of the density of water where needed."""
    from cf_xarray.units import units as registry

    quantity = registry.Quantity(value, ours)
    if density != 1.0:
        power = 1 if density > 1 else -1
        quantity = quantity * (1000 * registry.kilogram / registry.meter**3) ** power
    return float(quantity.to(theirs).magnitude)


def without_fill_values(da: xr.DataArray) -> xr.DataArray:
    """Return a field with NaN where the netCDF library's own fill value stands, lazily.

    Files whose variables lack ``_FillValue`` mean by it that nothing was written (NetCDF users'
    guide, section 2.5), and xarray reads it as the number 9.97e36.

    Parameters
    ----------
    da : xarray.DataArray
        Integers are returned as they are.
    """
    if not np.issubdtype(da.dtype, np.floating) or da.dtype.itemsize < 4:
        return da
    # rescaled or converted ones are a little off; no quantity of the earth is that large
    return da.where(~(abs(da) > da.dtype.type(0.99) * da.dtype.type(_NETCDF_FILL)))


def lasting_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a field without those that belong to its file or its grid."""
    kept = {k: v for k, v in attrs.items() if k not in _STALE_ATTRS and not k.startswith("GRIB_")}
    if kept.get("standard_name") == "unknown":  # cfgrib's word for "none"
        del kept["standard_name"]
    return kept


def history_line(text: str) -> str:
    """Return a line for the ``history`` attribute, with date and version."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # the name of a model is in it, and may be anyone's: it may not forge a line of its own
    line = "".join(c if c.isprintable() else " " for c in text)
    return f"{now} xdeepr {__version__}: {line}"


def append_history(attrs: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return attributes with a line put in front of ``history``."""
    old = str(attrs.get("history", "")).strip()
    return {**attrs, "history": "\n".join(filter(None, [history_line(text), old]))}
