"""Area-weighted coarsening, for perfect-model experiments."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.errors import GridError, OptionError
from xdeepr.grids.grid import Grid, as_user_order, ascending, grid_of

XarrayObject = TypeVar("XarrayObject", xr.Dataset, xr.DataArray)


def coarsen(
    obj: XarrayObject, factor: int, *, boundary: Literal["exact", "trim"] = "exact"
) -> XarrayObject:
    """Average over blocks of `factor` × `factor` cells, weighted by their areas.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Fields on a grid of any kind; of a dataset all variables with both horizontal dimensions
        are averaged and the others that do not depend on the grid are kept.
    factor : int
        Cells to merge along each axis, at least 2.
    boundary : {"exact", "trim"}
        What to do where a size is not a multiple of the factor: refuse, or drop the last cells
        in the data's own order.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        The same kind as `obj`, lazy where `obj` is lazy, with coordinates and bounds of the
        coarse grid. A block with a missing value is missing. On a curvilinear grid latitude and
        longitude are averaged on the sphere.

    Raises
    ------
    OptionError
        If the factor is not a whole number of at least 2.
    GridError
        If a size is not a multiple of the factor and ``boundary="exact"``.

    Examples
    --------
    >>> lr = xdeepr.coarsen(hr, 4, boundary="trim")  # doctest: +SKIP
    """
    if isinstance(factor, bool) or not isinstance(factor, int | np.integer) or factor < 2:
        raise OptionError(f"factor={factor!r}: give a whole number of at least 2.")
    if boundary not in ("exact", "trim"):
        raise OptionError(f"boundary={boundary!r}: choose 'exact' or 'trim'.")
    if isinstance(obj, xr.Dataset):
        obj = cf.as_dataset(obj)
    axes = cf.find_axes(obj)
    obj = _whole_blocks(obj, axes, int(factor), boundary)
    fine = grid_of(obj, axes)
    coarse = fine.merge(int(factor))
    if isinstance(obj, xr.DataArray):
        out = _merge(obj, axes, fine, coarse, int(factor))
        coords = {k: v for k, v in coarse.coordinates().items() if set(v.dims) <= set(out.dims)}
        out = out.assign_coords(coords)
        for coord in out.coords.values():
            coord.attrs.pop("bounds", None)  # a DataArray cannot hold the bounds
        return out
    return _merge_dataset(obj, axes, fine, coarse, int(factor))


def _whole_blocks(obj: Any, axes: cf.Axes, factor: int, boundary: str) -> Any:
    """Drop the last cells that fill no block, or refuse."""
    kept = {dim: obj.sizes[dim] // factor * factor for dim in (axes.y, axes.x)}
    if any(n != obj.sizes[dim] for dim, n in kept.items()) and boundary == "exact":
        sizes = " × ".join(f"{dim}: {obj.sizes[dim]}" for dim in kept)
        advice = ", ".join(f"{dim}=slice(0, {n})" for dim, n in kept.items())
        raise GridError(
            f"the grid ({sizes}) is not a multiple of factor={factor}: drop cells with"
            f" boundary='trim', or choose them with .isel({advice})."
        )
    return obj.isel({dim: slice(0, n) for dim, n in kept.items()})


def _merge_dataset(
    ds: xr.Dataset, axes: cf.Axes, fine: Grid, coarse: Grid, factor: int
) -> xr.Dataset:
    """Coarsen all gridded variables of a dataset."""
    gridded = cf.spatial_variables(ds, axes)
    fields = {name: _merge(ds[name], axes, fine, coarse, factor) for name in gridded}
    kept = {name: v for name, v in ds.variables.items() if not {axes.y, axes.x} & set(v.dims)}
    bare = xr.Dataset(kept).set_coords([n for n in ds.coords if n in kept])
    coordinates = coarse.coordinates()
    bounds = [n for n in coordinates if n.endswith("_bnds")]
    # those that are stated anew must not meet the old ones
    bare = bare.drop_vars([n for n in coordinates if n in bare.variables])
    out = bare.assign({n: da.drop_vars(list(da.coords)) for n, da in fields.items()})
    out = out.assign_coords(coordinates)
    out = out.reset_coords([*bounds, *([coarse.mapping[0]] if coarse.mapping else [])])
    for coord in out.coords.values():
        for key in ("bounds", "climatology"):
            if coord.attrs.get(key, coord.name) not in out.variables:
                del coord.attrs[key]  # those of the fine grid are gone
    out.attrs = cf.append_history(ds.attrs, f"coarsened x{factor} by area-weighted mean")
    return out


def _merge(da: xr.DataArray, axes: cf.Axes, fine: Grid, coarse: Grid, factor: int) -> xr.DataArray:
    """Coarsen one field; the result has no horizontal coordinates yet."""
    order = da.dims
    horizontal = [n for n, c in da.coords.items() if {axes.y, axes.x} & set(c.dims)]
    kind = da.dtype if np.issubdtype(da.dtype, np.floating) else np.dtype("float32")
    field = cf.without_fill_values(ascending(da, axes).drop_vars(horizontal).astype(kind))
    weights = fine.area_weights().astype(kind)
    cells = xr.DataArray(weights, dims=(axes.y, axes.x)[: weights.ndim])
    windows: dict[Any, int] = {axes.y: factor, axes.x: factor}
    total = (field * cells).coarsen(windows).reduce(np.sum)  # unlike .sum(), keeps NaN
    area = cells.coarsen({d: n for d, n in windows.items() if d in cells.dims}).sum()
    if weights.ndim == 1:
        area = area * kind.type(factor)
    out = as_user_order(total / area, coarse).transpose(*order).astype(kind)
    methods = str(da.attrs.get("cell_methods", "")).strip()
    out.attrs = {**cf.lasting_attrs(da.attrs), "cell_methods": f"{methods} area: mean".strip()}
    if coarse.mapping is not None:
        out.attrs["grid_mapping"] = coarse.mapping[0]
    out.name = da.name
    return out
