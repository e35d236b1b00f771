"""One horizontal axis: cell centres and edges, orientation, longitude convention, rounding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import numpy as np
import xarray as xr

from xdeepr.errors import AxisError, GridError

Kind = Literal["latlon", "projected", "rotated", "curvilinear"]

Margin = tuple[int, int, int, int]
"""HR cells on the low-y, high-y, low-x and high-x side."""

SPACING_TOLERANCE = 2e-2
"""Deviation from even spacing, in cells, that rounded coordinates may have."""

STRETCH_TOLERANCE = 3e-2
"""Relative deviation of any spacing from the mean one, as on Gaussian grids."""

NESTING_TOLERANCE = 2e-2
"""Deviation from nesting, in HR cells."""

DEFAULT_ATTRS: dict[tuple[str, str], dict[str, str]] = {
    ("latlon", "y"): {"standard_name": "latitude", "units": "degrees_north"},
    ("latlon", "x"): {"standard_name": "longitude", "units": "degrees_east"},
    ("rotated", "y"): {"standard_name": "grid_latitude", "units": "degrees"},
    ("rotated", "x"): {"standard_name": "grid_longitude", "units": "degrees"},
    ("projected", "y"): {"standard_name": "projection_y_coordinate", "units": "m"},
    ("projected", "x"): {"standard_name": "projection_x_coordinate", "units": "m"},
}

KEPT_ATTRS = ("standard_name", "long_name", "units", "axis")


@dataclass(frozen=True, eq=False)
class GridAxis:
    """One horizontal axis with its cells in ascending order.

    Parameters
    ----------
    name : str
        Dimension and coordinate name in the user's data.
    centres : numpy.ndarray
        float64, strictly ascending and evenly spaced, or nearly so (Gaussian latitudes);
        longitudes are unwrapped (350, 355, 360). On a curvilinear grid they count cells, times
        their mean size in km.
    descending : bool
        Whether the user's data run the other way.
    attrs : mapping
        Attributes of the coordinate.
    turn : float, optional
        Longitude at which the user's values start again (0 or -180), if that happens inside the
        domain. None otherwise: a coordinate that was monotonic stays so, as CF wants it.
    values : numpy.ndarray, optional
        The coordinate as it stands in a file, in ascending order of `centres`. Where it is known
        it is handed on to the bit, because xarray aligns coordinates by equality.
    dtype : numpy.dtype
        Type of the coordinate.
    """

    name: str
    centres: np.ndarray
    descending: bool = False
    attrs: Mapping[str, Any] = field(default_factory=dict)
    turn: float | None = None
    values: np.ndarray | None = None
    dtype: np.dtype = field(default_factory=lambda: np.dtype("float64"))

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(self.centres.size)

    @property
    def step(self) -> float:
        """Size of a cell, on average."""
        return float(self.centres[-1] - self.centres[0]) / (self.size - 1)

    @cached_property
    def even(self) -> bool:
        """Whether all cells are of one size."""
        line = self.centres[0] + self.step * np.arange(self.size)
        return bool(np.abs(self.centres - line).max() <= 1e-6 * self.step)

    @property
    def edges(self) -> np.ndarray:
        """Edges of the cells, one more than there are cells."""
        if self.even:
            return self.centres[0] + self.step * (np.arange(self.size + 1) - 0.5)
        return _at(self.centres, np.arange(self.size + 1) - 0.5)

    def refine(self, factor: int) -> GridAxis:
        """Return the axis with each cell split into `factor` cells."""
        if self.even:
            step = self.step / factor
            start = self.edges[0] + step / 2
            centres = start + step * np.arange(self.size * factor)
        else:
            centres = _at(self.centres, fine_positions(self.size, factor))
        return replace(self, centres=centres, values=None)

    def merge(self, factor: int) -> GridAxis:
        """Return the axis whose cells are `factor` cells of this one."""
        return replace(self, centres=self.centres.reshape(-1, factor).mean(axis=1), values=None)

    def crop(self, low: int, high: int) -> GridAxis:
        """Return the axis without some cells on the low and the high side."""
        kept = slice(low, self.size - high)
        values = None if self.values is None else self.values[kept]
        return replace(self, centres=self.centres[kept], values=values)

    def snap(self, known: np.ndarray) -> GridAxis:
        """Return the axis with coordinate values taken from `known`, if all cells are there.

        Parameters
        ----------
        known : numpy.ndarray
            Coordinate values of another axis in ascending order, such as that of the training
            data.
        """
        nearest = np.searchsorted(known, self.centres - self.step / 2)
        if nearest[-1] >= known.size:
            return self
        values = known[nearest]
        same = np.abs(values - self.centres) < NESTING_TOLERANCE * self.step
        return replace(self, values=values, dtype=known.dtype) if same.all() else self

    def known(self) -> np.ndarray:
        """Return coordinate values in ascending order, those of the file where they are known."""
        return self.centres if self.values is None else self.values

    def coordinate(self) -> np.ndarray:
        """Return the coordinate in the user's order, convention and type."""
        if self.values is not None:
            return self.values[::-1] if self.descending else self.values
        # 46.900000000000006 is 46.9: without rounding it aligns with nothing
        return np.round(self.in_user_order(self.centres), 9).astype(self.dtype)

    def in_user_order(self, values: np.ndarray) -> np.ndarray:
        """Return ascending values (first axis) in the user's order and longitude convention."""
        values = values[::-1] if self.descending else values
        if self.turn is None:
            return values
        first = values if values.ndim == 1 else values.mean(axis=1)
        # a centre at the seam itself must not fall to its other side by rounding
        shift = -360 * np.floor((first - self.turn) / 360 + 1e-9)
        return values + (shift if values.ndim == 1 else shift[:, None])


