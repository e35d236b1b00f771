"""What a map of a field to the space in which it is learnt has to offer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from xdeepr.errors import OptionError

if TYPE_CHECKING:
    import torch

Values = TypeVar("Values", np.ndarray, "torch.Tensor")
"""A numpy array or a torch tensor; torch itself is not needed here."""

Window = tuple[slice, slice]
"""Rows and columns of the fitted domain."""

Interval = tuple[float, float]
"""Least and greatest value, inclusive."""

EVERYTHING: Interval = (-np.inf, np.inf)


class Transform(ABC):
    """A map of the channels of a field to the space in which it is learnt, and back.

    It acts on each value by itself and never decreases with it, so that what bounds a channel in
    one space bounds it in the other. Missing values stay missing.
    """

    name: ClassVar[str]
    """What the JSON form calls this kind of transform."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Number of channels."""

    @property
    def by_field(self) -> bool:
        """Whether each field at one time is mapped by its own mean and deviation."""
        return False

    @property
    def by_month(self) -> bool:
        """Whether the months of the year are mapped differently."""
        return False

    @property
    def domain(self) -> tuple[int, int] | None:
        """Size of the fitted domain, if it matters where on it values lie."""
        return None

    @property
    def pixelwise(self) -> bool:
        """Whether it matters where values lie."""
        return self.domain is not None

    @abstractmethod
    def bounds(self, channel: int, latent: Interval = EVERYTHING) -> Interval:
        """Return what the physical values of a channel lie between.

        `latent` is what the transformed values lie between, by default any number. :meth:`invert`
        never leaves the interval returned for it.
        """

    @abstractmethod
    def apply(
        self,
        values: Values,
        *,
        months: np.ndarray | None = None,
        window: Window | None = None,
        statistics: Any = None,
    ) -> Values:
        """Return transformed values, of the same type, shape, dtype and device.

        Parameters
        ----------
        values : numpy.ndarray or torch.Tensor, shape (..., time, C, H, W)
            In physical units, floating point. The time axis may be missing where neither `months`
            nor `statistics` is needed. Dask arrays are mapped lazily.
        months : numpy.ndarray of int, shape (time,), optional
            Month of each time, 1 to 12. Needed, and only read, if `by_month`.
        window : (slice, slice), optional
            Rows and columns of the fitted domain that the values lie on. Needed, and only read,
            if `pixelwise`.
        statistics : array, shape (time, 2, C), optional
            Mean and deviation of each field (:func:`field_statistics`). Needed, and only read,
            if `by_field`.

        Raises
        ------
        OptionError
            If something that is needed is missing or of the wrong shape.
        GridError
            If the window is not part of the fitted domain or of another size than the values.
        """

    @abstractmethod
    def invert(
        self,
        values: Values,
        *,
        months: np.ndarray | None = None,
        window: Window | None = None,
        statistics: Any = None,
    ) -> Values:
        """Return values in physical units; the inverse of :meth:`apply`, which see."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON, without the name; long arrays are in :meth:`tensors`."""

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays that :meth:`to_json` leaves out, by name, as float32."""
        return {}

    @classmethod
    @abstractmethod
    def from_json(
        cls, data: Mapping[str, Any], tensors: Mapping[str, np.ndarray] | None = None
    ) -> Transform:
        """Rebuild from what :meth:`to_json` and :meth:`tensors` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If something is missing, of the wrong type or size, or if there is more than is known.
        """


def check_values(values: Any, channels: int) -> None:
    """Refuse values that are not floating point numbers (..., channel, y, x)."""
    shape = tuple(values.shape)
    if len(shape) < 3 or shape[-3] != channels:
        raise OptionError(
            f"values of shape {shape} do not fit a normalization of {channels} channels: give the"
            f" shape (..., {channels}, y, x)."
        )
    floating = values.is_floating_point() if is_tensor(values) else values.dtype.kind == "f"
    if not floating:
        raise OptionError(f"values of {values.dtype}: give floating point numbers.")


def like(values: Any, numbers: np.ndarray) -> Any:
    """Return numbers in the dtype of the values, and on their device."""
    return values.new_tensor(numbers) if is_tensor(values) else np.asarray(numbers, values.dtype)


def is_tensor(values: Any) -> bool:
    """Whether values are a torch tensor, said without importing torch."""
    return hasattr(values, "new_tensor")
