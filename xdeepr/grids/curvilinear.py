"""Cells that are known by the latitude and longitude of each: curvilinear grids.

Everything is reckoned with unit vectors from the centre of the earth, so that neither the date
line nor the poles are special. Between the centres positions are interpolated linearly in index
space, which puts them on the great circle: from a model's own rows that departs by d² / 8R times
their curvature, less than a hundredth of a cell for cells of 50 km.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from xdeepr.cf.axes import Axes, folded_pairs
from xdeepr.errors import AxisError, GridError
from xdeepr.grids.axis import DEFAULT_ATTRS, KEPT_ATTRS, fine_positions

EARTH_RADIUS = 6371.0
"""km."""

_SAME = 0.1
"""Distance, in cells, up to which two centres are those of one cell."""


@dataclass(frozen=True, eq=False)
class Places:
    """Latitude and longitude of the centres of cells.

    Parameters
    ----------
    vectors : numpy.ndarray
        Unit vectors, float64, shape (y, x, 3).
    names : tuple of str
        Names of latitude and longitude in the user's data.
    attrs : tuple of mapping
        Their attributes.
    west : float
        Longitudes lie in the 360 degrees from here: -180 or 0.
    values : tuple of numpy.ndarray, optional
        Latitude and longitude as they stand in a file, shape (y, x).
    """

    vectors: np.ndarray
    names: tuple[str, str] = ("latitude", "longitude")
    attrs: tuple[Mapping[str, Any], Mapping[str, Any]] = field(
        default_factory=lambda: (DEFAULT_ATTRS["latlon", "y"], DEFAULT_ATTRS["latlon", "x"])
    )
    west: float = -180.0
    values: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def of(cls, latitude: np.ndarray, longitude: np.ndarray, **options: Any) -> Places:
        """Return places from degrees north and east, shape (y, x)."""
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

    def refine(self, factor: int) -> Places:
        """Return the centres of `factor` × `factor` parts of each cell."""
        fine = self.vectors
        for axis, size in enumerate(self.shape):
            fine = _along(fine, axis, fine_positions(size, factor))
        return replace(self, vectors=_normalized(fine), values=None)

    def merge(self, factor: int) -> Places:
        """Return the centres of blocks of `factor` × `factor` cells."""
        y, x = (n // factor for n in self.shape)
        blocks = self.vectors.reshape(y, factor, x, factor, 3).mean(axis=(1, 3))
        return replace(self, vectors=_normalized(blocks), values=None)

    def cut(self, y: slice, x: slice) -> Places:
        """Return some rows and columns."""
        values = self.values and (self.values[0][y, x], self.values[1][y, x])
        return replace(self, vectors=self.vectors[y, x], values=values)

    @cached_property
    def sizes(self) -> tuple[float, float]:
        """Distance of neighbouring centres along y and x in km: the median."""
        y, x = (
            float(np.median(distance(self.vectors.take(range(1, n), k), self._but_last(k))))
            for k, n in enumerate(self.shape)
        )
        return y, x

    def _but_last(self, axis: int) -> np.ndarray:
        """Return all vectors but the last along an axis."""
        return self.vectors.take(range(self.shape[axis] - 1), axis)

    def areas(self) -> np.ndarray:
        """Return the area of each cell on the unit sphere, shape (y, x).

        A cell is the spherical quadrangle between its corners, two triangles whose spherical
        excess is that of van Oosterom and Strackee (1983, doi:10.1109/TBME.1983.325207).
        """
        corners = self.vectors
        for axis, size in enumerate(self.shape):
            corners = _along(corners, axis, np.arange(size + 1) - 0.5)
        corners = _normalized(corners)
        a, b = corners[:-1, :-1], corners[:-1, 1:]
        d, c = corners[1:, :-1], corners[1:, 1:]
        return _excess(a, b, c) + _excess(a, c, d)

    def off(self, other: Places) -> np.ndarray:
        """Return the distance to the same cells of another grid, in cells of this one."""
        return distance(self.vectors, other.vectors) / max(min(self.sizes), 1e-9)

    def locate(self, other: Places) -> tuple[int, int] | None:
        """Return the index of the first cell of `other` in this grid, if all its cells are here.

        Parameters
        ----------
        other : Places
            The cells of this grid or of a part of it.
        """
        nearest = int(np.argmax(self.vectors @ other.vectors[0, 0]))
        row, column = divmod(nearest, self.shape[1])
        part = self.cut(slice(row, row + other.shape[0]), slice(column, column + other.shape[1]))
        if part.shape != other.shape or (other.off(part) > _SAME).any():
            return None
        return row, column

    def variables(
        self, dims: tuple[str, str], names: tuple[str, str] | None = None
    ) -> dict[str, xr.DataArray]:
        """Return latitude and longitude as coordinates.

        Parameters
        ----------
        dims : tuple of str
            Names of the dimensions.
        names : tuple of str, optional
            Names of the variables, if not the user's.
        """
        out = {}
        for name, values, attrs in zip(
            names or self.names, self.degrees(), self.attrs, strict=True
        ):
            out[name] = xr.DataArray(values, dims=dims, attrs=dict(attrs))
            out[name].encoding["_FillValue"] = None  # CF: coordinates have no missing values
        return out


def places_of(obj: xr.DataArray | xr.Dataset, axes: Axes, *, needed: bool) -> Places | None:
    """Return the 2-D latitude and longitude of a field.

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        The data.
    axes : Axes
        Its axes.
    needed : bool
        Whether there is nothing else that says where the cells lie. If not, coordinates that
        cannot be used are left out.

    Raises
    ------
    AxisError
        If they are needed and have missing or impossible values, or change in time.
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
    kept = tuple(
        {**DEFAULT_ATTRS["latlon", which], **_kept(obj[name])}
        for name, which in zip(names, "yx", strict=True)
    )
    return Places.of(lat, lon, names=names, attrs=(kept[0], kept[1]))


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


