"""Latitude and longitude of the cells of any grid."""

from __future__ import annotations

import numpy as np

from xdeepr.errors import GridError
from xdeepr.grids.grid import _METRES, Grid
from xdeepr.grids.projection import load_pyproj


def geographic_coordinates(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude of the cell centres of a grid.

    Parameters
    ----------
    grid : Grid
        Of any kind.

    Returns
    -------
    latitude, longitude : numpy.ndarray, shape (y, x)
        float64, degrees north and east, with ascending y and x of the grid.

    Raises
    ------
    GridError
        If they do not follow from the coordinates: a projected or rotated grid without a grid
        mapping, without pyproj, or in units that are not known.
    """
    if grid.kind == "latlon":
        latitude, longitude = np.meshgrid(grid.y.centres, grid.x.centres, indexing="ij")
        return latitude, longitude
    what = f"latitude and longitude of the {grid.kind} grid ({grid.y.name!r}, {grid.x.name!r})"
    if grid.mapping is None and grid.places is None:
        raise GridError(
            f"{what} are not known, because no variable says how it is {grid.kind}: add a grid"
            " mapping variable (CF conventions, appendix F) and name it in the attribute"
            " 'grid_mapping' of the fields."
        )
    places = grid.positions()
    if places is None:
        raise GridError(f"{what} are not known, because {_hindrance(grid)}")
    latitude, longitude = (np.asarray(a, dtype=np.float64) for a in places.degrees())
    if grid.mapping and not (np.isfinite(latitude).all() and np.isfinite(longitude).all()):
        raise GridError(
            f"{what} do not exist in some cells, by the grid mapping {grid.mapping[0]!r}: select a"
            " domain on the earth, or correct the attributes of the grid mapping."
        )
    return latitude, longitude


def _hindrance(grid: Grid) -> str:
    """Return why there are no geographic coordinates, and what to do."""
    assert grid.mapping is not None  # the only caller checks
    if load_pyproj() is None:
        return (
            "pyproj is not there: install it (pip install 'xdeepr[geo]'), and import xdeepr before"
            " files are opened."
        )
    if grid.kind == "projected" and grid.x.attrs.get("units") not in _METRES:
        return (
            f"the coordinates have the units {grid.x.attrs.get('units')!r}: convert them to"
            " metres ('m') or kilometres ('km')."
        )
    return (
        f"the grid mapping {grid.mapping[0]!r} is not understood (see the warning): correct its"
        " attributes."
    )
