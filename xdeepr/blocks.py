"""What a block is computed from, and where it lies. Plain data: no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xdeepr.interpolation import Method, interpolate, lr_window
from xdeepr.plan import Block, Plan, Span
from xdeepr.solvers import Sampler

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class BlockInput:
    """Everything one block is computed from.

    Parameters
    ----------
    lr : numpy.ndarray
        Predictors in the card's units, float32, shape (time, predictor, y, x), on the part of
        the LR grid that :meth:`Geometry.lr_windows` names.
    covariates : numpy.ndarray
        Static covariates in the card's units, float32, shape (covariate, H, W), on the block's
        window.
    time_channels : numpy.ndarray
        float32, shape (time, channel).
    time_keys : numpy.ndarray
        int64, shape (time,).
    realizations : tuple of int
        Indices of the members to compute.
    """

    lr: np.ndarray
    covariates: np.ndarray
    time_channels: np.ndarray
    time_keys: np.ndarray
    realizations: tuple[int, ...]


@dataclass(frozen=True)
class Geometry:
    """Where a block lies.

    Parameters
    ----------
    plan : Plan
        Tiles and blocks of the whole HR domain.
    factor : int
        HR cells in an LR cell.
    margin : tuple of int
        HR cells between the low sides of the LR and the HR domain, along y and x.
    lr_shape : tuple of int
        Size of the whole LR domain.
    origin : tuple of int
        Absolute index of the HR domain's first pixel.
    period : int, optional
        HR pixels around the globe, if the x axis is a longitude.
    """

    plan: Plan
    factor: int
    margin: tuple[int, int]
    lr_shape: tuple[int, int]
    origin: tuple[int, int]
    period: int | None = None

    def lr_windows(self, block: Block) -> tuple[Span, Span]:
        """Return the LR cells that a block needs, along y and x."""
        y = lr_window(block.y.window, self.factor, self.margin[0], self.lr_shape[0])
        x = lr_window(block.x.window, self.factor, self.margin[1], self.lr_shape[1])
        return y, x

    def interpolate(self, lr: torch.Tensor, block: Block, method: Method) -> torch.Tensor:
        """Interpolate the block's part of the LR field (N, C, y, x) to its HR window."""
        y, x = self.lr_windows(block)
        offset = (
            block.y.window.start + self.margin[0] - y.start * self.factor,
            block.x.window.start + self.margin[1] - x.start * self.factor,
        )
        return interpolate(lr, self.factor, method=method, offset=offset, shape=block.shape)


@dataclass(frozen=True)
class SamplingOptions:
    """How a field is computed; nothing here but the seed and the sampler changes the answer.

    Parameters
    ----------
    seed : int
        Seed of the noise.
    sampler : Sampler
        Schedule and solver.
    batch_size : int
        Tiles in one network call.
    """

    seed: int
    sampler: Sampler
    batch_size: int
