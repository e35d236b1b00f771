"""Cut fields to a box of longitudes and latitudes and to a period."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.deepr_compat.configuration.data import Coverage, Period
from xdeepr.errors import AxisError, GridError
from xdeepr.grids import grid_of

_TOLERANCE = 0.01
"""Part of a cell by which a cell's centre may miss the box: coordinates are often rounded."""


def within(ds: xr.Dataset, coverage: Coverage, role: str) -> tuple[xr.Dataset, tuple[str, ...]]:
    """Return the cells whose centres are in a box.

    Parameters
    ----------
    ds : xarray.Dataset
        Fields on a latitude/longitude grid, in any order and longitude convention.
    coverage : Coverage
        The box; its longitudes are those of the result.
    role : str
        Whose they are, for messages.

    Returns
    -------
    xarray.Dataset
        The part inside.
    tuple of str
        What the user should know: the data do not fill the box.

    Raises
    ------
    GridError
        If the grid has no latitudes and longitudes, or no cell is inside.
    """
    grid = grid_of(ds)
    if grid.kind != "latlon":
        raise GridError(
            f"{role}.spatial_coverage is in degrees, but the grid is {grid.kind}: leave it out, or"
            " cut the files."
        )
    axes = cf.find_axes(ds)
    latitude, longitude = ds[axes.y].values, ds[axes.x].values
    south, north = sorted(coverage.latitude)
    west, east = sorted(coverage.longitude)
    slack_y, slack_x = _TOLERANCE * grid.y.step, _TOLERANCE * grid.x.step
    rows = np.flatnonzero((latitude >= south - slack_y) & (latitude <= north + slack_y))
    offset = (longitude - west + slack_x) % 360 - slack_x  # eastward of the box's western side
    columns = np.flatnonzero(offset <= east - west + slack_x)
    if rows.size == 0 or columns.size == 0:
        raise GridError(
            f"{role}.spatial_coverage holds no cell: the data cover latitude {latitude.min():g} to"
            f" {latitude.max():g} and longitude {longitude.min():g} to {longitude.max():g}."
        )
    if (np.diff(columns) != 1).any():  # the box crosses the seam of the data's longitudes
        columns = columns[np.argsort(offset[columns])]
    inside = ds.isel({axes.y: rows, axes.x: columns})
    moved = west + offset[columns]
    if np.abs(moved - longitude[columns]).max() > slack_x:
        inside = inside.drop_vars(ds[axes.x].attrs.get("bounds", ()), errors="ignore")
        attrs = {k: v for k, v in ds[axes.x].attrs.items() if k != "bounds"}
        inside = inside.assign_coords({axes.x: (axes.x, moved, attrs)})
    note = _unfilled(inside, coverage, (axes.y, axes.x), (grid.y.step, grid.x.step), role)
    return inside, note


def _unfilled(
    ds: xr.Dataset,
    coverage: Coverage,
    dims: tuple[str, str],
    steps: tuple[float, float],
    role: str,
) -> tuple[str, ...]:
    """Say if the data end more than a cell before the box does."""
    notes = []
    for dim, key, step in zip(dims, ("latitude", "longitude"), steps, strict=True):
        low, high = sorted(getattr(coverage, key))
        first, last = float(ds[dim].min()), float(ds[dim].max())
        if first - low > step or high - last > step:
            notes.append(
                f"{role}.spatial_coverage asks for {key} {low:g} to {high:g}, the data have"
                f" {first:g} to {last:g} of it"
            )
    return tuple(notes)


def at_times(ds: xr.Dataset, period: Period, role: str) -> xr.Dataset:
    """Return the times of a period.

    Parameters
    ----------
    ds : xarray.Dataset
        Fields with a time axis in any calendar.
    period : Period
        From the beginning of its start to the end of its end, in the months it names.
    role : str
        Whose they are, for messages.

    Raises
    ------
    AxisError
        If there is no time axis, or no time of the period.
    """
    axes = cf.find_axes(ds)
    if axes.time is None:
        raise AxisError(f"{role}: the fields have no time axis, so no period can be chosen.")
    cf.check_time(ds, axes.time)
    cut = ds.sel({axes.time: slice(period.start, period.end)})
    stamps = cut[axes.time].dt
    pairs = zip(stamps.year.values, stamps.month.values, strict=True)
    months = [f"{year:04d}{month:02d}" for year, month in pairs]
    named = period.months()
    kept = np.flatnonzero([month in named for month in months])
    if kept.size == 0:
        index = ds.indexes[axes.time]
        raise AxisError(
            f"{role}: there is no time from {period.start} to {period.end} (frequency"
            f" {period.frequency}); the data run from {index[0]} to {index[-1]}."
        )
    return cut if kept.size == len(months) else cut.isel({axes.time: kept})
