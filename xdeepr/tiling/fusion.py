"""Cut tiles out of a block and blend them back with tapered weights.

At every denoising step the tiles of a block are denoised on their own and fused by a weighted
mean (MultiDiffusion; Bar-Tal et al., 2023, arXiv:2302.08113), so that all of them follow one
common trajectory and no border between tiles can form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from xdeepr.tiling.plan import Block, Plan, Span

Window = tuple[slice, slice]
TileFunction = Callable[[torch.Tensor, Sequence[tuple[int, Window]]], torch.Tensor]


def taper(span: Span, length: int, overlap: int, *, closed: bool = False) -> torch.Tensor:
    """Return the weights of a tile along one axis, float32 (len(span),).

    They rise linearly over the overlap on each side that has a neighbour and are 1 elsewhere;
    they never vanish.

    Parameters
    ----------
    span : Span
        The tile, in pixels of the whole domain, of which there are `length`.
    overlap : int
        Pixels that neighbouring tiles share.
    closed : bool, default: False
        Whether the domain has no ends along this axis, so that all tiles have neighbours.
    """
    weights = torch.ones(len(span))
    ramp = (torch.arange(overlap) + 0.5) / max(overlap, 1)
    if overlap and (closed or span.start > 0):
        weights[:overlap] *= ramp
    if overlap and (closed or span.stop < length):
        weights[-overlap:] *= ramp.flip(0)
    return weights


def tile_weights(block: Block, plan: Plan) -> list[torch.Tensor]:
    """Return each tile's weights (height, width), which sum to 1 at every pixel of the block."""
    rows = [taper(span, plan.shape[0], plan.overlap) for span in block.y.tiles]
    columns = [
        taper(span, plan.shape[1], plan.overlap, closed=plan.closed) for span in block.x.tiles
    ]
    raw = [row[:, None] * column for row in rows for column in columns]
    total = torch.zeros(block.shape)
    for weights, (y, x) in zip(raw, block.tiles(), strict=True):
        total[y.slice, x.slice] += weights
    return [w / total[y.slice, x.slice] for w, (y, x) in zip(raw, block.tiles(), strict=True)]


def fuse(
    function: TileFunction, x: torch.Tensor, block: Block, plan: Plan, *, batch_size: int
) -> torch.Tensor:
    """Apply a function to all tiles of all samples (N, V, H, W) and blend the results.

    Parameters
    ----------
    function : callable
        ``function(tiles, places)`` maps tiles (n, V, h, w) to an equally shaped tensor; the n
        `places` are (sample index, (y slice, x slice)) and say where each tile was cut.
    x : torch.Tensor
        The window of the block.
    batch_size : int
        Greatest number of tiles in one call.
    """
    windows = [(y.slice, x_.slice) for y, x_ in block.tiles()]
    weights = [w.to(x) for w in tile_weights(block, plan)]
    jobs = [(sample, number) for sample in range(x.shape[0]) for number in range(len(windows))]
    out = torch.zeros_like(x)
    # even batches: 36 tiles in batches of 16 are three of 12, not two of 16 and a slow one of 4
    size = -(-len(jobs) // -(-len(jobs) // batch_size))
    for first in range(0, len(jobs), size):
        batch = jobs[first : first + size]
        places = [(sample, windows[number]) for sample, number in batch]
        tiles = torch.stack([x[sample][:, y, x_] for sample, (y, x_) in places])
        for result, (sample, number) in zip(function(tiles, places), batch, strict=True):
            y, x_ = windows[number]
            out[sample][:, y, x_] += result * weights[number]
    if plan.closed and len(block.x.core) == plan.shape[1]:
        _join(out, block)
    return out


def _join(fields: torch.Tensor, block: Block) -> None:
    """Give columns beyond the seam of the globe the values that they have on the other side."""
    core = block.x.core.shift(-block.x.window.start)
    beyond = fields.shape[-1] - core.stop
    fields[..., : core.start] = fields[..., len(core) : core.stop]
    fields[..., core.stop :] = fields[..., core.start : core.start + beyond]
