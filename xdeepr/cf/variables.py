"""Fields of a dataset: which there are, which one is meant, and what stands for nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from xdeepr.cf.attributes import check_attrs
from xdeepr.cf.axes import Axes, folded_pairs, geographic_kind
from xdeepr.errors import VariableError

_NETCDF_FILL = 9.969209968386869e36
"""What the netCDF library writes where nothing was written, for floats and doubles."""


def as_dataset(obj: xr.DataArray | xr.Dataset, name: str = "field") -> xr.Dataset:
    """Return a dataset whose attributes are sound; `name` is for a DataArray without one.

    2-D latitudes and longitudes among the data variables become coordinates.
    """
    check_attrs(obj)
    if isinstance(obj, xr.Dataset):
        folded = {name for names in folded_pairs(obj).values() for name in names}
        hidden = sorted(folded & set(map(str, obj.data_vars)))
        return obj.set_coords(hidden) if hidden else obj
    return obj.to_dataset(name=obj.name if obj.name is not None else name)


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
    fields: Sequence[str],
    *,
    name: str | None = None,
    standard_name: str | None = None,
    role: str = "predictor",
) -> str:
    """Return the variable that is meant: by name, by standard name, or the only candidate.

    A variable that states another standard name is no candidate. `role` ("predictor", "label", ...)
    is for the message.
    """
    if name in fields:
        return str(name)
    candidates = list(fields)
    if standard_name is not None:
        stated = {n: ds[n].attrs.get("standard_name", "unknown") for n in fields}
        same = [n for n in fields if stated[n] == standard_name]
        candidates = same or [n for n in fields if stated[n] == "unknown"]  # a word of cfgrib
    if len(candidates) == 1:
        return candidates[0]
    wanted = f" {name!r}" if name else ""
    if not candidates:
        raise VariableError(
            f"{role}{wanted} not found; there are: {', '.join(fields) or 'no gridded variables'}."
            " Rename the variable that is meant, or set its standard_name."
        )
    raise VariableError(
        f"{role}{wanted} is ambiguous; candidates: {', '.join(candidates)}. Select the one that is"
        f" meant, for example ds[[{candidates[0]!r}]]."
    )


def without_bounds(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Return one field of a dataset, with its grid mapping as a coordinate.

    A DataArray cannot hold the bounds of its coordinates, which therefore name none.
    """
    mapping = ds[name].attrs.get("grid_mapping")
    field = (ds.set_coords(mapping) if mapping in ds.data_vars else ds)[name]
    for coord in field.coords.values():
        coord.attrs.pop("bounds", None)
    return field


def without_fill_values(da: xr.DataArray) -> xr.DataArray:
    """Return a field with NaN where the netCDF library's own fill value stands, lazily.

    Files whose variables lack ``_FillValue`` mean by it that nothing was written (NetCDF users'
    guide, section 2.5), and xarray reads it as the number 9.97e36. Integers stay as they are.
    """
    if not np.issubdtype(da.dtype, np.floating) or da.dtype.itemsize < 4:
        return da
    # rescaled or converted ones are a little off; no quantity of the earth is that large
    return da.where(~(abs(da) > da.dtype.type(0.99) * da.dtype.type(_NETCDF_FILL)))
