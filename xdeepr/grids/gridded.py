"""The door of a verb: what an object says of its axes and cells, found out once."""

from __future__ import annotations

import xarray as xr

from xdeepr import cf
from xdeepr.grids.grid import Grid
from xdeepr.grids.reading import grid_of


def gridded(obj: xr.Dataset | xr.DataArray, *, name: str = "field") -> cf.Gridded[Grid]:
    """Return what a user gives to a verb with its axes and grid; a nameless field gets `name`."""
    ds = cf.as_dataset(obj, name)
    axes = cf.find_axes(ds)
    return cf.Gridded(ds, axes, grid_of(ds, axes), obj)
