"""Cells that are known by the latitude and longitude of each.

Between the centres positions are interpolated linearly in index space, which puts them on the
great circle: from a model's own rows that departs by d² / 8R times their curvature, less than a
hundredth of a cell for cells of 50 km.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from xdeepr.cf.axes import Axes, folded_pairs
from xdeepr.errors import AxisError
from xdeepr.grids.axis import KEPT_ATTRS
from xdeepr.grids.location import SAME_CELL, Location
from xdeepr.grids.spacing import along, fine_positions
from xdeepr.grids.sphere import distance, normalized, unit_vectors

LATITUDE = {"standard_name": "latitude", "units": "degrees_north"}
LONGITUDE = {"standard_name": "longitude", "units": "degrees_east"}
"""Attributes by CF 1.11, sections 4.1 and 4.2."""


@dataclass(frozen=True, eq=False)
class CellCentres:
    """Latitude and longitude of the centres of cells.

    Parameters
    ----------
    vectors : numpy.ndarray
        Unit vectors, float64, shape (y, x, 3).
    names, attrs : tuple
        Names and attributes of latitude and longitude in the user's data.
    west : float
        Longitudes lie in the 360 degrees from here: -180 or 0.
    values : tuple of numpy.ndarray, optional
        Latitude and longitude as they stand in a file, shape (y, x).
    """

    vectors: np.ndarray
    names: tuple[str, str] = ("latitude", "longitude")
    attrs: tuple[Mapping[str, Any], Mapping[str, Any]] = (LATITUDE, LONGITUDE)
    west: float = -180.0
    values: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def of(cls, latitude: np.ndarray, longitude: np.ndarray, **options: Any) -> CellCentres:
        """Return centres from degrees north and east, shape (y, x)."""
        lat, lon = (np.asarray(a, dtype=np.float64) for a in (latitude, longitude))
        west = 0.0 if lon.min() >= 0 and lon.max() > 180 else -180.0
        return cls(unit_vectors(lat, lon), west=west, values=(latitude, longitude), **options)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells along y and x."""
        return self.vectors.shape[0], self.vectors.shape[1]

    def degrees(self) -> tuple[np.ndarray, np.ndarray]:
        """Return latitude and longitude, those of the file where they are known."""
        if self.values is not None:
            return self.values
        x, y, z = np.moveaxis(self.vectors, -1, 0)
        latitude = np.rad2deg(np.arctan2(z, np.hypot(x, y)))
        longitude = (np.rad2deg(np.arctan2(y, x)) - self.west) % 360 + self.west
        return latitude, longitude

    def refine(self, factor: int) -> CellCentres:
        """Return the centres of `factor` × `factor` parts of each cell."""
        fine = self.vectors
        for axis, size in enumerate(self.shape):
            fine = along(fine, axis, fine_positions(size, factor))
        return replace(self, vectors=normalized(fine), values=None)

    def merge(self, factor: int) -> CellCentres:
        """Return the centres of blocks of `factor` × `factor` cells."""
        y, x = (n // factor for n in self.shape)
        blocks = self.vectors.reshape(y, factor, x, factor, 3).mean(axis=(1, 3))
        return replace(self, vectors=normalized(blocks), values=None)

    def cut(self, y: slice, x: slice) -> CellCentres:
        """Return some rows and columns."""
        values = self.values and (self.values[0][y, x], self.values[1][y, x])
        return replace(self, vectors=self.vectors[y, x], values=values)

    @cached_property
    def sizes(self) -> tuple[float, float]:
        """Distance of neighbouring centres along y and x in km: the median."""
        v = self.vectors
        along_y, along_x = distance(v[1:], v[:-1]), distance(v[:, 1:], v[:, :-1])
        return float(np.median(along_y)), float(np.median(along_x))

    @property
    def size(self) -> float:
        """The smaller of the two distances in km, never 0."""
        return max(min(self.sizes), 1e-9)

    def locate(self, cells: CellCentres) -> Location:
        """Return where other cells, in rows and columns along those here, lie among them."""
        middle = (cells.shape[0] // 2, cells.shape[1] // 2)
        position = self.position(cells.vectors[middle])
        rows, columns = (
            round(p) - m + np.arange(n)
            for p, m, n in zip(position, middle, cells.shape, strict=True)
        )
        nothing = (np.zeros(rows.size), np.zeros(columns.size))
        here = Location(rows, columns, nothing, self.shape, least=SAME_CELL)
        inside = here.inside()
        if not all(part.any() for part in inside):
            return here
        same = self.vectors[np.ix_(rows[inside[0]], columns[inside[1]])]
        off = float(distance(cells.vectors[np.ix_(*inside)], same).max()) / cells.size
        return replace(here, off=(np.full(rows.size, off), np.full(columns.size, off)))

    def position(self, vector: np.ndarray) -> tuple[float, float]:
        """Return where a unit vector points, counted in cells from the first centre."""
        nearest = self.nearest(vector)
        slopes = []
        for axis, (at, size) in enumerate(zip(nearest, self.shape, strict=True)):
            low, high = max(at - 1, 0), min(at + 1, size - 1)
            ends = [(k, nearest[1]) if axis == 0 else (nearest[0], k) for k in (low, high)]
            slopes.append((self.vectors[ends[1]] - self.vectors[ends[0]]) / (high - low))
        apart = vector - self.vectors[nearest]
        steps, *_ = np.linalg.lstsq(np.stack(slopes, axis=1), apart, rcond=None)
        return nearest[0] + float(steps[0]), nearest[1] + float(steps[1])

    def nearest(self, vector: np.ndarray) -> tuple[int, int]:
        """Return row and column of the cell nearest to a unit vector."""
        row, column = divmod(int(np.argmax(self.vectors @ vector)), self.shape[1])
        return row, column

    def spacing(self, at: tuple[int, int]) -> tuple[float, float]:
        """Return the distance between neighbouring centres about a cell along y and x, in km."""
        out = []
        for axis, line in enumerate((self.vectors[:, at[1]], self.vectors[at[0]])):
            low = min(max(at[axis] - 1, 0), len(line) - 2)
            high = min(at[axis] + 1, len(line) - 1)
            out.append(float(distance(line[high], line[low])) / (high - low))
        return out[0], out[1]

    def variables(
        self, dims: tuple[str, str], names: tuple[str, str] | None = None
    ) -> dict[str, xr.DataArray]:
        """Return latitude and longitude as coordinates, under the user's names or others."""
        out = {}
        for name, values, attrs in zip(
            names or self.names, self.degrees(), self.attrs, strict=True
        ):
            out[name] = xr.DataArray(values, dims=dims, attrs=dict(attrs))
            out[name].encoding["_FillValue"] = None  # CF: coordinates have no missing values
        return out


def centres_of(obj: xr.DataArray | xr.Dataset, axes: Axes, *, needed: bool) -> CellCentres | None:
    """Return the 2-D latitude and longitude of a field.

    Where they are not `needed`, because something else says where the cells lie, those that cannot
    be used (missing or impossible values, a grid that moves) are left out; otherwise refused.
    """
    pairs = folded_pairs(obj)
    names = pairs.get((axes.y, axes.x)) or pairs.get((axes.x, axes.y))
    if names is None:
        return None
    try:
        lat, lon = (_plane(obj[name], axes) for name in names)
        _check(lat, names[0], 90.0)
        _check(lon, names[1], 720.0)
    except AxisError:
        if needed:
            raise
        return None
    attrs = ({**LATITUDE, **_kept(obj[names[0]])}, {**LONGITUDE, **_kept(obj[names[1]])})
    return CellCentres.of(lat, lon, names=names, attrs=attrs)


def _kept(coord: xr.DataArray) -> dict[str, Any]:
    """Return the attributes of a 2-D coordinate that stay; the axis is that of a dimension."""
    return {k: coord.attrs[k] for k in KEPT_ATTRS if k in coord.attrs and k != "axis"}


def _plane(coord: xr.DataArray, axes: Axes) -> np.ndarray:
    """Return a coordinate with dimensions (y, x)."""
    for dim in map(str, coord.dims):
        if dim in (axes.y, axes.x):
            continue
        first = coord.isel({dim: 0})
        if coord.sizes[dim] > 1 and not bool((coord == first).all()):
            raise AxisError(
                f"{coord.name!r} changes along {dim!r}: the grid moves. Select the times at which"
                f" it stays, or regrid to a grid that does."
            )
        coord = first
    return np.asarray(coord.transpose(axes.y, axes.x).values)


def _check(values: np.ndarray, name: str, most: float) -> None:
    """Refuse missing and impossible values."""
    if min(values.shape) < 2:
        raise AxisError(
            f"{name!r} has {values.shape[0]} × {values.shape[1]} cells: at least 2 are needed"
            " along each axis to know the spacing; select a larger domain."
        )
    bad = ~np.isfinite(values) | (np.abs(values) > most + 1e-6)
    if bad.any():
        raise AxisError(
            f"{name!r} has {np.count_nonzero(bad)} missing or impossible values, so it is not"
            " known where these cells lie: take latitude and longitude from a file that has them"
            " for all cells (often the model's file of fixed fields) with ds.assign_coords, or"
            " select the part without them."
        )