def nest(lr: Places, hr: Places, dims: tuple[str, str]) -> tuple[int, tuple[int, int, int, int]]:
    """Return how an HR grid nests in an LR grid, in index space.

    Parameters
    ----------
    lr, hr : Places
        The centres of the cells.
    dims : tuple of str
        Names of the HR dimensions, for messages.

    Returns
    -------
    factor : int
        HR cells in an LR cell along each axis.
    margin : tuple of int
        HR cells missing on the low-y, high-y, low-x and high-x side.

    Raises
    ------
    GridError
        If the HR grid does not nest or reaches beyond.
    """
    middle = (hr.shape[0] // 2, hr.shape[1] // 2)
    ratios = _ratios(lr, hr, middle)
    factor = round(float(np.mean(ratios)))
    if not 2 <= factor <= 8 or any(abs(r / factor - 1) > 0.1 for r in ratios):
        raise GridError(
            f"the HR grid does not nest in the LR grid: an LR cell holds about {ratios[0]:.3g} HR"
            f" cells along {dims[0]!r} and {ratios[1]:.3g} along {dims[1]!r}; one whole number"
            " from 2 to 8 is needed. Regrid the labels to a whole fraction of the LR cell."
        )
    position = _position(lr, hr.vectors[middle])
    low = [round((p + 0.5) * factor - 0.5) - m for p, m in zip(position, middle, strict=True)]
    high = [n * factor - a - m for n, a, m in zip(lr.shape, low, hr.shape, strict=True)]
    for dim, ends in zip(dims, zip(low, high, strict=True), strict=True):
        for missing, side in zip(ends, ("low", "high"), strict=True):
            if missing < 0:
                raise GridError(
                    f"the HR domain reaches {-missing} HR cells beyond the LR domain on the {side}"
                    f" side of {dim!r}: select fewer labels with .isel, or give a larger LR domain."
                )
    fine = lr.refine(factor).cut(
        slice(low[0], low[0] + hr.shape[0]), slice(low[1], low[1] + hr.shape[1])
    )
    off = float(hr.off(fine).max())
    if off > _SAME and _blocks_off(lr, hr, factor, (low[0], low[1])) > _SAME:
        raise GridError(
            f"the HR grid does not nest in the LR grid: its cells are off by up to {off:.2g} of an"
            " HR cell from the parts of the LR cells. Regrid the labels so that blocks of"
            f" {factor} × {factor} HR cells are LR cells, or make the LR data with xdeepr.coarsen."
        )
    return factor, (low[0], high[0], low[1], high[1])


def _blocks_off(lr: Places, hr: Places, factor: int, low: tuple[int, int]) -> float:
    """Return how far the middles of blocks of HR cells are from LR cells, in HR cells.

    Where rows are strongly curved, as near the poles of a grid, the middles say more than
    positions that are interpolated between LR cells.
    """
    cuts = []
    for skipped, size in zip(low, hr.shape, strict=True):
        first = -skipped % factor
        cuts.append((first, (size - first) // factor, (skipped + first) // factor))
    if min(count for _, count, _ in cuts) < 1:
        return np.inf
    fine = [slice(first, first + count * factor) for first, count, _ in cuts]
    coarse = [slice(start, start + count) for _, count, start in cuts]
    middles = hr.cut(fine[0], fine[1]).merge(factor).vectors
    apart = distance(middles, lr.cut(coarse[0], coarse[1]).vectors)
    return float(apart.max()) / max(min(hr.sizes), 1e-9)


def _ratios(lr: Places, hr: Places, middle: tuple[int, int]) -> tuple[float, float]:
    """Return the size of an LR cell over that of an HR cell along y and x, about one place."""
    nearest = divmod(int(np.argmax(lr.vectors @ hr.vectors[middle])), lr.shape[1])
    y, x = (_spacing(lr, nearest, axis) / max(_spacing(hr, middle, axis), 1e-9) for axis in (0, 1))
    return y, x


def _spacing(places: Places, at: tuple[int, int], axis: int) -> float:
    """Return the distance between neighbouring centres about a cell."""
    line = places.vectors[:, at[1]] if axis == 0 else places.vectors[at[0]]
    low = min(max(at[axis] - 1, 0), len(line) - 2)
    high = min(at[axis] + 1, len(line) - 1)
    return float(distance(line[high], line[low])) / (high - low)


def _position(places: Places, vector: np.ndarray) -> tuple[float, float]:
    """Return where a point lies, counted in cells from the first centre along y and x."""
    nearest = divmod(int(np.argmax(places.vectors @ vector)), places.shape[1])
    slopes = []
    for axis, (at, size) in enumerate(zip(nearest, places.shape, strict=True)):
        low, high = max(at - 1, 0), min(at + 1, size - 1)
        ends = [(k, nearest[1]) if axis == 0 else (nearest[0], k) for k in (low, high)]
        slopes.append((places.vectors[ends[1]] - places.vectors[ends[0]]) / (high - low))
    apart = vector - places.vectors[nearest]
    steps, *_ = np.linalg.lstsq(np.stack(slopes, axis=1), apart, rcond=None)
    return nearest[0] + float(steps[0]), nearest[1] + float(steps[1])


def unit_vectors(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return unit vectors, shape (..., 3), of degrees north and east."""
    lat, lon = np.deg2rad(latitude), np.deg2rad(longitude)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the distance of unit vectors (..., 3) along the great circle, in km."""
    half = np.linalg.norm(a - b, axis=-1) / 2
    return 2 * EARTH_RADIUS * np.arcsin(np.clip(half, 0, 1))


def _along(values: np.ndarray, axis: int, positions: np.ndarray) -> np.ndarray:
    """Interpolate linearly in cells along one axis; beyond the ends with the last slope."""
    low = np.clip(np.floor(positions).astype(int), 0, values.shape[axis] - 2)
    weight = (positions - low).reshape([-1 if k == axis else 1 for k in range(values.ndim)])
    first = values.take(low, axis)
    return first + weight * (values.take(low + 1, axis) - first)


def _normalized(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _excess(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the spherical excess of triangles."""
    volume = np.abs(np.einsum("...i,...i", a, np.cross(b, c)))
    dots = [np.einsum("...i,...i", p, q) for p, q in ((a, b), (b, c), (c, a))]
    return 2 * np.arctan2(volume, 1 + dots[0] + dots[1] + dots[2])
