"""The parts that every verb leans on: imports, noise, tiles, scores."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import torch

from xdeepr.sampling.noise import NoiseKey, white_noise
from xdeepr.tiling.fusion import fuse
from xdeepr.tiling.plan import make_plan


class Importing:
    """``import xdeepr`` in a fresh process, over that of xarray."""

    def time_import(self) -> None:
        """Time of a process that imports xdeepr and ends."""
        subprocess.run([sys.executable, "-c", "import xdeepr"], check=True)

    def track_modules(self) -> int:
        """Modules that are loaded."""
        code = "import xdeepr, sys; print(len(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        return int(done.stdout)


class Noise:
    """Keyed noise of one field."""

    def time_plane(self) -> None:
        """Draw a window of 256 × 256 pixels far from the origin."""
        white_noise(NoiseKey(1, 2, 3, 4, 5), (10_000, 20_000), (256, 256))


class Tiles:
    """Cutting and fusing the tiles of a block, with a network that does nothing."""

    def setup(self) -> None:
        """Plan a square domain in tiles of 64 that share 16 pixels."""
        self.plan = make_plan((256, 256), tile=(64, 64), overlap=16)
        self.block = next(iter(self.plan.blocks()))[2]
        values = np.random.default_rng(0).standard_normal((4, 1, *self.block.shape))
        self.fields = torch.from_numpy(values.astype(np.float32))

    def time_fuse(self) -> None:
        """Four fields."""
        fuse(lambda tiles, places: tiles, self.fields, self.block, self.plan, batch_size=16)
