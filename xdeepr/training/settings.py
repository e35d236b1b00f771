"""How long and how to train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import pandas as pd

from xdeepr.checks import one_of, whole_number
from xdeepr.errors import OptionError
from xdeepr.training.precision import Precision

DEFAULT_EPOCHS = 100
"""Length of a training run where the user sets no limit."""


@dataclass(frozen=True)
class Settings:
    """Settings of the training loop; those of :func:`xdeepr.fit` mean what they mean there.

    Parameters
    ----------
    max_time
        In seconds.
    weight_decay
        Decoupled weight decay of AdamW.
    warmup
        Fraction of the run in which the learning rate rises linearly; then it falls along a
        cosine to zero.
    clip
        Greatest norm of the gradient.
    """

    epochs: int | None = None
    max_steps: int | None = None
    max_time: float | None = None
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup: float = 0.05
    clip: float = 1.0
    patience: int = 20
    precision: Precision = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_time", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise OptionError(f"{name}={value!r}: give a number above 0.")
        least = {"epochs": 1, "max_steps": 1, "batch_size": 1, "patience": 1, "seed": 0}
        for name, low in least.items():
            value = getattr(self, name)
            whole_number(name, value, least=low, optional=name in ("epochs", "max_steps"))
            if value is not None:
                object.__setattr__(self, name, int(value))  # JSON knows no numpy integers
        one_of("precision", self.precision, get_args(Precision))

    def step_limit(self, steps_per_epoch: int) -> int | None:
        """Return the number of steps, or None if only time limits the run."""
        limits = [self.max_steps, self.epochs and self.epochs * steps_per_epoch]
        given = [limit for limit in limits if limit]
        if not given and self.max_time is None:
            return DEFAULT_EPOCHS * steps_per_epoch
        return min(given) if given else None


def seconds(value: float | str | None) -> float | None:
    """Return a duration in seconds, from seconds or from text such as "15min" or "2h"."""
    if value is None:
        return None
    try:
        result = pd.Timedelta(value).total_seconds() if isinstance(value, str) else float(value)
    except ValueError:
        result = -1.0
    if not result > 0:
        raise OptionError(f"max_time={value!r}: give seconds, or text such as '15min' or '2h'.")
    return result
