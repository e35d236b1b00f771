"""Where cells lie: axes, kinds of grids, nesting, and the verbs coarsen and nest."""

from xdeepr.grids.axis import GridAxis, Margin
from xdeepr.grids.grid import Grid
from xdeepr.grids.kinds import KINDS
from xdeepr.grids.location import Location
from xdeepr.grids.nesting import relate
from xdeepr.grids.reading import as_user_order, ascending, grid_of, gridded

__all__ = [
    "KINDS",
    "Grid",
    "GridAxis",
    "Location",
    "Margin",
    "as_user_order",
    "ascending",
    "grid_of",
    "gridded",
    "relate",
]
