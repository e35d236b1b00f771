"""Mean and deviation of data that come in parts: batches, dask chunks, months.

:mod:`xdeepr.normalization` is fitted with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from xdeepr.errors import GridError, MissingValuesError, OptionError

Method = Literal["domain-wise", "pixel-wise", "landmask-wise", "instance"]

METHODS: tuple[Method, ...] = get_args(Method)
"""What a mean and a deviation are shared by: all cells, no cells, land or sea, one field."""

_SLAB = 2**21
"""Numbers that are turned to float64 at a time."""


class _Summary(NamedTuple):
    """Number of values, their mean, and the sum of their squared deviations from it.

    Shape (channel, region); `number` may have size 1 along an axis along which it is the same.
    """

    number: np.ndarray
    mean: np.ndarray
    squares: np.ndarray


class Moments:
    """Mean and deviation of data that come in parts.

    Each part is reduced to its number, mean and sum of squared deviations in float64, with two
    looks at the part. Parts are merged by the formula of Chan et al., so nothing is lost where
    the mean is large against the deviation, and it does not matter how the data are cut.

    Parameters
    ----------
    by_month : bool, default: False
        Keep the months of the year apart.
    method : {"domain-wise", "pixel-wise", "landmask-wise"}
        Which cells share a mean and a deviation.
    land : numpy.ndarray of bool, shape (y, x), optional
        True over land. Needed for "landmask-wise".

    Raises
    ------
    OptionError
        If the method is unknown or has nothing to fit, or `land` is missing or not boolean.

    References
    ----------
    Chan, Golub and LeVeque, 1983, doi:10.1080/00031305.1983.10483115 (equations 2.1).
    """

    def __init__(
        self,
        *,
        by_month: bool = False,
        method: Method = "domain-wise",
        land: np.ndarray | None = None,
    ) -> None:
        if method not in METHODS or method == "instance":
            fitted = ", ".join(name for name in METHODS if name != "instance")
            raise OptionError(f"normalization {method!r} is not fitted: choose of {fitted}.")
        if method == "landmask-wise":
            if land is None:
                raise OptionError(
                    "normalization 'landmask-wise' needs to know where land is: give a land–sea"
                    " mask as covariate, or choose 'domain-wise'."
                )
            land = np.asarray(land)
            if land.dtype != bool or land.ndim != 2:
                raise OptionError(
                    f"land is an array of {land.dtype} with {land.ndim} dimensions: give True over"
                    " land and False over sea, shape (y, x), for example mask.values > 0.5."
                )
        self.by_month, self.method = by_month, method
        self.land = land if method == "landmask-wise" else None
        self._shape: tuple[int, int, int] | None = None
        self._found: dict[int, _Summary] = {}

    def update(self, fields: Any, months: np.ndarray | None = None) -> None:
        """Add data.

        Parameters
        ----------
        fields : array, shape (time, channel, y, x)
            On the whole domain; numpy, a torch tensor on the CPU, or dask, which is computed chunk
            by chunk. NaN is left out.
        months : numpy.ndarray of int, shape (time,), optional
            Month of each time, 1 to 12. Needed, and only read, if the months are kept apart.

        Raises
        ------
        OptionError
            If `months` is missing or does not fit, or `fields` are of another shape.
        GridError
            If the fields are of another size than the mask or than those before.
        """
        shape = tuple(fields.shape)
        if len(shape) != 4:
            raise OptionError(
                f"fields of shape {shape}: normalization is fitted to (time, channel, y, x)."
            )
        if self.land is not None and self.land.shape != shape[2:]:
            raise GridError(
                f"the land–sea mask has {self.land.shape} cells along y and x, the fields have"
                f" {shape[2:]}: bring the mask onto the grid of the fields."
            )
        if self._shape not in (None, shape[1:]):
            raise GridError(
                f"fields of shape {shape[1:]} cannot be added to those of shape {self._shape}: fit"
                " a normalization to one set of channels on one domain."
            )
        self._shape = shape[1:]
        wanted = check_months(months, shape[0]) if self.by_month else None
        reduce = _reduce_chunks if hasattr(fields, "to_delayed") else _by_month
        self._add(reduce(fields, wanted, self.method, self.land))

    def merge(self, other: Moments) -> None:
        """Add what another accumulator of the same kind has seen.

        Raises
        ------
        OptionError
            If it is of another kind.
        """
        if (self.by_month, self.method) != (other.by_month, other.method):
            raise OptionError("moments: only those with the same method and months merge.")
        if None not in (self._shape, other._shape) and self._shape != other._shape:
            raise OptionError(f"moments of {self._shape} and {other._shape} do not merge.")
        self._shape = self._shape or other._shape
        self._add(other._found)

    def _add(self, found: Mapping[int, _Summary]) -> None:
        self._found = _merge_months([self._found, found])

    def result(self, *, center: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation of all data so far.

        Parameters
        ----------
        center : bool, default: True
            False: mean 0, and the root mean square as deviation.

        Returns
        -------
        mean, std : numpy.ndarray, shape (M, C, Y, X)
            M is 12 by month, otherwise 1; Y and X are 1 if the domain shares its numbers. Where
            there is no variance (a deviation up to 1e-6 of the mean, which rounding to
            float32 may cause) the deviation is 1. A month without data has the numbers of the
            nearest month that has some, of two equally near ones those of the earlier; this is
            settled cell by cell. A cell that never has a value has the mean 0 and the deviation 1.

        Raises
        ------
        OptionError
            If there have not been any data.
        MissingValuesError
            If a value was infinite.
        """
        if self._shape is None:
            raise OptionError("normalization: there are no data to fit it to; add some first.")
        channels, *domain = self._shape
        regions = {"domain-wise": 1, "landmask-wise": 2}.get(self.method, int(np.prod(domain)))
        shape = (12 if self.by_month else 1, channels, regions)
        mean, std, known = np.zeros(shape), np.ones(shape), np.zeros(shape, bool)
        for month, summary in self._found.items():
            place = month - 1 if self.by_month else 0
            mean[place], std[place] = _mean_and_spread(summary, center=center)
            known[place] = summary.number > 0
        if not np.isfinite(mean + std).all():
            channel = int(np.argwhere(~np.isfinite(mean + std))[0, 1])
            raise MissingValuesError(
                f"channel {channel} (counted from 0) has infinite values, so it has no mean: fill"
                " them or select a part without them."
            )
        _fill_months(known, mean, std)
        return self._on_grid(mean), self._on_grid(std)

    def _on_grid(self, numbers: np.ndarray) -> np.ndarray:
        """Turn (month, channel, region) into (month, channel, y, x)."""
        assert self._shape is not None  # the only caller checks
        if self.land is not None:
            return np.where(self.land, numbers[..., :1, None], numbers[..., 1:, None])
        side = self._shape[1:] if self.method == "pixel-wise" else (1, 1)
        return numbers.reshape(*numbers.shape[:2], *side)


