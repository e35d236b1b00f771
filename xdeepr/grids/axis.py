"""One horizontal axis: cell centres and edges, orientation, longitude convention, rounding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import xarray as xr

from xdeepr.errors import AxisError
from xdeepr.grids.spacing import along, denoised, fine_positions

Margin = tuple[int, int, int, int]
"""HR cells on the low-y, high-y, low-x and high-x side."""

SNAP_TOLERANCE = 2e-2
"""Distance, in cells, up to which coordinate values of other data are taken for one's own."""

KEPT_ATTRS = ("standard_name", "long_name", "units", "axis")


@dataclass(frozen=True, eq=False)
class GridAxis:
    """One horizontal axis with its cells in ascending order.

    Parameters
    ----------
    centres : numpy.ndarray
        float64, strictly ascending and evenly spaced, or nearly so (Gaussian latitudes);
        longitudes are unwrapped (350, 355, 360). On a curvilinear grid they count cells, times
        their mean size in km.
    descending : bool
        Whether the user's data run the other way.
    turn : float, optional
        Longitude at which the user's values start again (0 or -180), if that happens inside the
        domain. None otherwise: a coordinate that was monotonic stays so, as CF wants it.
    values : numpy.ndarray, optional
        The coordinate as it stands in a file, in ascending order of `centres`. Where it is known
        it is handed on to the bit, because xarray aligns coordinates by equality.
    circle : float, optional
        Degrees after which longitudes start again. None: the coordinate does not.
    """

    name: str
    centres: np.ndarray
    descending: bool = False
    attrs: Mapping[str, Any] = field(default_factory=dict)
    turn: float | None = None
    values: np.ndarray | None = None
    dtype: np.dtype = field(default_factory=lambda: np.dtype("float64"))
    circle: float | None = None

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(self.centres.size)

    @property
    def step(self) -> float:
        """Size of a cell, on average."""
        return float(self.centres[-1] - self.centres[0]) / (self.size - 1)

    @property
    def around(self) -> int | None:
        """Number of cells in 360 degrees, if it is whole but for rounded coordinates."""
        around = 360 / self.step
        return round(around) if abs(around - round(around)) < 0.05 else None

    @property
    def closed(self) -> bool:
        """Whether the cells go all the way round the circle."""
        return self.circle is not None and self.size * self.step > self.circle - 0.5 * self.step

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
        return along(self.centres, 0, np.arange(self.size + 1) - 0.5)

    def refine(self, factor: int) -> GridAxis:
        """Return the axis with each cell split into `factor` cells."""
        if self.even:
            step = self.step / factor
            start = self.edges[0] + step / 2
            centres = start + step * np.arange(self.size * factor)
        else:
            centres = along(self.centres, 0, fine_positions(self.size, factor))
        return replace(self, centres=centres, values=None)

    def merge(self, factor: int) -> GridAxis:
        """Return the axis whose cells are `factor` cells of this one."""
        return replace(self, centres=self.centres.reshape(-1, factor).mean(axis=1), values=None)

    def crop(self, low: int, high: int) -> GridAxis:
        """Return the axis without some cells on the low and the high side."""
        kept = slice(low, self.size - high)
        values = None if self.values is None else self.values[kept]
        return replace(self, centres=self.centres[kept], values=values)

    def with_values(self, values: np.ndarray) -> GridAxis:
        """Return the axis of cells with these coordinate values, ascending but for a seam."""
        centres = np.asarray(values, dtype=np.float64)
        centres = centres if self.circle is None else np.unwrap(centres, period=self.circle)
        return replace(self, centres=centres, turn=None, values=values, dtype=values.dtype)

    def snap(self, values: np.ndarray) -> GridAxis:
        """Return the axis with its values taken from those of another, if all cells are there."""
        if values.size < 2:
            return self
        number, _ = self.with_values(values).locate(self)
        if number.min() < 0 or number.max() >= values.size:
            return self
        own = values[number]
        same = np.abs(own - self.centres) < SNAP_TOLERANCE * self.step
        return replace(self, values=own, dtype=values.dtype) if same.all() else self

    def locate(self, cells: GridAxis) -> tuple[np.ndarray, np.ndarray]:
        """Return for each cell of another axis the number of the nearest one here, and how far off.

        Numbers go on beyond the ends of the axis, so they may be negative; longitudes count modulo
        360. Distances are those of the centres, in sizes of the other axis' cells.
        """
        turned = self._turns(cells)
        wanted = cells.centres - turned
        low = np.searchsorted(self.centres, wanted, side="right") - 1
        low = np.clip(low, 0, self.size - 2)
        step = self.centres[low + 1] - self.centres[low]
        number = np.rint(low + (wanted - self.centres[low]) / step).astype(int)
        off = np.abs(wanted - along(self.centres, 0, number))
        # a part of a domain is evened out to another line than the whole: values that are the
        # same in both files are those of the same cell
        inside = (number >= 0) & (number < self.size)
        own = self._unwrapped()[np.clip(number, 0, self.size - 1)]
        stated = np.abs(cells._unwrapped() - turned - own)
        return number, np.where(inside, np.minimum(off, stated), off) / cells.step

    def beyond_the_seam(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the cells that go on, round the circle, beyond both ends.

        There are `width` of them on each side. A closed axis may hold some cells twice.
        """
        assert self.circle is not None
        around = round(self.circle / self.step)
        return np.arange(-width, 0) % around, np.arange(self.size, self.size + width) % around

    def _turns(self, cells: GridAxis) -> np.ndarray | float:
        """Return the degrees by which longitudes of other cells are ahead of those here."""
        if self.circle is None:
            return 0.0
        if self.closed:  # each of the cells lies somewhere
            west, tolerance = self.edges[0], 1e-6 * self.step
            return self.circle * np.floor((cells.centres - west + tolerance) / self.circle)
        return self.circle * round((cells.edges.mean() - self.edges.mean()) / self.circle)

    def _unwrapped(self) -> np.ndarray:
        """Return the values of the file without their seam; where they are not known, centres."""
        values = np.asarray(self.known(), dtype=np.float64)
        if self.circle is None:
            return values
        return values + self.circle * np.round((self.centres - values) / self.circle)

    def known(self) -> np.ndarray:
        """Return coordinate values in ascending order, those of the file where they are known."""
        return self.centres if self.values is None else self.values

    def bounds(self, edges: np.ndarray) -> np.ndarray:
        """Return bounds (cell, 2) in the user's order and convention from ascending edges."""
        pairs = self.in_user_order(np.stack([edges[:-1], edges[1:]], axis=1))
        return pairs[:, ::-1] if self.descending else pairs

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


def axis_of(
    coord: xr.DataArray,
    which: Literal["y", "x"],
    attrs: Mapping[str, str],
    circle: float | None = None,
) -> GridAxis:
    """Return the axis of a 1-D coordinate in any order and convention.

    It gets `attrs` where the data state none; after `circle` degrees its values start again.
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
    if circle is not None:
        unwrapped = np.unwrap(values, period=circle)
        if not np.array_equal(unwrapped, values):
            turn = 0.0 if values.min() >= 0 else -180.0
        values = unwrapped
    descending = bool(values[0] > values[-1])
    centres = denoised(values[::-1] if descending else values, name)
    own_attrs = {k: coord.attrs[k] for k in KEPT_ATTRS if k in coord.attrs}
    own = coord.values if np.issubdtype(coord.dtype, np.floating) else coord.values.astype(float)
    own = own[::-1] if descending else own
    attrs = {**attrs, "axis": which.upper(), **own_attrs}
    return GridAxis(name, centres, descending, attrs, turn, own, own.dtype, circle)


def is_descending(coord: xr.DataArray, circle: float | None) -> bool:
    """Whether a coordinate runs from high to low; after `circle` degrees it may start again."""
    values = np.asarray(coord.values, dtype=np.float64)
    values = values if circle is None else np.unwrap(values, period=circle)
    return bool(values[0] > values[-1])
