"""Gaussian noise as a function of where and when, not of the order of calls.

Every value depends only on (seed, realization, time, variable, stream, absolute pixel). The
plane is divided into fixed cells of :data:`CELL` × :data:`CELL` pixels; each cell has its own
counter-based generator (Philox; Salmon et al., 2011, doi:10.1145/2063384.2063405) whose key is
a hash of those numbers. A window is assembled from the cells it touches, so any tiling of the
domain, any dask chunking and any order of tasks see the same noise.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import numpy as np

CELL = 64
"""Edge of a noise cell in pixels. Part of the definition of the noise: never change it."""


@dataclass(frozen=True)
class NoiseKey:
    """What one two-dimensional noise field belongs to."""

    seed: int
    realization: int
    time: int  # absolute, see :func:`xdeepr.inputs.times.time_keys`
    variable: int = 0  # position of the predictand
    stream: int = 0  # 0 for the initial noise, 1, 2, … for that which a stochastic solver adds

    def generator(self, cell_y: int, cell_x: int) -> np.random.Generator:
        """Return the generator of one noise cell."""
        numbers = (self.seed, self.realization, self.time, self.variable, self.stream)
        packed = struct.pack("<7q", *numbers, cell_y, cell_x)
        key = int.from_bytes(hashlib.blake2b(packed, digest_size=16).digest(), "little")
        return np.random.Generator(np.random.Philox(key=key))


def white_noise(
    key: NoiseKey, origin: tuple[int, int], shape: tuple[int, int], *, period: int | None = None
) -> np.ndarray:
    """Return standard normal noise on a window of absolute pixels, float32 of this shape.

    The origin (y, x) may be negative. On a globe of `period` pixels around, columns count modulo
    that number.

    Examples
    --------
    >>> key = NoiseKey(seed=0, realization=0, time=0)
    >>> whole = white_noise(key, (0, 0), (100, 100))
    >>> bool((white_noise(key, (30, 40), (9, 9)) == whole[30:39, 40:49]).all())
    True
    """
    height, width = shape
    if period is None:
        return _plane(key, origin, shape)
    parts = []
    start = origin[1]
    while width > 0:
        column = start % period
        taken = min(width, period - column)
        parts.append(_plane(key, (origin[0], column), (height, taken)))
        start, width = start + taken, width - taken
    return np.concatenate(parts, axis=1)


def _plane(key: NoiseKey, origin: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """Assemble a window from its noise cells, without wrap-around."""
    out = np.empty(shape, dtype=np.float32)
    (top, left), (bottom, right) = origin, (origin[0] + shape[0], origin[1] + shape[1])
    for cell_y in range(top // CELL, -(-bottom // CELL)):
        for cell_x in range(left // CELL, -(-right // CELL)):
            cell = key.generator(cell_y, cell_x).standard_normal((CELL, CELL), dtype=np.float32)
            y0, x0 = cell_y * CELL, cell_x * CELL
            rows = slice(max(top, y0), min(bottom, y0 + CELL))
            columns = slice(max(left, x0), min(right, x0 + CELL))
            out[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = (
                cell[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0]
            )
    return out
