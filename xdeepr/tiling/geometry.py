"""Where blocks and tiles lie on both grids, in whole cells and pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from xdeepr.tiling.interpolation import Method, interpolate, lr_window
from xdeepr.tiling.plan import Block, Plan, Span

if TYPE_CHECKING:
    import torch


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
        """Return the LR cells of a tile in HR pixels, with their context, along y and x.

        They are counted from those of the LR domain and may lie outside of it. With them, the HR
        pixels along y and x between the first cell within the context and the tile.
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
