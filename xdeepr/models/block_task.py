"""What one block of a result is computed from. Plain data: no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xdeepr.inputs.block import BlockInput
from xdeepr.sampling.guidance import Tile
from xdeepr.sampling.noise import NoiseKey, white_noise
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import Block, Span

PlacedTile = tuple[int, tuple[slice, slice]]
"""Index of a sample (realization · time), and (y, x) of a tile in pixels of the window."""


@dataclass(frozen=True)
class BlockTask:
    """One block: its arrays and where they lie."""

    inputs: BlockInput
    geometry: Geometry
    block: Block  # in pixels of the geometry's plan

    @property
    def fine(self) -> Block:
        """The block in HR pixels."""
        return self.geometry.hr_block(self.block)

    @property
    def times(self) -> int:
        """Number of times."""
        return len(self.inputs.times)

    def noise(self, channels: int, seed: int, stream: int) -> np.ndarray:
        """Return noise keyed by absolute position, (realization · time, channel, H, W)."""
        geometry, block = self.geometry, self.block
        scale, period = geometry.scale, geometry.period
        origin = (
            geometry.origin[0] // scale + block.y.window.start,
            geometry.origin[1] // scale + block.x.window.start,
        )
        if period is not None and scale > 1:
            period = period // scale if period % scale == 0 else None
        fields = [
            white_noise(
                NoiseKey(seed, realization, int(time), channel, stream),
                origin,
                block.shape,
                period=period,
            )
            for realization in self.inputs.realizations
            for time in self.inputs.times.keys
            for channel in range(channels)
        ]
        return np.stack(fields).reshape(-1, channels, *block.shape)

    def tiles(self, places: Sequence[PlacedTile]) -> list[Tile]:
        """Return what guidance may know of some tiles."""
        geometry, scale = self.geometry, self.geometry.scale
        top, left = self.block.y.window.start, self.block.x.window.start
        return [
            Tile(
                y=Span(y.start, y.stop).shift(top).scaled(scale),
                x=Span(x.start, x.stop).shift(left).scaled(scale),
                time=int(self.inputs.times.keys[sample % self.times]),
                realization=self.inputs.realizations[sample // self.times],
                factor=geometry.factor,
                margin=geometry.margin,
                scale=scale,
            )
            for sample, (y, x) in places
        ]
