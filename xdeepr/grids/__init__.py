"""Where cells lie: axes, kinds of grids, nesting, and the verbs coarsen and nest."""

from xdeepr.grids.axis import GridAxis, Kind, Margin
from xdeepr.grids.grid import Grid, as_user_order, ascending, grid_of
from xdeepr.grids.gridded import gridded
from xdeepr.grids.nesting import relate

__all__ = [
    "Grid",
    "GridAxis",
    "Kind",
    "Margin",
    "as_user_order",
    "ascending",
    "grid_of",
    "gridded",
    "relate",
]
