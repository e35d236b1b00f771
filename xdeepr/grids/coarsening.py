"""Area-weighted coarsening, for perfect-model experiments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.checks import one_of, whole_number
from xdeepr.errors import GridError
from xdeepr.grids.grid import Grid
from xdeepr.grids.reading import as_user_order, ascending, grid_of, gridded

XarrayObject = TypeVar("XarrayObject", xr.Dataset, xr.DataArray)

Boundary = Literal["exact", "trim"]


def coarsen(obj: XarrayObject, factor: int, *, boundary: Boundary = "exact") -> XarrayObject:
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
    >>> _, hr, _ = xdeepr.synthetic.example_pair(days=1)
    >>> xdeepr.coarsen(hr, 5, boundary="trim")["t2m"].shape
    (24, 12, 12)
    """
    whole_number("factor", factor, least=2)
    one_of("boundary", boundary, get_args(Boundary))
    return coarsened(gridded(obj), int(factor), boundary).as_given()  # type: ignore[return-value]


def coarsened(
    source: cf.Gridded[Grid], factor: int, boundary: Boundary = "exact"
) -> cf.Gridded[Grid]:
    """Do what :func:`coarsen` does for data whose grid is known; give back that of the result."""
    source = _whole_blocks(source, factor, boundary)
    ds, axes, coarse = source.dataset, source.axes, source.grid.merge(factor)
    fields = {name: _merge(ds[name], axes, source.grid, coarse, factor) for name in source.fields}
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
    return replace(source, dataset=out, grid=coarse)


def _whole_blocks(source: cf.Gridded[Grid], factor: int, boundary: Boundary) -> cf.Gridded[Grid]:
    """Drop the last cells that fill no block, or refuse."""
    ds, axes = source.dataset, source.axes
    kept = {dim: ds.sizes[dim] // factor * factor for dim in (axes.y, axes.x)}
    if all(n == ds.sizes[dim] for dim, n in kept.items()):
        return source
    if boundary == "exact":
        sizes = " × ".join(f"{dim}: {ds.sizes[dim]}" for dim in kept)
        advice = ", ".join(f"{dim}=slice(0, {n})" for dim, n in kept.items())
        raise GridError(
            f"the grid ({sizes}) is not a multiple of factor={factor}: drop cells with"
            f" boundary='trim', or choose them with .isel({advice})."
        )
    ds = ds.isel({dim: slice(0, n) for dim, n in kept.items()})
    cells = ds if isinstance(source.given, xr.Dataset) else ds[source.fields[0]]
    return replace(source, dataset=ds, grid=grid_of(cells, axes))


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
