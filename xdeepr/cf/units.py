"""Units: known spellings, and conversion of fields, lazily."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import xarray as xr

from xdeepr.errors import UnitsError

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

_LONGEST_UNITS = 200
"""More characters are no units."""

_SUPERSCRIPTS = re.compile("[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_PLAIN_DIGITS = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")
_SMALL_POWER = re.compile(
    r"\*\*(?:[-+]?\d{1,2}|\([-+]?\d{1,2}\)|[-+]?\d?\.\d{1,3}|\([-+]?\d?\.\d{1,3}\))"
    r"(?![\d.(]|\*\*|[eE]\d)"
)
"""A power with an exponent of two digits, and no power of it."""


def units_of(da: xr.DataArray) -> str:
    """Return the units of a field in a spelling that pint understands, or refuse them."""
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
    """Raise a ValueError for text that pint would compute with for ever, such as 9**9**9**9."""
    if len(units) > _LONGEST_UNITS:
        raise ValueError(f"{len(units):,} characters are too many")
    text = _SUPERSCRIPTS.sub(lambda run: f"**{run[0].translate(_PLAIN_DIGITS)} ", units)
    text = re.sub(r"\s+", "", text.replace("^", "**"))
    powers = text.count("**")
    if powers != len(_SMALL_POWER.findall(text)) or (powers > 1 and ")**" in text):
        raise ValueError("its powers are too large")


def _registry() -> Any:
    """Return pint's units in the spellings of CF; what cannot be imported is no fault of units."""
    import pint_xarray  # noqa: F401  # registers the accessor `.pint`
    from cf_xarray.units import units as registry

    return registry


def convert_units(da: xr.DataArray, units: str) -> xr.DataArray:
    """Convert a field, lazily.

    Water amounts convert between depth and mass (1 mm = 1 kg m-2). float32 stays float32; other
    numbers become float64.
    """
    stated, registry = units_of(da), _registry()
    if stated == units:
        return da.assign_attrs(units=units)
    ours, theirs = (registry.parse_units(text) for text in (stated, units))
    if ours == theirs:
        return da.assign_attrs(units=units)
    ours = _of_water(ours, theirs, registry)
    if ours is None:
        raise UnitsError(
            f"{da.name!r} has the units {stated!r}, which do not convert to {units!r}: give the"
            f" quantity that is wanted, or correct ds[{da.name!r}].attrs['units']."
        )
    kind = da.dtype if np.issubdtype(da.dtype, np.floating) else np.dtype("float64")
    # pint goes from one scale with an offset to another through kelvin, where float32 is coarse
    exact = np.dtype("float64") if _has_offset(ours) and _has_offset(theirs) else kind
    # pint_xarray converts coordinates as well, whose units it need not know: only numbers go in,
    # and come out again at once, since interp, map_blocks and to_zarr fail on quantities
    bare = xr.DataArray(da.data.astype(exact), dims=da.dims)
    quantity = bare.pint.quantify(ours, unit_registry=registry)
    values = quantity.pint.to(theirs).pint.dequantify().data.astype(kind)
    return da.copy(data=values).assign_attrs(units=units)


def _of_water(ours: Any, theirs: Any, registry: Any) -> Any:
    """Return units that convert: ours, or ours times or by the density of water; else None."""
    water = registry.kilogram / registry.liter
    for candidate in (ours, ours * water, ours / water):
        if candidate.dimensionality == theirs.dimensionality:
            return candidate
    return None


def _has_offset(unit: Any) -> bool:
    """Whether 0 is not 0 in base units: in degrees Celsius, but not in kelvin."""
    return bool(_registry().Quantity(0.0, unit).to_base_units().magnitude != 0)
