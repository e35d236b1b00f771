"""The frozen list of tiles and blocks, made before anything is computed.

Integer geometry only: no arrays, no torch, no xarray. Positions count HR pixels from the low
corner of the whole output domain, so the plan never depends on dask chunks.

A *tile* is the window the network sees at once. A *block* is what one dask task computes: it
owns a *core* of the output and works on all tiles that touch the core, so the tiles that
reach over its border are its halo.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from xdeepr.errors import OptionError

EDGE = 1024
"""Greatest edge of a block's core in HR pixels; chunks of lazy HR fields have it too."""


@dataclass(frozen=True)
class Span:
    """Half-open interval of pixels ``[start, stop)`` along one axis."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def shift(self, by: int) -> Span:
        """Return the span moved by a number of pixels."""
        return Span(self.start + by, self.stop + by)

    def scaled(self, by: int) -> Span:
        """Return the span in pixels that are `by` times as fine."""
        return Span(self.start * by, self.stop * by)

    @property
    def slice(self) -> slice:
        """The span as a slice."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Segment:
    """A block along one axis: its core and the tiles that touch it."""

    core: Span
    tiles: tuple[Span, ...]

    @property
    def window(self) -> Span:
        """Everything the block works on: the union of its tiles."""
        return Span(self.tiles[0].start, self.tiles[-1].stop)

    def scaled(self, by: int) -> Segment:
        """Return the segment in pixels that are `by` times as fine."""
        return Segment(self.core.scaled(by), tuple(t.scaled(by) for t in self.tiles))


@dataclass(frozen=True)
class Block:
    """A block in the plane."""

    y: Segment
    x: Segment

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the window in pixels."""
        return len(self.y.window), len(self.x.window)

    def tiles(self) -> Iterator[tuple[Span, Span]]:
        """Yield the (y, x) spans of all tiles, relative to the window."""
        for y in self.y.tiles:
            for x in self.x.tiles:
                yield y.shift(-self.y.window.start), x.shift(-self.x.window.start)

    def scaled(self, by: int) -> Block:
        """Return the block in pixels that are `by` times as fine."""
        return self if by == 1 else Block(self.y.scaled(by), self.x.scaled(by))

    def core_in_window(self) -> tuple[slice, slice]:
        """Return the (y, x) slices of the core, relative to the window."""
        y = self.y.core.shift(-self.y.window.start)
        x = self.x.core.shift(-self.x.window.start)
        return y.slice, x.slice


@dataclass(frozen=True)
class Plan:
    """How a domain is divided into blocks and tiles.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the output domain in pixels.
    tile : tuple of int
        Height and width of a tile.
    overlap : int
        Pixels that neighbouring tiles share (more next to the high edge of the domain, where
        the last tile is moved inwards).
    y, x : tuple of Segment
        The blocks along each axis.
    closed : bool
        Whether the columns go all the way round the globe. Tiles then go on across the seam, and
        columns below 0 and from the width on count modulo the width.
    """

    shape: tuple[int, int]
    tile: tuple[int, int]
    overlap: int
    y: tuple[Segment, ...]
    x: tuple[Segment, ...]
    closed: bool = False

    def blocks(self) -> Iterator[tuple[int, int, Block]]:
        """Yield (row, column, block) for all blocks."""
        for row, y in enumerate(self.y):
            for column, x in enumerate(self.x):
                yield row, column, Block(y, x)

    @property
    def chunks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Sizes of the cores along y and x, as dask writes chunks."""
        return tuple(len(s.core) for s in self.y), tuple(len(s.core) for s in self.x)

    @property
    def overhang(self) -> int:
        """Columns by which tiles reach beyond the domain, on the side where they reach furthest."""
        return max(max(-s.window.start, s.window.stop - self.shape[1]) for s in self.x)

    def scaled(self, by: int) -> Plan:
        """Return the plan in pixels that are `by` times as fine."""
        return Plan(
            (self.shape[0] * by, self.shape[1] * by),
            (self.tile[0] * by, self.tile[1] * by),
            self.overlap * by,
            tuple(s.scaled(by) for s in self.y),
            tuple(s.scaled(by) for s in self.x),
            self.closed,
        )


def make_plan(
    shape: tuple[int, int],
    *,
    tile: tuple[int, int],
    overlap: int,
    block: int = EDGE,
    closed: bool = False,
) -> Plan:
    """Divide a domain into tiles and blocks.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the output domain in pixels.
    tile : tuple of int
        Wanted height and width of a tile; a tile never exceeds the domain.
    overlap : int
        Pixels that neighbouring tiles share.
    block : int, default: :data:`EDGE`
        Greatest edge of a block's core in pixels, rounded down to whole tiles (at least one).
    closed : bool, default: False
        Whether the columns go all the way round the globe. A tile as wide as the domain is then
        made wider by the overlap on both sides.

    Raises
    ------
    OptionError
        If tile or overlap are not positive, or the overlap is not smaller than half a tile.
    """
    if min(tile) < 1 or overlap < 0 or block < 1:
        raise OptionError(
            f"tile={tile}, overlap={overlap}, block={block}: sizes are in pixels and must be"
            " positive (overlap may be 0)."
        )
    sizes = tuple(min(t, n) for t, n in zip(tile, shape, strict=True))
    for size, n, axis in zip(sizes, shape, "yx", strict=True):
        joined = size < n or (closed and axis == "x")
        if joined and 2 * overlap > size:
            raise OptionError(
                f"overlap={overlap} pixels is more than half of the tile along {axis}"
                f" ({size} pixels): choose overlap <= {size // 2} or a larger tile."
            )
    segments = [
        _segments(n, s, overlap, block, _ring(n, s, overlap) if ring else _row(n, s, overlap))
        for n, s, ring in zip(shape, sizes, (False, closed), strict=True)
    ]
    width = segments[1][0].tiles[0]
    return Plan(shape, (sizes[0], len(width)), overlap, segments[0], segments[1], closed)


def _row(length: int, tile: int, overlap: int) -> list[Span]:
    """Return tiles at a fixed stride from one end of an axis to the other."""
    stride = tile - overlap if tile < length else tile
    count = max(1, math.ceil((length - tile) / stride) + 1)
    starts = [min(i * stride, length - tile) for i in range(count)]
    return [Span(start, start + tile) for start in starts]


def _ring(length: int, tile: int, overlap: int) -> list[Span]:
    """Return tiles at a fixed stride round an axis without ends, in three turns.

    Before a turn is complete, the last stride is shorter.
    """
    if tile >= length:
        return [Span(-overlap, length + overlap)]
    starts = range(0, length, tile - overlap)
    turns = (-length, 0, length)
    return [Span(turn + start, turn + start + tile) for turn in turns for start in starts]


def _segments(
    length: int, tile: int, overlap: int, block: int, tiles: list[Span]
) -> tuple[Segment, ...]:
    """Divide one axis into cores of a whole number of strides, with the tiles that touch them."""
    # Cores are equal but for a smaller last one, as zarr wants its chunks. Tiles that begin or end
    # within half an overlap of a core belong to its block too, so both sides of a cut see the same.
    stride = tile - overlap if tile < length else tile
    core = max(1, block // stride) * stride
    cuts = [*range(0, length, core), length] if len(tiles) > 1 else [0, length]
    reach = overlap // 2
    return tuple(
        Segment(Span(a, b), tuple(t for t in tiles if t.start < b + reach and t.stop > a - reach))
        for a, b in pairwise(cuts)
    )
