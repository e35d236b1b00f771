"""Mean and deviation of data that come in parts: batches, dask chunks, months."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

import numpy as np

from xdeepr.checks import one_of
from xdeepr.errors import GridError, MissingValuesError, OptionError
from xdeepr.normalization.summaries import METHODS, Method, Monthly, Regions, Summary, merge_months


class Moments:
    """Mean and deviation of data that come in parts.

    Parameters
    ----------
    method
        Which cells share a mean and a deviation; all but "instance".
    land : numpy.ndarray of bool, shape (y, x), optional
        True over land. Needed for "landmask-wise".
    """

    def __init__(
        self,
        *,
        by_month: bool = False,
        method: Method = "domain-wise",
        land: np.ndarray | None = None,
    ) -> None:
        one_of("normalization", method, [name for name in METHODS if name != "instance"])
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
        self._regions = Regions(method, land if method == "landmask-wise" else None)
        self._shape: tuple[int, int, int] | None = None
        self._summaries: Monthly = {}

    def update(self, fields: Any, months: np.ndarray | None = None) -> None:
        """Add fields (time, channel, y, x) on the whole domain; NaN is left out.

        They are numpy, torch on the CPU, or dask, which is computed chunk by chunk. `months`, 1 to
        12 for each time, are needed, and only read, if the months are kept apart.
        """
        shape = tuple(fields.shape)
        if len(shape) != 4:
            raise OptionError(
                f"fields of shape {shape}: normalization is fitted to (time, channel, y, x)."
            )
        land = self._regions.land
        if land is not None and land.shape != shape[2:]:
            raise GridError(
                f"the land–sea mask has {land.shape} cells along y and x, the fields have"
                f" {shape[2:]}: bring the mask onto the grid of the fields."
            )
        if self._shape not in (None, shape[1:]):
            raise GridError(
                f"fields of shape {shape[1:]} cannot be added to those of shape {self._shape}: fit"
                " a normalization to one set of channels on one domain."
            )
        self._shape = shape[1:]
        wanted = check_months(months, shape[0]) if self.by_month else None
        lazy = hasattr(fields, "to_delayed")
        summarize = self._regions.of_chunks if lazy else self._regions.by_month
        self._summaries = merge_months([self._summaries, summarize(fields, wanted)])

    def result(self, *, center: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation of all data so far, shape (M, C, Y, X).

        M is 12 by month, otherwise 1; Y and X are 1 if the domain shares its numbers. Without
        `center` the mean is 0, and the deviation the root mean square. Where there is no variance
        (a deviation up to 1e-6 of the mean, which rounding to float32 may cause) the deviation is
        1. A month without data has the numbers of the nearest month that has some, of two equally
        near ones those of the earlier; this is settled cell by cell. A cell that never has a value
        has the mean 0 and the deviation 1.
        """
        if self._shape is None:
            raise OptionError("normalization: there are no data to fit it to; add some first.")
        channels, *domain = self._shape
        shape = (12 if self.by_month else 1, channels, self._regions.count(domain))
        mean, std, known = np.zeros(shape), np.ones(shape), np.zeros(shape, bool)
        for month, summary in self._summaries.items():
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
        land = self._regions.land
        if land is not None:
            return np.where(land, numbers[..., :1, None], numbers[..., 1:, None])
        side = self._shape[1:] if self._regions.by_cell else (1, 1)
        return numbers.reshape(*numbers.shape[:2], *side)


def field_statistics(fields: np.ndarray) -> np.ndarray:
    """Return mean and population deviation over y and x of fields (time, channel, y, x).

    The method "instance" needs them, shape (time, 2, channel), float64. NaN is left out. A field
    that is constant but for rounding (a deviation up to 1e-6 of its mean) gets the deviation 1; a
    field without any value the mean 0 and the deviation 1.
    """
    each = [statistics_of_parts([field]) for field in fields]
    return np.stack(each) if each else np.empty((0, 2, fields.shape[1]))


def statistics_of_parts(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Return mean and deviation, (2, channel), of one field in parts (channel, y, x).

    There has to be one part at least. See :func:`field_statistics`.
    """
    whole = Regions("domain-wise")
    summaries = (whole.summarize(np.asarray(part)[None]) for part in parts)
    mean, std = _mean_and_spread(reduce(Summary.merged, summaries), center=True)
    return np.stack([mean[:, 0], std[:, 0]])


def check_months(months: Any, times: int) -> np.ndarray:
    """Return months as whole numbers, one for each time."""
    if months is None:
        raise OptionError(
            "the normalization is by month, so the month of each time is needed: give months=, an"
            " array of 1 to 12, for example time.dt.month.values."
        )
    given = np.asarray(months)
    if given.shape != (times,) or (given.size and given.dtype.kind not in "iu"):
        raise OptionError(
            f"months is an array of {given.dtype} of shape {given.shape}: give one whole number"
            f" for each of {times} times."
        )
    if given.size and not (given.min() >= 1 and given.max() <= 12):
        raise OptionError(
            f"months run from {given.min()} to {given.max()}: give 1 to 12. Data without a time"
            " coordinate have no month; add one, or fit without by_month."
        )
    return given.astype(np.int64)


def _mean_and_spread(summary: Summary, *, center: bool) -> tuple[np.ndarray, np.ndarray]:
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
            there, *shifted = (np.roll(array, step, axis=0) for array in sources)
            taken = there & ~done
            for array, values in zip(numbers, shifted, strict=True):
                array[taken] = values[taken]
            done |= taken
