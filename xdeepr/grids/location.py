"""Where the cells of one grid lie in another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SAME_CELL = 0.1
"""Distance of two centres, in cells, up to which they are taken for those of one cell."""


@dataclass(frozen=True, eq=False)
class Location:
    """Where the cells of one grid lie in another, of some `shape`.

    Parameters
    ----------
    rows, columns : numpy.ndarray
        For each row and column of the one its number in the other, ascending in both. Beyond the
        ends of the other they go on, so they may be negative; round a globe they start again.
    off : (numpy.ndarray, numpy.ndarray)
        Distance of the centres for each row and column, in sizes of the cells that are located;
        of curvilinear grids the greatest anywhere.
    least : float
        Distance, in cells, up to which rounded 2-D coordinates are taken for the same.
    """

    rows: np.ndarray
    columns: np.ndarray
    off: tuple[np.ndarray, np.ndarray]
    shape: tuple[int, int]
    least: float = 0.0

    @property
    def first(self) -> tuple[int, int]:
        """Row and column in which the first cell lies."""
        return int(self.rows[0]), int(self.columns[0])

    def inside(self) -> tuple[np.ndarray, np.ndarray]:
        """Return which of the rows and columns lie in the other grid."""
        rows, columns = (
            (numbers >= 0) & (numbers < size)
            for numbers, size in zip((self.rows, self.columns), self.shape, strict=True)
        )
        return rows, columns

    def same(self, tolerance: float = SAME_CELL) -> bool:
        """Whether all cells are there: their centres at most `tolerance` cells away."""
        near = all((off <= max(tolerance, self.least)).all() for off in self.off)
        return near and all(inside.all() for inside in self.inside())

    def part(self, tolerance: float = SAME_CELL) -> tuple[slice, slice] | None:
        """Return the rows and columns of the other grid that are these cells.

        None if not all cells are there, or not side by side as across the seam of a globe.
        """
        numbers = (self.rows, self.columns)
        if not self.same(tolerance) or any((np.diff(n) != 1).any() for n in numbers):
            return None
        y, x = self.first
        return slice(y, y + self.rows.size), slice(x, x + self.columns.size)
