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
    if not own.same_kind(grid) or values.ndim != 2:
        return None
    if not own.rectilinear:
        same = own.locate(grid).part()
        if same is None:
            return None
        return grid.x.centres, grid.y.centres, values.values[same].astype(float)
    x, y = own.x.centres, own.y.centres
    west, east = grid.x.edges[0] - own.x.step, grid.x.edges[-1] + own.x.step
    south, north = grid.y.edges[0] - own.y.step, grid.y.edges[-1] + own.y.step
    if own.circle is not None:
        x = (x - west) % own.circle + west  # a global field may be cut anywhere
    columns = np.flatnonzero((x >= west) & (x <= east))
    columns = columns[np.argsort(x[columns])]
    rows = np.flatnonzero((y >= south) & (y <= north))
    if min(len(columns), len(rows)) < 2:
        return None
    y_dim, x_dim = values.dims
    part = values.isel({y_dim: rows, x_dim: columns}).values
    return x[columns] / own.map_unit, y[rows] / own.map_unit, part.astype(float)


def drawn_edges(own: Grid, shown: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Cell edges as drawn: km on projected grids, longitudes on the side of the shown grid."""
    if not own.rectilinear:
        return _counted_edges(own, shown)
    ahead = shown.x.centres.mean() - own.x.centres.mean()
    turns = 0.0 if own.circle is None else own.circle * np.round(ahead / own.circle)
    return (own.x.edges + turns) / own.map_unit, own.y.edges / own.map_unit


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
