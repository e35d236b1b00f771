"""Which times and windows each training step sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xdeepr.errors import TrainingError
from xdeepr.tiling.plan import Block, Segment, Span


def window_at(start: tuple[int, int], shape: tuple[int, int]) -> Block:
    """Return the window with the given first pixel and shape as a block of one tile."""
    spans = [Span(s, s + n) for s, n in zip(start, shape, strict=True)]
    return Block(*(Segment(span, (span,)) for span in spans))


@dataclass(frozen=True)
class Draw:
    """Which times and windows each training step sees, as a function of the step alone.

    A training run that is resumed therefore sees what it would have seen.

    Parameters
    ----------
    times
        Number of times.
    domain, window
        Height and width in HR pixels.
    grain
        Windows begin at multiples of this many pixels.
    covariate_dropout
        Share of windows without covariates.
    """

    seed: int
    times: int
    domain: tuple[int, int]
    window: tuple[int, int]
    batch_size: int
    grain: int = 1
    covariate_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.times < 1:
            raise TrainingError("no time left to train on: use a smaller validation part.")

    @property
    def windows_per_epoch(self) -> int:
        """Windows that cover the domain about once at every time."""
        rows, columns = (-(-n // w) for n, w in zip(self.domain, self.window, strict=True))
        return self.times * rows * columns

    @property
    def steps_per_epoch(self) -> int:
        """Steps that see each time about once."""
        return max(1, self.windows_per_epoch // self.batch_size)

    def generator(self, *purpose: int) -> np.random.Generator:
        """Return the generator for one purpose (a tuple of whole numbers)."""
        return np.random.default_rng([self.seed, *purpose])

    def places(self, step: int) -> list[tuple[int, Block]]:
        """Return time and window of each entry of a step's batch."""
        first = step * self.batch_size
        generator = self.generator(1, step)
        places = []
        for number in range(first, first + self.batch_size):
            epoch, position = divmod(number, self.windows_per_epoch)
            time = int(self._order(epoch)[position] % self.times)
            places.append((time, self.any_window(generator)))
        return places

    def any_window(self, generator: np.random.Generator) -> Block:
        """Return a window at a random place."""
        room = [(n - w) // self.grain + 1 for n, w in zip(self.domain, self.window, strict=True)]
        start = (int(generator.integers(room[0])), int(generator.integers(room[1])))
        return window_at((start[0] * self.grain, start[1] * self.grain), self.window)

    def keep(self, step: int) -> np.ndarray | None:
        """Return 1 or 0 for each entry of a step's batch: whether covariates are shown."""
        if not self.covariate_dropout:
            return None
        drawn = self.generator(5, step).random(self.batch_size)
        return (drawn >= self.covariate_dropout).astype(np.float32)

    def _order(self, epoch: int) -> np.ndarray:
        """Return the shuffled windows of an epoch."""
        return self.generator(0, epoch).permutation(self.windows_per_epoch)
