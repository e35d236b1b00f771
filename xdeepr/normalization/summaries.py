r"""Number, mean and sum of squared deviations of data that come in parts.

Each part is reduced in float64 with two looks at it. The summaries of two samples make that of
both: with their numbers :math:`n`, means :math:`m` and sums of squared deviations :math:`S`,

.. math::

    n = n_a + n_b, \qquad m = m_a + (m_b - m_a) \frac{n_b}{n}, \qquad (1)

    S = S_a + S_b + (m_b - m_a)^2 \frac{n_a n_b}{n} \qquad (2)

(Chan, Golub and LeVeque, 1983, doi:10.1080/00031305.1983.10483115, equations 2.1). So nothing is
lost where the mean is large against the deviation, and it does not matter how the data are cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

Method = Literal["domain-wise", "pixel-wise", "landmask-wise", "instance"]

METHODS: tuple[Method, ...] = get_args(Method)
"""What a mean and a deviation are shared by: all cells, no cells, land or sea, one field."""

_SLAB = 2**21
"""Numbers that are turned to float64 at a time."""


class Summary(NamedTuple):
    """What is kept of a sample, shape (channel, region).

    `number` may have size 1 along an axis along which it is the same.
    """

    number: np.ndarray
    mean: np.ndarray
    squares: np.ndarray

    def merged(self, other: Summary) -> Summary:
        """Return the summary of both samples together (equations 1 and 2)."""
        number = self.number + other.number
        share = other.number / np.maximum(number, 1)
        with np.errstate(invalid="ignore"):  # infinity is refused at the end
            shift = other.mean - self.mean
            mean = self.mean + shift * share
            squares = self.squares + other.squares + shift**2 * self.number * share
        return Summary(number, mean, squares)


Monthly = dict[int, Summary]
"""Month -> summary; 0 where months are not kept apart."""


def merge_months(parts: Iterable[Mapping[int, Summary]]) -> Monthly:
    """Merge summaries month by month."""
    out: Monthly = {}
    for part in parts:
        for month, summary in part.items():
            out[month] = out[month].merged(summary) if month in out else summary
    return out


@dataclass(frozen=True)
class Regions:
    """Which cells are summarized together; `land`, (y, x), is True over land."""

    method: Method
    land: np.ndarray | None = None

    @property
    def by_cell(self) -> bool:
        """Whether each cell is a region of its own."""
        return self.method == "pixel-wise"

    def count(self, domain: Sequence[int]) -> int:
        """Return the number of regions on a domain (y, x)."""
        return int(np.prod(domain)) if self.by_cell else 1 if self.land is None else 2

    def part(self, rows: slice, columns: slice) -> Regions:
        """Return the regions of some rows and columns."""
        return self if self.land is None else Regions(self.method, self.land[rows, columns])

    def summarize(self, fields: np.ndarray) -> Summary:
        """Reduce fields (time, channel, y, x)."""
        values = np.asarray(fields, dtype=np.float64)
        values = values.reshape(*values.shape[:2], values.shape[2] * values.shape[3])
        if self.by_cell:
            return _reduce(values, (0,))
        if self.land is None:
            return _reduce(values, (0, 2))
        parts = [_reduce(values[:, :, w.ravel()], (0, 2)) for w in (self.land, ~self.land)]
        full = (Summary(np.broadcast_to(p.number, p.mean.shape), *p[1:]) for p in parts)
        return Summary(*(np.concatenate(pair, axis=1) for pair in zip(*full, strict=True)))

    def by_month(self, fields: Any, months: np.ndarray | None) -> Monthly:
        """Reduce fields in memory month by month, a slab of times at a time."""
        fields = np.asarray(fields)
        keys = np.zeros(len(fields), int) if months is None else months
        step = max(1, _SLAB // max(1, int(np.prod(fields.shape[1:]))))
        slabs = (
            {month: self.summarize(fields[times[first : first + step]])}
            for month in np.unique(keys).tolist()
            for times in [np.flatnonzero(keys == month)]
            for first in range(0, len(times), step)
        )
        return merge_months(slabs)

    def of_chunks(self, fields: Any, months: np.ndarray | None) -> Monthly:
        """Reduce a dask array chunk by chunk; chunks are merged as soon as there are some."""
        from dask import compute, delayed

        starts = [np.cumsum([0, *sizes]) for sizes in fields.chunks]
        cuts = [[slice(a, b) for a, b in pairwise(s)] for s in starts]
        blocks = fields.to_delayed()
        parts: dict[tuple[int, int, int], list[Any]] = {}
        for time, channel, row, column in np.ndindex(blocks.shape):
            piece = self.part(cuts[2][row], cuts[3][column])
            then = None if months is None else months[cuts[0][time]]
            # cells that share their numbers are merged wherever they lie
            place = (channel, row, column) if self.by_cell else (channel, 0, 0)
            reduced = delayed(piece.by_month)(blocks[time, channel, row, column], then)
            parts.setdefault(place, []).append(reduced)
        for place, summaries in parts.items():
            while len(summaries) > 1:
                summaries = [
                    delayed(merge_months)(summaries[i : i + 8]) for i in range(0, len(summaries), 8)
                ]
            parts[place] = summaries
        (reduced,) = compute([summaries[0] for summaries in parts.values()])
        return self._assembled(dict(zip(parts, reduced, strict=True)), cuts)

    def _assembled(
        self, pieces: Mapping[tuple[int, int, int], Monthly], cuts: Sequence[Sequence[slice]]
    ) -> Monthly:
        """Put the summaries of chunks of channels, rows and columns together."""
        channels, *domain = (parts[-1].stop for parts in cuts[1:])
        sizes = (channels, *(domain if self.by_cell else (1, self.count(domain))))
        out: Monthly = {}
        for (channel, row, column), months in pieces.items():
            place: tuple[slice, ...] = (cuts[1][channel],)
            if self.by_cell:
                place += cuts[2][row], cuts[3][column]
            for month, summary in months.items():
                if month not in out:
                    out[month] = Summary(*(np.zeros(sizes) for _ in range(3)))
                for whole, part in zip(out[month], summary, strict=True):
                    part = np.broadcast_to(part, summary.mean.shape)
                    whole[place] = part.reshape(whole[place].shape)
        flat = (channels, sizes[1] * sizes[2])
        return {month: Summary(*(a.reshape(flat) for a in parts)) for month, parts in out.items()}


def _reduce(values: np.ndarray, axes: tuple[int, ...]) -> Summary:
    """Reduce values (time, channel, cell) along some axes, without NaN."""
    valid: Any = ~np.isnan(values)
    if valid.all():
        # most data have no gaps: one number instead of one for each cell
        valid, count = True, np.full((1, 1, 1), np.prod([values.shape[axis] for axis in axes]))
    else:
        count = valid.sum(axis=axes, keepdims=True)
    with np.errstate(invalid="ignore"):  # infinity is refused at the end
        mean = values.sum(axis=axes, keepdims=True, where=valid) / np.maximum(count, 1)
        deviation = values - mean
    np.square(deviation, out=deviation)
    squares = deviation.sum(axis=axes, keepdims=True, where=valid)
    return Summary(count[0].astype(np.float64), mean[0], squares[0])
