"""Mean and standard deviation fitted on the training part, and the inverse.

There may be one pair of numbers for each channel, or more: one for each month of the year, and one
for each grid cell, or for land and sea. With the method "instance" nothing is fitted: each field
is normalized with its own mean and deviation, which the caller gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xdeepr.checks import one_of
from xdeepr.errors import GridError, OptionError
from xdeepr.normalization.moments import Moments, check_months
from xdeepr.normalization.summaries import METHODS, Method
from xdeepr.normalization.transform import (
    EVERYTHING,
    Interval,
    Transform,
    Values,
    Window,
    check_values,
    like,
)

LISTED = 4096
"""Arrays with more numbers than this are kept as tensors beside the JSON text, in float32."""


@dataclass(frozen=True, eq=False)
class Affine(Transform):
    r"""Subtract the mean of a channel and divide by its deviation: :math:`(x - \mu) / \sigma`.

    Parameters
    ----------
    mean, std : numpy.ndarray, shape (M, C, Y, X)
        float64, in the units of the C channels; `std` is greater than 0. M is 1, or 12 for the
        months, January first. Y and X are 1, or the size of the fitted domain. Instead, one number
        for each channel may be given.
    method : {"domain-wise", "pixel-wise", "landmask-wise", "instance"}
        Which cells share a mean and a deviation: those of the domain, none, those over land and
        those over sea, or those of one field at one time. For the last, `mean` and `std` only
        stand for the number of channels.

    Notes
    -----
    Arrays of more than 4096 numbers are rounded to float32 at once, because they are saved so: a
    model then gives the same numbers before it is saved and after it is loaded.
    """

    name: ClassVar[str] = "affine"

    mean: np.ndarray
    std: np.ndarray
    method: Method = "domain-wise"

    def __post_init__(self) -> None:
        one_of("normalization", self.method, METHODS)
        for name in ("mean", "std"):
            array = np.asarray(getattr(self, name), dtype=np.float64)
            if array.ndim == 1:
                array = array[None, :, None, None]
            if array.size > LISTED:
                array = array.astype(np.float32).astype(np.float64)
            object.__setattr__(self, name, array)
        shape = self.mean.shape
        if len(shape) != 4 or shape[0] not in (1, 12) or self.std.shape != shape:
            raise OptionError(
                f"normalization has a mean of shape {shape} and a deviation of shape"
                f" {self.std.shape}: both need the shape (months, channels, y, x) with 1 or 12"
                " months."
            )
        finite = np.isfinite(self.mean).all() and np.isfinite(self.std).all()
        if not (finite and (self.std > 0).all()):
            raise OptionError(
                "normalization: each mean must be finite and each deviation finite and greater"
                " than 0: fit it again."
            )
        if self.method in ("domain-wise", "instance") and self.pixelwise:
            raise OptionError(
                f"normalization {self.method!r} has one number for each cell (shape {shape}): it"
                " needs the shape (months, channels, 1, 1)."
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Affine) and (
            self.method == other.method
            and np.array_equal(self.mean, other.mean)
            and np.array_equal(self.std, other.std)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def channels(self) -> int:
        return int(self.mean.shape[1])

    @property
    def by_field(self) -> bool:
        return self.method == "instance"

    @property
    def by_month(self) -> bool:
        return self.mean.shape[0] == 12

    @property
    def domain(self) -> tuple[int, int] | None:
        height, width = self.mean.shape[2:]
        return (height, width) if height * width > 1 else None

    @classmethod
    def fit(
        cls,
        fields: Any,
        *,
        months: np.ndarray | None = None,
        by_month: bool = False,
        method: Method = "domain-wise",
        land: np.ndarray | None = None,
        center: bool = True,
    ) -> Affine:
        """Fit to data (time, channel, y, x), numpy or dask, read once and chunk by chunk.

        NaN is left out. `months` holds the month of each time, 1 to 12, and `land` is True over
        land, (y, x); each is needed only where the method or `by_month` asks for it. Without
        `center` the mean is 0 and the deviation the root mean square: values are scaled and not
        shifted.
        """
        if method == "instance":
            return cls.instance(int(fields.shape[1]))
        moments = Moments(by_month=by_month, method=method, land=land)
        moments.update(fields, months)
        return cls.from_moments(moments, center=center)

    @classmethod
    def from_moments(cls, moments: Moments, *, center: bool = True) -> Affine:
        """Return the normalization fitted to data that came in parts; see :meth:`fit`."""
        mean, std = moments.result(center=center)
        return cls(mean, std, moments.method)

    @classmethod
    def instance(cls, channels: int) -> Affine:
        """Return the normalization of each field by its own mean and deviation."""
        return cls(np.zeros(channels), np.ones(channels), "instance")

    def bounds(self, channel: int, latent: Interval = EVERYTHING) -> Interval:
        if self.by_field:  # mean and deviation may be any
            return EVERYTHING
        low, high = (self.mean[:, channel] + self.std[:, channel] * end for end in latent)
        return float(low.min()), float(high.max())

    def apply(self, values: Values, **where: Any) -> Values:
        mean, std = self._scale(values, **where)
        return (values - mean) / std

    def invert(self, values: Values, **where: Any) -> Values:
        mean, std = self._scale(values, **where)
        return values * std + mean

    def _scale(
        self,
        values: Values,
        *,
        months: np.ndarray | None = None,
        window: Window | None = None,
        statistics: Any = None,
    ) -> tuple[Values, Values]:
        """Return mean and deviation that broadcast against the values, like them in type."""
        check_values(values, self.channels)
        shape = tuple(values.shape)
        if self.by_field:
            mean, std = _instance_columns(statistics, shape, self.channels)
            return like(values, mean), like(values, std)
        mean, std = self.mean, self.std
        if self.domain is not None:
            rows, columns = _checked_window(window, self.domain, shape[-2:])
            mean, std = mean[..., rows, columns], std[..., rows, columns]
        if not self.by_month:
            return like(values, mean[0]), like(values, std[0])
        months = check_months(months, _times(shape, "months"))
        return _of_months(values, mean, months), _of_months(values, std, months)

    def to_json(self) -> dict[str, Any]:
        # flat lists in the order of "shape", or {"tensor": True} where they are in tensors()
        big = self.mean.size > LISTED
        return {
            "method": self.method,
            "shape": list(self.mean.shape),
            **{
                name: {"tensor": True} if big else getattr(self, name).ravel().tolist()
                for name in ("mean", "std")
            },
        }

    def tensors(self) -> dict[str, np.ndarray]:
        if self.mean.size <= LISTED:
            return {}
        return {name: getattr(self, name).astype(np.float32) for name in ("mean", "std")}

    @classmethod
    def from_json(
        cls, data: Mapping[str, Any], tensors: Mapping[str, np.ndarray] | None = None
    ) -> Affine:
        unknown = set(data) - {"method", "shape", "mean", "std"}
        if unknown:
            raise KeyError(f"unknown key {min(unknown)!r}")
        arrays = []
        for name in ("mean", "std"):
            stated = data[name]
            if isinstance(stated, Mapping):
                if dict(stated) != {"tensor": True}:
                    raise ValueError(f"{name} is {stated!r}")
                stated = (tensors or {})[name]
            elif not isinstance(stated, Sequence) or isinstance(stated, str):
                raise TypeError(f"{name} is {stated!r}, not a list")
            array = np.asarray(stated, dtype=np.float64)
            # cards of version 1 have no shape, and one number for each channel
            shape = tuple(data["shape"]) if "shape" in data else (1, len(stated), 1, 1)
            if any(not isinstance(n, int) or n < 0 for n in shape):
                raise ValueError(f"shape is {shape!r}")
            arrays.append(array.reshape(shape))
        return cls(arrays[0], arrays[1], data.get("method", "domain-wise"))


def _times(shape: tuple[int, ...], option: str) -> int:
    """Return the length of the time axis of values (..., time, C, H, W)."""
    if len(shape) < 4:
        raise OptionError(
            f"values of shape {shape} have no time axis for {option}=: give the shape"
            " (time, channel, y, x)."
        )
    return shape[-4]


def _checked_window(
    window: Window | None, domain: tuple[int, ...], size: tuple[int, ...]
) -> Window:
    """Return a window that lies on the fitted domain and has the size of the values."""
    if window is None:
        raise OptionError(
            "the normalization has numbers for each cell, so the place of the values is needed:"
            " give window=, the rows and columns of the fitted domain as two slices."
        )
    checked = []
    for cut, cells, wanted, name in zip(window, domain, size, "yx", strict=True):
        start = 0 if cut.start is None else cut.start
        stop = cells if cut.stop is None else cut.stop
        if cut.step not in (None, 1) or not 0 <= start <= stop <= cells or stop - start != wanted:
            raise GridError(
                f"window {start} to {stop} along {name} does not suit values of {wanted} cells on"
                f" the fitted domain of {cells} cells: a normalization by cell is for its own"
                " domain only; downscale a part of that domain, or fit with"
                " normalization='domain-wise'."
            )
        checked.append(slice(start, stop))
    return checked[0], checked[1]


def _instance_columns(
    statistics: Any, shape: tuple[int, ...], channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of each field, shape (time, channel, 1, 1)."""
    if statistics is None:
        raise OptionError(
            "normalization 'instance' needs the mean and deviation of each field: give"
            " statistics=field_statistics(fields)."
        )
    if hasattr(statistics, "detach"):  # a torch tensor, wherever it is
        statistics = statistics.detach().cpu().numpy()
    given = np.asarray(statistics, dtype=np.float64)
    wanted = (_times(shape, "statistics"), 2, channels)
    if given.shape != wanted:
        raise OptionError(f"statistics of shape {given.shape}: the values need {wanted}.")
    if not (given[:, 1] > 0).all():
        raise OptionError("statistics: each deviation must be greater than 0.")
    return given[:, 0, :, None, None], given[:, 1, :, None, None]


def _of_months(values: Values, numbers: np.ndarray, months: np.ndarray) -> Values:
    """Return the numbers (month, C, y, x) of the month of each time, like the values in type."""
    used, place = np.unique(months - 1, return_inverse=True)
    chosen = like(values, numbers[used])
    # one month for all times broadcasts: no copy as large as the values
    return chosen if len(used) == 1 else chosen[place]
