"""Bring the fields of one grid to the cells of another, lazily where they are lazy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.checks import one_of
from xdeepr.errors import GridError, OptionError
from xdeepr.grids.grid import Grid
from xdeepr.grids.reading import ascending
from xdeepr.tiling.plan import EDGE

Method = Literal["bilinear", "conservative"]

_AS_IT_IS = 1e-3
"""Distance of two centres, in cells, up to which a value is taken and not interpolated."""


def regrid(
    field: xr.DataArray,
    grid: Grid,
    *,
    axes: cf.Axes,
    source: Grid,
    role: str = "covariate",
    method: Method = "bilinear",
) -> xr.DataArray:
    """Bring a field to the cells of a grid that it covers; lazy where the field is.

    Cells that are there already are taken as they are. "conservative" weighs cells by the area that
    they share and needs xarray-regrid; `role` names the field in messages. The result has
    dimensions (..., y, x), named as the grid names them, ascending, without their coordinates.
    """
    one_of("method", method, get_args(Method))
    if not (source.same_kind(grid) or source.geographic):
        raise GridError(
            f"{role} {field.name!r} is on a {source.kind} grid, the HR grid is {grid.kind}:"
            f" regrid the {role} to the HR grid first."
        )
    ours = ascending(field, axes).reset_coords(drop=True)
    part = source.locate(grid).part(_AS_IT_IS) if source.same_kind(grid) else None
    if part is not None:
        out = ours.isel({axes.y: part[0], axes.x: part[1]})
    elif not source.rectilinear:
        raise GridError(
            f"{role} {field.name!r} does not have the cells of the {grid.kind} HR grid: regrid it"
            " to them first (for example with xesmf), or give one that covers the HR domain."
        )
    else:
        ours = ours.assign_coords({axes.y: source.y.centres, axes.x: source.x.centres})
        bring = _along_axes if source.same_kind(grid) else _at_positions
        out = bring(ours, axes, source, grid, role, method)
    dims = {axes.y: grid.y.name, axes.x: grid.x.name}
    out = out.drop_vars([d for d in (*dims, *dims.values()) if d in out.coords])
    out = out.rename({a: b for a, b in dims.items() if a in out.dims and a != b})
    return out.transpose(..., grid.y.name, grid.x.name)


def _along_axes(
    field: xr.DataArray, axes: cf.Axes, source: Grid, grid: Grid, role: str, method: Method
) -> xr.DataArray:
    """Bring a field to another grid of its kind, axis by axis."""
    wanted: dict[str, Any] = {"y": grid.y.centres, "x": grid.x.centres}
    if grid.geographic:
        wanted["x"], field = around_the_globe(field, axes.x, source, wanted["x"])
    for dim, key, axis in ((axes.y, "y", source.y), (axes.x, "x", source.x)):
        low, high = axis.edges[0] - 0.01 * axis.step, axis.edges[-1] + 0.01 * axis.step
        if (wanted[key] < low).any() or (wanted[key] > high).any():
            raise GridError(
                f"{role} {field.name!r} covers {dim} {axis.edges[0]:g} to {axis.edges[-1]:g},"
                f" the HR grid needs {wanted[key].min():g} to {wanted[key].max():g}: give a"
                f" {role} that covers the HR domain."
            )
        centres = field[dim].values
        wanted[key] = np.clip(wanted[key], centres[0], centres[-1])
    points = {axes.y: wanted["y"], axes.x: wanted["x"]}
    if method == "conservative":
        return _conservative(field, points, on_a_sphere=source.circle is not None)
    return _interpolated(field, {dim: xr.DataArray(c, dims=dim) for dim, c in points.items()})


def _conservative(
    field: xr.DataArray, points: Mapping[str, np.ndarray], *, on_a_sphere: bool
) -> xr.DataArray:
    """Weigh the cells by the area that they share with the new ones."""
    try:
        import xarray_regrid  # noqa: F401
    except ImportError:
        raise OptionError(
            "method='conservative' needs xarray-regrid: pip install 'xdeepr[regrid]', or use"
            " method='bilinear'."
        ) from None
    y, x = points
    latitude = y if on_a_sphere else f"no latitude but {y}"
    target = xr.Dataset(coords=dict(points))
    chunks = {y: min(EDGE, points[y].size), x: min(EDGE, points[x].size)}
    out: xr.DataArray = field.regrid.conservative(
        target,
        latitude_coord=latitude,
        time_dim=None,
        nan_threshold=0.5,
        output_chunks=None if field.chunks is None else chunks,
    )
    return out.astype(field.dtype)


def _at_positions(
    field: xr.DataArray, axes: cf.Axes, source: Grid, grid: Grid, role: str, method: Method
) -> xr.DataArray:
    """Interpolate a field on latitudes and longitudes to the cells of another kind of grid."""
    if method == "conservative":
        raise GridError(
            f"{role} {field.name!r} is on a {source.kind} grid, the other grid is {grid.kind}:"
            " between them only method='bilinear' is possible here; xesmf regrids conservatively."
        )
    latitude, longitude = np.broadcast_arrays(*grid.positions())
    longitude, field = around_the_globe(field, axes.x, source, longitude)
    wanted: dict[str, xr.DataArray] = {}
    for dim, points, axis in ((axes.y, latitude, source.y), (axes.x, longitude, source.x)):
        centres = field[dim].values
        if points.min() < centres[0] - axis.step / 2 or points.max() > centres[-1] + axis.step / 2:
            raise GridError(
                f"{role} {field.name!r} covers {dim} {centres[0]:g} to {centres[-1]:g}, the"
                f" {grid.kind} grid needs {points.min():g} to {points.max():g}: give a {role} that"
                " covers it."
            )
        clipped = np.clip(points, centres[0], centres[-1])
        wanted[dim] = xr.DataArray(clipped, dims=(grid.y.name, grid.x.name))
    # a field may call its axes as the grid calls others
    rows, columns = "rows of the field", "columns of the field"
    field = field.rename({axes.y: rows, axes.x: columns})
    return _interpolated(field, {rows: wanted[axes.y], columns: wanted[axes.x]})


def _interpolated(field: xr.DataArray, points: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """Interpolate bilinearly to points along the axes, or to points (y, x).

    A lazy field is interpolated in parts of the size of a block, each from what lies around it,
    so that no task needs the whole plane.
    """
    if field.chunks is None:
        return field.interp(points)
    dims = list(dict.fromkeys(str(d) for along in points.values() for d in along.dims))
    sizes = {d: n for along in points.values() for d, n in along.sizes.items()}

    def part(row: int, column: int) -> xr.DataArray:
        window = {dims[0]: slice(row, row + EDGE), dims[1]: slice(column, column + EDGE)}
        wanted = {dim: along.isel(window, missing_dims="ignore") for dim, along in points.items()}
        near = {dim: _around(field[dim].values, along.values) for dim, along in wanted.items()}
        return field.isel(near).chunk(dict.fromkeys(points, -1)).interp(wanted)

    rows = [
        xr.concat([part(row, c) for c in range(0, sizes[dims[1]], EDGE)], dims[1])
        for row in range(0, sizes[dims[0]], EDGE)
    ]
    return xr.concat(rows, dims[0])


def _around(centres: np.ndarray, points: np.ndarray) -> slice:
    """Return the run of centres between which some points lie, with one more on each side."""
    low, high = np.searchsorted(centres, [points.min(), points.max()])
    return slice(max(0, int(low) - 2), int(high) + 2)


def around_the_globe(
    field: xr.DataArray, dim: str, source: Grid, wanted: np.ndarray
) -> tuple[np.ndarray, xr.DataArray]:
    """Return longitudes in the field's convention; a global field gets a column on each side."""
    low, step = source.x.edges[0], source.x.step
    tolerance = 1e-6 * step
    wanted = low + (wanted - low + tolerance) % 360 - tolerance
    if abs(source.x.size * step - 360) < 0.5 * step:
        west, east = (field.isel({dim: c}) for c in source.x.beyond_the_seam(1))
        west, east = (c.assign_coords({dim: c[dim] + t}) for c, t in ((west, -360), (east, 360)))
        field = xr.concat([west, field, east], dim=dim)
    return wanted, field
