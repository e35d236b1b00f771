"""Pairs of LR predictors and HR labels, cut into training windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import torch

from xdeepr.blocks import Geometry
from xdeepr.conditioning import check_finite
from xdeepr.downscaler import stack_conditions
from xdeepr.errors import TrainingError
from xdeepr.normalization import Normalization
from xdeepr.plan import Block, Segment, Span

IN_MEMORY_BYTES = 4 * 2**30
"""Training data up to this size is loaded once; more is read batch by batch."""


@dataclass(frozen=True)
class Batch:
    """What one training step works on.

    Parameters
    ----------
    residual : torch.Tensor
        Normalized HR − interpolated LR, shape (N, V, H, W).
    conditions : torch.Tensor
        Shape (N, C, H, W).
    times : tuple of int
        Positions along the time axis, for error messages.
    """

    residual: torch.Tensor
    conditions: torch.Tensor
    times: tuple[int, ...]


@dataclass
class Pairs:
    """LR and HR fields at the same times.

    Parameters
    ----------
    lr : array
        Predictors, float32, shape (time, predictor, y, x); numpy or dask.
    hr : array
        Labels, float32, shape (time, predictand, Y, X); numpy or dask.
    time_channels : numpy.ndarray
        Shape (time, channel).
    times : sequence of str
        Time stamps, for error messages.
    covariates : numpy.ndarray
        Static covariates, shape (covariate, Y, X), in physical units.
    geometry : Geometry
        How the grids nest.
    base : tuple of int
        The predictor whose interpolation is subtracted from each predictand.
    names : tuple of (tuple of str, tuple of str)
        Names of the predictors and predictands.
    """

    lr: Any
    hr: Any
    time_channels: np.ndarray
    times: Sequence[str]
    covariates: np.ndarray
    geometry: Geometry
    base: tuple[int, ...]
    names: tuple[tuple[str, ...], tuple[str, ...]]

    def __len__(self) -> int:
        return int(self.hr.shape[0])

    def load(self) -> Pairs:
        """Read the data into memory if it is small enough.

        Raises
        ------
        MissingValuesError
            If a value is not finite; names the variable and the time.
        """
        if isinstance(self.hr, da.Array) and self.lr.nbytes + self.hr.nbytes <= IN_MEMORY_BYTES:
            import dask

            self.lr, self.hr = dask.compute(self.lr, self.hr)
        if isinstance(self.hr, np.ndarray):
            check_finite(self.lr, self.names[0], self.times, "predictor")
            check_finite(self.hr, self.names[1], self.times, "label")
        return self

    def fields(self, times: Sequence[int], window: Block) -> tuple[np.ndarray, np.ndarray]:
        """Return LR (n, P, y, x) and HR (n, V, H, W) of some times on one window."""
        lr_y, lr_x = self.geometry.lr_windows(window)
        index = np.asarray(times)
        order = np.argsort(index)  # dask reads sorted indices without reshuffling
        lr = self.lr[index[order]][:, :, lr_y.slice, lr_x.slice]
        hr = self.hr[index[order]][:, :, window.y.core.slice, window.x.core.slice]
        if isinstance(hr, da.Array):
            import dask

            lr, hr = dask.compute(lr, hr)
            names = [self.times[i] for i in index[order]]
            check_finite(lr, self.names[0], names, "predictor")
            check_finite(hr, self.names[1], names, "label")
        back = np.argsort(order)
        return lr[back], hr[back]

    def residual(self, lr: np.ndarray, hr: np.ndarray, window: Block) -> torch.Tensor:
        """Return HR − interpolated LR in physical units."""
        base = torch.from_numpy(np.ascontiguousarray(lr[:, list(self.base)]))
        interpolated = self.geometry.interpolate(base, window, "bicubic")
        return torch.from_numpy(np.ascontiguousarray(hr)) - interpolated

    def batch(
        self, places: Sequence[tuple[int, Block]], normalization: dict[str, Normalization]
    ) -> Batch:
        """Return the normalized batch at some (time, window) places.

        Parameters
        ----------
        places : sequence of (int, Block)
            Positions along time, and windows of equal shape.
        normalization : dict of str to Normalization
            For "predictors", "residual" and "covariates".
        """
        groups: dict[Block, list[int]] = {}
        for time, window in places:
            groups.setdefault(window, []).append(time)
        residuals, conditions, used = [], [], []
        for window, times in groups.items():
            lr, hr = self.fields(times, window)
            residuals.append(normalization["residual"].apply(self.residual(lr, hr, window)))
            scaled = torch.from_numpy(normalization["predictors"].apply(lr))
            statics = self.covariates[:, window.y.core.slice, window.x.core.slice]
            conditions.append(
                stack_conditions(
                    self.geometry.interpolate(scaled, window, "bicubic"),
                    torch.from_numpy(normalization["covariates"].apply(statics)),
                    torch.from_numpy(self.time_channels[times]),
                )
            )
            used += times
        return Batch(torch.cat(residuals), torch.cat(conditions), tuple(used))


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
    seed : int
        Seed of all draws.
    times : int
        Number of times.
    domain : tuple of int
        Height and width of the HR domain.
    window : tuple of int
        Height and width of a training window.
    batch_size : int
        Windows in a batch.
    """

    seed: int
    times: int
    domain: tuple[int, int]
    window: tuple[int, int]
    batch_size: int

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
        room = [n - w + 1 for n, w in zip(self.domain, self.window, strict=True)]
        places = []
        for number in range(first, first + self.batch_size):
            epoch, position = divmod(number, self.windows_per_epoch)
            time = int(self._order(epoch)[position] % self.times)
            start = (int(generator.integers(room[0])), int(generator.integers(room[1])))
            places.append((time, window_at(start, self.window)))
        return places

    def _order(self, epoch: int) -> np.ndarray:
        """Return the shuffled windows of an epoch."""
        return self.generator(0, epoch).permutation(self.windows_per_epoch)
