"""Coast and terrain from static covariates, drawn over a map; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.errors import XdeeprError
from xdeepr.grids import Grid, ascending, grid_of, relate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STANDARD_GRAVITY = 9.80665  # m s-2, from geopotential to height
_MASK_NAMES = ("land_binary_mask", "land_area_fraction", "lsm")
_HEIGHT_NAMES = ("surface_altitude", "orog", "orography")
_GEOPOTENTIAL_NAMES = ("surface_geopotential", "geopotential", "z")


def draw_statics(ax: Axes, statics: xr.Dataset | None, grid: Grid) -> None:
    """Draw coast and heights from static covariates; leave out what is not there."""
    if statics is None:
        return
    height = _static(statics, _HEIGHT_NAMES, grid)
    scale = 1.0
    if height is None:
        height, scale = _static(statics, _GEOPOTENTIAL_NAMES, grid), 1 / _STANDARD_GRAVITY
    if height is not None:
        x, y, values = height
        top = float(np.nanmax(values)) * scale
        levels = [level for level in (200, 500, 1000, 2000, 3000, 4000) if level < top]
        if levels:
            ax.contour(x, y, values * scale, levels, colors="0.25", linewidths=0.35, alpha=0.7)
    mask = _static(statics, _MASK_NAMES, grid)
    if mask is not None:
        x, y, values = mask
        ax.contour(x, y, values, [0.5], colors="black", linewidths=0.9)


def _static(
    statics: xr.Dataset, names: Sequence[str], grid: Grid
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Cell centres and values of the first of `names` that is there, around the shown domain."""
    found = [
        da
        for name, da in statics.data_vars.items()
        if name in names or da.attrs.get("standard_name") in names
    ]
    if not found:
        return None
    try:
        own = grid_of(found[0])
        values = ascending(found[0].squeeze(drop=True), cf.find_axes(found[0]))
    except XdeeprError:
        return None  # an overlay is never worth failing for
    if own.kind != grid.kind or values.ndim != 2:
        return None
    if own.kind == "curvilinear":
        return _same_cells(values, own, grid)
    x, y = own.x.centres, own.y.centres
    west, east = grid.x.edges[0] - own.x.step, grid.x.edges[-1] + own.x.step
    south, north = grid.y.edges[0] - own.y.step, grid.y.edges[-1] + own.y.step
    if own.kind != "projected":
        x = (x - west) % 360 + west  # a global field may be cut anywhere
    columns = np.flatnonzero((x >= west) & (x <= east))
    columns = columns[np.argsort(x[columns])]
    rows = np.flatnonzero((y >= south) & (y <= north))
    if min(len(columns), len(rows)) < 2:
        return None
    unit = _length_unit(own) if own.kind == "projected" else 1.0
    y_dim, x_dim = values.dims
    part = values.isel({y_dim: rows, x_dim: columns}).values
    return x[columns] / unit, y[rows] / unit, part.astype(float)


def _same_cells(
    values: xr.DataArray, own: Grid, grid: Grid
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Centres and values on the cells of a curvilinear grid, if all of them are there."""
    assert own.places is not None  # curvilinear grids have them
    assert grid.places is not None
    first = own.places.locate(grid.places)
    if first is None:
        return None
    part = tuple(slice(a, a + n) for a, n in zip(first, grid.shape, strict=True))
    return grid.x.centres, grid.y.centres, values.values[part].astype(float)


def drawn_edges(own: Grid, shown: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Cell edges as drawn: km on projected grids, longitudes on the side of the shown grid."""
    x, y = own.x.edges, own.y.edges
    if own.kind == "curvilinear":
        return _counted_edges(own, shown)
    if own.kind == "projected":
        return x / _length_unit(own), y / _length_unit(own)
    turns = np.round((shown.x.centres.mean() - own.x.centres.mean()) / 360)
    return x + 360 * turns, y


def _counted_edges(own: Grid, shown: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Cell edges of a curvilinear grid, where they lie on the one that is shown."""
    if own.shape == shown.shape:
        return shown.x.edges, shown.y.edges
    try:
        factor, margin = relate(own, shown)
    except XdeeprError:
        return own.x.edges, own.y.edges  # each from its own first cell
    x, y = (
        fine.edges[0] + fine.step * (factor * np.arange(coarse.size + 1) - skipped)
        for coarse, fine, skipped in (
            (own.x, shown.x, margin[2]),
            (own.y, shown.y, margin[0]),
        )
    )
    return x, y


def _length_unit(grid: Grid) -> float:
    return 1.0 if grid.x.attrs.get("units") == "km" else 1000.0