def fine_positions(size: int, factor: int) -> np.ndarray:
    """Return where the centres of the parts of cells lie, counted in cells from the first centre.

    Parameters
    ----------
    size : int
        Number of cells.
    factor : int
        Parts of a cell.
    """
    return (np.arange(size * factor) + 0.5) / factor - 0.5


def _at(centres: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Interpolate linearly in cells; beyond the ends with the last spacing."""
    low = np.clip(np.floor(positions).astype(int), 0, centres.size - 2)
    return centres[low] + (positions - low) * (centres[low + 1] - centres[low])


def axis_of(coord: xr.DataArray, kind: Kind, which: Literal["y", "x"]) -> GridAxis:
    """Return one axis, ascending, with longitudes unwrapped.

    Parameters
    ----------
    coord : xarray.DataArray
        1-D, in any order and longitude convention.
    kind : {"latlon", "projected", "rotated"}
        What it measures.
    which : {"y", "x"}
        Which axis it is.

    Raises
    ------
    AxisError
        If it has fewer than two cells or missing values.
    GridError
        If it is not evenly spaced.
    """
    name = str(coord.name)
    values = np.asarray(coord.values, dtype=np.float64)
    if values.size < 2:
        raise AxisError(
            f"{name!r} has only {values.size} cell: at least 2 are needed to know the spacing;"
            " select a larger domain."
        )
    if not np.isfinite(values).all():
        raise AxisError(
            f"{name!r} has {np.count_nonzero(~np.isfinite(values))} missing values: a coordinate"
            f" must have none; correct it with ds.assign_coords({name}=...)."
        )
    turn = None
    if kind != "projected" and which == "x":
        unwrapped = np.unwrap(values, period=360)
        if not np.array_equal(unwrapped, values):
            turn = 0.0 if values.min() >= 0 else -180.0
        values = unwrapped
    descending = bool(values[0] > values[-1])
    centres = _centres(values[::-1] if descending else values, name)
    attrs = {**DEFAULT_ATTRS[kind, which], "axis": which.upper()}
    attrs |= {k: coord.attrs[k] for k in KEPT_ATTRS if k in coord.attrs}
    own = coord.values if np.issubdtype(coord.dtype, np.floating) else coord.values.astype(float)
    own = own[::-1] if descending else own
    return GridAxis(name, centres, descending, attrs, turn, own, own.dtype)


def is_descending(coord: xr.DataArray, *, turns: bool) -> bool:
    """Whether a coordinate runs from high to low; longitudes may start again inside (`turns`)."""
    values = np.asarray(coord.values, dtype=np.float64)
    values = np.unwrap(values, period=360) if turns else values
    return bool(values[0] > values[-1])


def _centres(values: np.ndarray, name: str) -> np.ndarray:
    """Return ascending centres without the noise of rounding.

    What rounding explains is made even. What it does not explain is kept where the spacing varies
    by little, as that of Gaussian latitudes does near the poles.
    """
    step = _step(values)
    even = values[0] + step * np.arange(values.size)
    off = np.abs(values - even)
    worst = int(np.argmax(off))
    steps = np.diff(values)
    smooth = step > 0 and bool((np.abs(steps / step - 1) <= STRETCH_TOLERANCE).all())
    if smooth and off[worst] > _rounding(values, step):
        return values
    if not step > 0 or off[worst] > SPACING_TOLERANCE * step:
        ends = f"{values[0]:.6g}, {values[-1]:.6g}, {values.size}"
        raise GridError(
            f"{name!r} is not evenly spaced (near {values[worst]:g}): interpolate to an evenly"
            f" spaced axis first, for example ds.interp({name}=np.linspace({ends})), or select the"
            " part that is evenly spaced."
        )
    return even


def _rounding(values: np.ndarray, step: float) -> float:
    """Return how far a coordinate may be off by being written with few digits."""
    single = float(np.spacing(np.float32(np.abs(values).max())))
    tolerance = 1e-9 * float(np.abs(values).max()) + 1e-12
    if np.array_equal(values, values.astype(np.float32)):
        tolerance = single
    digits = next(
        (n for n in range(9) if np.abs(values - values.round(n)).max() <= tolerance), None
    )
    decimal = 0.0 if digits is None else 10.0**-digits
    return max(1e-3 * step, 2 * tolerance, decimal)


def _step(centres: np.ndarray) -> float:
    """Return the step of a coordinate.

    Single precision knows it poorly: from two cells at 350 degrees a step of 0.1 comes out wrong
    by 3e-4, which is a whole cell when `Grid.origin` counts from 0. So of all the steps that fit,
    one that is a simple fraction is taken.
    """
    step = float(centres[-1] - centres[0]) / (centres.size - 1)
    rounding = float(np.spacing(np.float32(np.abs(centres).max()))) / (centres.size - 1)
    if not step > rounding or not np.array_equal(centres, centres.astype(np.float32)):
        return step
    fractions = (Fraction(step).limit_denominator(10**digits) for digits in range(9))
    return next((float(f) for f in fractions if abs(f - step) <= rounding), step)
