"""The door of a verb: what an object says of its axes and cells, found out once."""

from __future__ import annotations

import xarray as xr

from xdeepr import cf
from xdeepr.grids.grid import Grid
from xdeepr.grids.reading import grid_of


def gridded(obj: xr.Dataset | xr.DataArray, *, name: str = "field") -> cf.Gridded[Grid]:
    """Return an object with its axes and its grid.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        As a user gives it to a verb.
    name : str, default: "field"
        Of the variable, if a DataArray has none.

    Raises
    ------
    AxisError, GridError, VariableError
        If axes are missing or ambiguous, the cells are no grid, or an attribute is damaged.
    """
    ds = cf.as_dataset(obj, name)
    axes = cf.find_axes(ds)
    return cf.Gridded(ds, axes, grid_of(ds, axes), obj)
