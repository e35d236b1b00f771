"""Transforms of single values, for quantities that are 0 or more and far from normal.

Precipitation is the model of them: most of it is none, and what there is spans decades. Its
differences make sense after a logarithm or a root, and none is a value of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from xdeepr.errors import OptionError
from xdeepr.normalization.transform import (
    EVERYTHING,
    Interval,
    Transform,
    Values,
    Window,
    check_values,
    is_tensor,
    like,
)


@dataclass(frozen=True)
class Elementwise(Transform):
    r"""A function of each value, the same everywhere and always.

    With the threshold :math:`d` and a function :math:`g` that grows from :math:`g(0) = 0`,

    .. math::

        z = g(\max(x, 0)), \qquad (1)

        x = \begin{cases} 0 & z < g(d) \\ \max(g^{-1}(z), d) & \text{otherwise.} \end{cases}
        \qquad (2)

    A value is therefore 0 or at least :math:`d`, whatever a network makes of it, and a value that
    is either comes back from the round trip.

    Parameters
    ----------
    scale : sequence of float or None, one for each channel
        Where the function bends, in the units of the channel; greater than 0. None: the channel is
        left as it is.
    dry : sequence of float, one for each channel, optional
        Threshold :math:`d` below which the inverse gives exactly 0, in the units of the channel.
        Default: 0, no threshold. One number for `scale` and `dry` stands for a single channel.
    """

    scale: tuple[float | None, ...]
    dry: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        scale = _each("scale", self.scale)
        dry = _each("dry", self.dry) or (0.0,) * len(scale)
        if not scale or len(dry) != len(scale):
            raise OptionError(
                f"{self.name}: {len(scale)} scales and {len(dry)} dry thresholds: give one for"
                " each channel."
            )
        if not all(s is None or 0 < s < np.inf for s in scale):
            raise OptionError(f"{self.name}: scale={scale}: give numbers above 0, or None.")
        if not all(d is not None and 0 <= d < np.inf for d in dry):
            raise OptionError(f"{self.name}: dry={dry}: give thresholds of 0 or more.")
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "dry", dry)

    @staticmethod
    @abstractmethod
    def _forward(xp: Any, scaled: Any) -> Any:
        """Return g of values of 0 or more that are divided by the scale."""

    @staticmethod
    @abstractmethod
    def _backward(xp: Any, latent: Any) -> Any:
        """Return the inverse of g, divided by the scale, of latent values of 0 or more."""

    @property
    def channels(self) -> int:
        return len(self.scale)

    def bounds(self, channel: int, latent: Interval = EVERYTHING) -> Interval:
        ends = np.broadcast_to(np.array(latent)[:, None, None, None], (2, self.channels, 1, 1))
        low, high = self.invert(ends)[:, channel, 0, 0].tolist()
        return low, high

    def apply(
        self,
        values: Values,
        *,
        months: np.ndarray | None = None,
        window: Window | None = None,
        statistics: Any = None,
    ) -> Values:
        check_values(values, self.channels)
        return self._on_channels(values, self._transformed)

    def invert(
        self,
        values: Values,
        *,
        months: np.ndarray | None = None,
        window: Window | None = None,
        statistics: Any = None,
    ) -> Values:
        check_values(values, self.channels)
        dry = like(values, np.reshape(self.dry, (-1, 1, 1)))

        def inverse(xp: Any, latent: Any, scale: Any) -> Any:
            nothing = xp.zeros_like(latent)
            with np.errstate(over="ignore"):  # what no type holds is infinite
                found = scale * self._backward(xp, xp.maximum(latent, nothing))
            wet = xp.maximum(found, dry)
            return xp.where(latent < self._transformed(xp, dry, scale), nothing, wet)

        return self._on_channels(values, inverse)

    def _transformed(self, xp: Any, x: Any, scale: Any) -> Any:
        return self._forward(xp, xp.maximum(x, xp.zeros_like(x)) / scale)

    def _on_channels(self, values: Any, function: Any) -> Any:
        """Return a function of the channels that have a scale, and the others as they are."""
        xp = _namespace(values)
        used = [s is not None for s in self.scale]
        scale = like(values, np.reshape([s or 1.0 for s in self.scale], (-1, 1, 1)))
        if all(used):
            return function(xp, values, scale)
        chosen = np.reshape(used, (-1, 1, 1))
        where = values.new_tensor(chosen).bool() if is_tensor(values) else chosen
        # what is left alone may be beyond the range of the function
        found = function(xp, xp.where(where, values, xp.zeros_like(values)), scale)
        return xp.where(where, found, values)

    def to_json(self) -> dict[str, Any]:
        return {f.name: list(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(
        cls, data: Mapping[str, Any], tensors: Mapping[str, np.ndarray] | None = None
    ) -> Elementwise:
        return cls(**{key: tuple(value) for key, value in data.items()})


class Log(Elementwise):
    r"""The logarithm :math:`g(x) = \ln(1 + x / s)` with the scale :math:`s`.

    Linear far below :math:`s`, logarithmic far above. For precipitation a scale near the dry
    threshold serves, such as 0.1 mm/day.

    Examples
    --------
    >>> import numpy as np
    >>> rain = np.array([0.0, 0.03, 0.5, 80.0]).reshape(1, 1, 4)
    >>> log = Log(scale=0.1, dry=0.1)
    >>> log.apply(rain).round(2).ravel().tolist()
    [0.0, 0.26, 1.79, 6.69]
    >>> log.invert(log.apply(rain)).round(9).ravel().tolist()
    [0.0, 0.0, 0.5, 80.0]
    >>> log.bounds(0)
    (0.0, inf)
    """

    name: ClassVar[str] = "log"

    @staticmethod
    def _forward(xp: Any, scaled: Any) -> Any:
        return xp.log1p(scaled)

    @staticmethod
    def _backward(xp: Any, latent: Any) -> Any:
        return xp.expm1(latent)


class Sqrt(Elementwise):
    r"""The square root :math:`g(x) = \sqrt{x / s}` with the scale :math:`s`.

    Milder than a logarithm: a value a hundred times as large lies ten times as far out.
    """

    name: ClassVar[str] = "sqrt"

    @staticmethod
    def _forward(xp: Any, scaled: Any) -> Any:
        return xp.sqrt(scaled)

    @staticmethod
    def _backward(xp: Any, latent: Any) -> Any:
        return latent * latent


def _each(option: str, given: Any) -> tuple[Any, ...]:
    """Return one number or None for each channel."""
    numbers = given if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    for number in numbers:
        plain = isinstance(number, int | float | np.number) and not isinstance(number, bool)
        if not (plain or number is None):
            raise OptionError(f"{option}={given!r}: give one number for each channel.")
    return tuple(None if n is None else float(n) for n in numbers)


def _namespace(values: Any) -> ModuleType:
    """Return the library whose functions suit the values: both name them alike."""
    if not is_tensor(values):
        return np
    import torch

    return torch
