"""What a block is computed from, and where it lies. Plain data: no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from xdeepr.solvers import Sampler
from xdeepr.tiling.interpolation import Method, interpolate, lr_window
from xdeepr.tiling.plan import Block, Plan, Span

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Times:
    """What a model is told of the times, one row each.

    Parameters
    ----------
    channels : numpy.ndarray
        Cyclical features as cosine and sine, float32, shape (time, channel).
    labels : numpy.ndarray
        Features that the network embeds itself, as numbers, float32, shape (time, label).
    months : numpy.ndarray
        1 to 12, int, shape (time,); 0 where there is no time.
    keys : numpy.ndarray
        What the noise is keyed with, int64, shape (time,).
    stamps : numpy.ndarray
        The times themselves, for error messages, shape (time,).
    """

    channels: np.ndarray
    labels: np.ndarray
    months: np.ndarray
    keys: np.ndarray
    stamps: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def at(self, which: slice | Sequence[int]) -> Times:
        """Return some of the times."""
        index = np.arange(len(self))[which]
        return Times(*(array[index] for array in vars(self).values()))


@dataclass(frozen=True)
class BlockInput:
    """Everything one block is computed from; all arrays float32.

    Parameters
    ----------
    lr : numpy.ndarray
        Predictors in the card's units, shape (time, predictor, y, x), on the part of the LR grid
        that :meth:`Geometry.lr_windows` names.
    statics : numpy.ndarray
        Static covariates in the card's units, shape (covariate, H, W), on the block's window.
    times : Times
        The times.
    realizations : tuple of int
        Indices of the members to compute.
    varying : numpy.ndarray, optional
        Covariates that vary in time, and after them features of the sun's position, shape
        (time, covariate, H, W).
    base : numpy.ndarray, optional
        Output of the base model, shape (time, predictand, H, W).
    statistics : numpy.ndarray, optional
        Mean and standard deviation of each field, shape (time, 2, predictor), for models that
        normalize each field by itself.
    with_covariates : bool
        Whether the covariates are known; a model may have been trained to do without.
    """

    lr: np.ndarray
    statics: np.ndarray
    times: Times
    realizations: tuple[int, ...] = (0,)
    varying: np.ndarray | None = None
    base: np.ndarray | None = None
    statistics: np.ndarray | None = None
    with_covariates: bool = True


@dataclass(frozen=True)
class Geometry:
    """Where a block lies.

    Parameters
    ----------
    plan : Plan
        Tiles and blocks of the whole HR domain, in pixels of the network.
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
    context : int
        LR cells around a tile that the network sees.
    scale : int
        HR pixels along the edge of a pixel of the plan; above 1 for models in a latent space.
    shape : tuple of int, optional
        Size of the HR domain; the plan may reach beyond it by less than `scale`.
    trained : tuple, optional
        First LR cell and first HR pixel of this domain, each (y, x), counted from those of the
        domain of the training; for models whose normalization belongs to its pixels.
    overhang : int
        Columns of the opposite side that fields on the HR grid hold before the domain's first; for
        domains that go all the way round the globe.
    """

    plan: Plan
    factor: int
    margin: tuple[int, int]
    lr_shape: tuple[int, int]
    origin: tuple[int, int]
    period: int | None = None
    context: int = 0
    scale: int = 1
    shape: tuple[int, int] | None = None
    trained: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    overhang: int = 0

    @property
    def hr_shape(self) -> tuple[int, int]:
        """Size of the HR domain."""
        return self.plan.shape if self.shape is None else self.shape

    @property
    def chunks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Sizes of the cores in HR pixels, as dask writes chunks."""
        rows, columns = (
            tuple(min(s.core.stop * self.scale, n) - s.core.start * self.scale for s in axis)
            for axis, n in zip((self.plan.y, self.plan.x), self.hr_shape, strict=True)
        )
        return rows, columns

    def hr_block(self, block: Block) -> Block:
        """Return a block of the plan in HR pixels."""
        return block.scaled(self.scale)

    def core_in_window(self, block: Block) -> tuple[slice, slice]:
        """Return the (y, x) slices of a block's core in HR pixels, relative to its window."""
        y, x = self.hr_block(block).core_in_window()
        height, width = self.hr_shape
        fine = self.hr_block(block)
        return (
            slice(y.start, min(y.stop, height - fine.y.window.start)),
            slice(x.start, min(x.stop, width - fine.x.window.start)),
        )

    def hr_windows(self, block: Block) -> tuple[Span, Span]:
        """Return the pixels that a block needs of fields on the HR grid, along y and x."""
        fine = self.hr_block(block)
        return fine.y.window, fine.x.window.shift(self.overhang)

    def lr_windows(self, block: Block) -> tuple[Span, Span]:
        """Return the LR cells that a block needs, along y and x."""
        return self.lr_windows_of_fine(self.hr_block(block))

    def lr_windows_of_fine(self, fine: Block) -> tuple[Span, Span]:
        """Return the LR cells that a block in HR pixels needs, along y and x."""
        y, x = (
            lr_window(segment.window, self.factor, margin, size, context=self.context)
            for segment, margin, size in zip(
                (fine.y, fine.x), self.margin, self.lr_shape, strict=True
            )
        )
        return y, x

    def interpolate(self, lr: torch.Tensor, block: Block, method: Method) -> torch.Tensor:
        """Interpolate the block's part of the LR field (N, C, y, x) to its HR window."""
        return self.interpolate_fine(lr, self.hr_block(block), method)

    def interpolate_fine(self, lr: torch.Tensor, fine: Block, method: Method) -> torch.Tensor:
        """Interpolate the LR cells (N, C, y, x) that a block in HR pixels needs to its window."""
        y, x = self.lr_windows_of_fine(fine)
        offset = (
            fine.y.window.start + self.margin[0] - y.start * self.factor,
            fine.x.window.start + self.margin[1] - x.start * self.factor,
        )
        return interpolate(lr, self.factor, method=method, offset=offset, shape=fine.shape)

    # --- tiles on the LR grid, for networks that work there ------------------------------------

    @cached_property
    def _aligned(self) -> tuple[bool, bool]:
        """Whether all tiles begin at an edge of an LR cell, along y and x."""
        starts = [[t.start for s in axis for t in s.tiles] for axis in (self.plan.y, self.plan.x)]
        y, x = (
            all((start * self.scale + margin) % self.factor == 0 for start in axis)
            for axis, margin in zip(starts, self.margin, strict=True)
        )
        return y, x

    def lr_tile(self, y: Span, x: Span) -> tuple[tuple[Span, Span], tuple[int, int]]:
        """Return the LR cells of a tile with their context, and where the tile begins in them.

        Parameters
        ----------
        y, x : Span
            A tile in HR pixels of the whole domain.

        Returns
        -------
        spans : (Span, Span)
            LR cells along y and x, counted from those of the LR domain; they may lie outside.
        offset : (int, int)
            HR pixels between the first cell within the context and the tile.
        """
        spans, offsets = [], []
        for span, margin, aligned in zip((y, x), self.margin, self._aligned, strict=True):
            first, offset = divmod(span.start + margin, self.factor)
            # the same number of cells for every tile, so that they go into one batch
            reach = len(span) + (0 if aligned else self.factor - 1)
            cells = -(-reach // self.factor)
            spans.append(Span(first - self.context, first + cells + self.context))
            offsets.append(offset)
        return (spans[0], spans[1]), (offsets[0], offsets[1])

    def trained_lr(self, block: Block) -> tuple[slice, slice]:
        """Return where the block's LR cells lie on the LR grid of the training."""
        y, x = self.lr_windows(block)
        return y.shift(self.trained[0][0]).slice, x.shift(self.trained[0][1]).slice

    def trained_hr(self, block: Block) -> tuple[slice, slice]:
        """Return where the block's window lies on the HR grid of the training."""
        fine = self.hr_block(block)
        y, x = (
            Span(s.window.start, min(s.window.stop, n)).shift(by).slice
            for s, n, by in zip((fine.y, fine.x), self.hr_shape, self.trained[1], strict=True)
        )
        return y, x


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