def field_statistics(fields: np.ndarray) -> np.ndarray:
    """Return mean and deviation of each field, for the method "instance".

    Parameters
    ----------
    fields : numpy.ndarray, shape (time, channel, y, x)
        In physical units. NaN is left out.

    Returns
    -------
    numpy.ndarray, shape (time, 2, channel)
        float64; mean and population standard deviation over y and x. A field that is constant
        but for rounding (a deviation up to 1e-6 of its mean) gets the deviation 1; a field
        without any value the mean 0 and the deviation 1.
    """
    out = np.empty((fields.shape[0], 2, fields.shape[1]))
    for time, field in enumerate(fields):
        out[time] = statistics_of_parts([field])
    return out


def statistics_of_parts(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Return mean and deviation of one field that comes in parts; see :func:`field_statistics`.

    Parameters
    ----------
    parts : iterable of numpy.ndarray, shape (channel, y, x)
        In physical units; at least one. NaN is left out.

    Returns
    -------
    numpy.ndarray, shape (2, channel)
    """
    summaries = (_summarize(np.asarray(part)[None], "domain-wise", None) for part in parts)
    mean, std = _mean_and_spread(reduce(_merge, summaries), center=True)
    return np.stack([mean[:, 0], std[:, 0]])


def check_months(months: Any, times: int) -> np.ndarray:
    """Return months as whole numbers, one for each time."""
    if months is None:
        raise OptionError(
            "the normalization is by month, so the month of each time is needed: give months=, an"
            " array of 1 to 12, for example time.dt.month.values."
        )
    found = np.asarray(months)
    if found.shape != (times,) or (found.size and found.dtype.kind not in "iu"):
        raise OptionError(
            f"months is an array of {found.dtype} of shape {found.shape}: give one whole number"
            f" for each of {times} times."
        )
    if found.size and not (found.min() >= 1 and found.max() <= 12):
        raise OptionError(
            f"months run from {found.min()} to {found.max()}: give 1 to 12. Data without a time"
            " coordinate have no month; add one, or fit without by_month."
        )
    return found.astype(np.int64)


def _mean_and_spread(summary: _Summary, *, center: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation, the latter 1 where there is none."""
    mean = summary.mean
    variance = summary.squares / np.maximum(summary.number, 1)
    if not center:
        variance, mean = variance + mean**2, np.zeros_like(mean)
    spread = np.sqrt(variance)
    # below rounding of float32 the "variance" of constant values is noise
    return mean, np.where(spread <= 1e-6 * np.maximum(np.abs(mean), 1e-30), 1.0, spread)


def _fill_months(known: np.ndarray, *numbers: np.ndarray) -> None:
    """Give months without data the numbers of the nearest month with data, in place."""
    sources = [known, *(array.copy() for array in numbers)]
    done = known.copy()
    for distance in range(1, len(known) // 2 + 1):
        if done.all():
            return
        for step in (distance, -distance):  # np.roll by +1 brings the month before
            there, *found = (np.roll(array, step, axis=0) for array in sources)
            taken = there & ~done
            for array, values in zip(numbers, found, strict=True):
                array[taken] = values[taken]
            done |= taken


def _summarize(fields: np.ndarray, method: Method, land: np.ndarray | None) -> _Summary:
    """Reduce fields (time, channel, y, x) of one month."""
    values = np.asarray(fields, dtype=np.float64)
    values = values.reshape(*values.shape[:2], values.shape[2] * values.shape[3])
    if method == "pixel-wise":
        return _reduce(values, (0,))
    if land is None:
        return _reduce(values, (0, 2))
    parts = [_reduce(values[:, :, where.ravel()], (0, 2)) for where in (land, ~land)]
    return _Summary(
        np.concatenate([np.broadcast_to(p.number, p.mean.shape) for p in parts], axis=1),
        np.concatenate([p.mean for p in parts], axis=1),
        np.concatenate([p.squares for p in parts], axis=1),
    )


def _reduce(values: np.ndarray, axes: tuple[int, ...]) -> _Summary:
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
    return _Summary(count[0].astype(np.float64), mean[0], squares[0])


def _merge(a: _Summary, b: _Summary) -> _Summary:
    """Return the summary of two samples together (Chan et al., 1983, equations 2.1)."""
    count = a.number + b.number
    share = b.number / np.maximum(count, 1)
    with np.errstate(invalid="ignore"):
        shift = b.mean - a.mean
        mean = a.mean + shift * share
        squares = a.squares + b.squares + shift**2 * a.number * share
    return _Summary(count, mean, squares)


def _merge_months(parts: Sequence[Mapping[int, _Summary]]) -> dict[int, _Summary]:
    """Merge summaries month by month."""
    out: dict[int, _Summary] = {}
    for part in parts:
        for month, summary in part.items():
            out[month] = _merge(out[month], summary) if month in out else summary
    return out


def _by_month(
    fields: Any, months: np.ndarray | None, method: Method, land: np.ndarray | None
) -> dict[int, _Summary]:
    """Reduce fields in memory month by month (0: all of them), a slab of times at a time."""
    fields = np.asarray(fields)
    keys = np.zeros(len(fields), int) if months is None else months
    step = max(1, _SLAB // max(1, int(np.prod(fields.shape[1:]))))
    out: dict[int, _Summary] = {}
    for month in np.unique(keys).tolist():
        times = np.flatnonzero(keys == month)
        for first in range(0, len(times), step):
            summary = _summarize(fields[times[first : first + step]], method, land)
            out[month] = _merge(out[month], summary) if month in out else summary
    return out


def _reduce_chunks(
    fields: Any, months: np.ndarray | None, method: Method, land: np.ndarray | None
) -> dict[int, _Summary]:
    """Reduce a dask array chunk by chunk; chunks are merged as soon as there are some."""
    from dask import compute, delayed

    starts = [np.cumsum([0, *sizes]) for sizes in fields.chunks]
    cuts = [[slice(a, b) for a, b in pairwise(s)] for s in starts]
    blocks = fields.to_delayed()
    parts: dict[tuple[int, int, int], list[Any]] = {}
    for time, channel, row, column in np.ndindex(blocks.shape):
        piece = None if land is None else land[cuts[2][row], cuts[3][column]]
        then = None if months is None else months[cuts[0][time]]
        # cells that share their numbers are merged wherever they lie
        place = (channel, row, column) if method == "pixel-wise" else (channel, 0, 0)
        reduced = delayed(_by_month)(blocks[time, channel, row, column], then, method, piece)
        parts.setdefault(place, []).append(reduced)
    for place, summaries in parts.items():
        while len(summaries) > 1:
            summaries = [
                delayed(_merge_months)(summaries[i : i + 8]) for i in range(0, len(summaries), 8)
            ]
        parts[place] = summaries
    (reduced,) = compute([summaries[0] for summaries in parts.values()])
    return _assemble(dict(zip(parts, reduced, strict=True)), cuts, method)


def _assemble(
    pieces: Mapping[tuple[int, int, int], Mapping[int, _Summary]],
    cuts: Sequence[Sequence[slice]],
    method: Method,
) -> dict[int, _Summary]:
    """Put the summaries of chunks of channels, rows and columns together."""
    sizes = [parts[-1].stop for parts in cuts[1:]]
    if method != "pixel-wise":
        sizes[1:] = 1, 2 if method == "landmask-wise" else 1
    out: dict[int, _Summary] = {}
    for (channel, row, column), months in pieces.items():
        place: tuple[slice, ...] = (cuts[1][channel],)
        if method == "pixel-wise":
            place += cuts[2][row], cuts[3][column]
        for month, summary in months.items():
            if month not in out:
                out[month] = _Summary(*(np.zeros(sizes) for _ in range(3)))
            for whole, part in zip(out[month], summary, strict=True):
                part = np.broadcast_to(part, summary.mean.shape)
                whole[place] = part.reshape(whole[place].shape)
    return {
        month: _Summary(*(array.reshape(sizes[0], sizes[1] * sizes[2]) for array in summary))
        for month, summary in out.items()
    }
