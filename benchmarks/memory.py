"""Peak memory of a job that is four times as long.

The result is reduced chunk by chunk or written to zarr, so that it never is in memory whole.
The network is a mere stand-in, for its memory depends on the batch and not on the length of the
job. Each measurement is a fresh process.

    python benchmarks/memory.py
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile

import torch
from _common import FACTOR, coarse, fresh, peak_memory, report, saved, statics, untrained

from xdeepr.networks import NETWORKS

TIMES, MEMBERS, SHAPE = 256, 4, (32, 48)
WAYS = ("mean", "zarr")


class Pixelwise(torch.nn.Module):
    """A network that mixes the channels of each pixel."""

    multiple = 1

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, inputs: torch.Tensor, noise_label: torch.Tensor) -> torch.Tensor:
        """Return (N, out, H, W)."""
        return self.mix(inputs)


NETWORKS["pixelwise"] = "memory:Pixelwise"


def work(folder: str, times: int, way: str) -> None:
    """Downscale this many times in this process and print its peak memory."""
    lr = coarse(SHAPE, times, chunk=16)
    covariates = statics(lr.isel(time=0, drop=True)).load()
    out = lr.deepr.downscale(folder, members=MEMBERS, steps=2, covariates=covariates)
    if way == "mean":
        out.t2m.mean(("latitude", "longitude")).compute()
    else:
        with tempfile.TemporaryDirectory() as scratch:
            out.to_zarr(f"{scratch}/out.zarr")
    print(json.dumps(peak_memory()))


def main() -> None:
    """Measure in fresh processes that take turns, and print the ratios of medians."""
    height, width = (FACTOR * n for n in SHAPE)
    print(f"{MEMBERS} realizations on {height}x{width}")
    with saved(untrained((height, width), "pixelwise")) as folder:
        for way in WAYS:
            peaks: dict[int, list[float]] = {TIMES: [], 4 * TIMES: []}
            for _ in range(3):
                for times, seen in peaks.items():
                    seen.append(fresh(__file__, folder, str(times), way))
            middle = {times: statistics.median(seen) for times, seen in peaks.items()}
            for times, peak in middle.items():
                result = MEMBERS * times * height * width * 4 / 1e6
                report(f"{way}: peak with {times} times, a result of {result:.0f} MB", peak, "MB")
            report(f"{way}: ratio", middle[4 * TIMES] / middle[TIMES], target=1.1)


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), sys.argv[3]) if sys.argv[1:] else main()
