"""Time of ``downscale(...).compute()`` over the time of the bare network calls.

The yardstick is the very same network on ready-made inputs, evaluated as often, at the batch
size that is fastest here, in the same process with the same threads. Both take turns and the
median of the ratios counts.

    python benchmarks/overhead.py [rounds]
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import sys
from typing import Any

import torch
import xarray as xr
from _common import coarse, machine, report, saved, seconds, statics, untrained

import xdeepr
from xdeepr.checkpoint import load_card
from xdeepr.downscaling import DEFAULT_BATCH
from xdeepr.model_cache import load_once

BATCHES = (1, 2, 4, 8, 16, 32, 64)
STEPS = 10
PARTS = {
    "noise": "_noise",
    "conditions and interpolation": "conditions",
    "tiles and fusing": "fuse",
    "denoiser": "denoise",
}
"""Shares of a task: what is printed -> function of the core."""


@torch.inference_mode()
def bare(network: Any, tile: tuple[int, int], evaluations: int, batch: int) -> None:
    """Evaluate the network on this many tiles, padded as the sampler pads them."""
    height, width = (n + -n % network.multiple for n in tile)
    inputs, labels = torch.randn(batch, 8, height, width), torch.zeros(batch)
    for first in range(0, evaluations, batch):
        rest = min(batch, evaluations - first)
        network(inputs[:rest], labels[:rest])


def best_batch(network: Any, tile: tuple[int, int]) -> int:
    """Return the fastest batch size after printing the scan."""
    rates = {}
    for batch in BATCHES:
        bare(network, tile, batch, batch)  # the first call of each shape chooses kernels
        count = max(batch, 32)
        rates[batch] = count / min(
            seconds(lambda n=count, b=batch: bare(network, tile, n, b)) for _ in range(4)
        )
    print("  NFE/s by batch size:", *(f" {b}: {rate:.0f}" for b, rate in rates.items()))
    return max(rates, key=lambda batch: rates[batch])


def count_evaluations(network: Any, out: xr.Dataset) -> int:
    """Return how many tiles the network sees when this result is computed; warms up as well."""
    seen = []
    hook = network.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[0]))
    out.compute()
    hook.remove()
    return sum(seen)


def print_shares(out: xr.Dataset) -> None:
    """Print how the time of the tasks divides, measured one task after the other."""
    profile = cProfile.Profile()
    profile.runcall(out.compute, scheduler="synchronous")
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    spent = {
        label: sum(
            row[3] for (file, _, name), row in stats.items() if name == part and "xdeepr" in file
        )
        for label, part in PARTS.items()
    }
    spent["network"] = sum(
        row[3] for (file, _, name), row in stats.items() if (name, file[-7:]) == ("forward", "unet.py")
    )
    print(spent, total)


def measure(
    name: str, folder: str, lr: xr.Dataset, members: int, rounds: int, **options: Any
) -> None:
    """Compare one domain with the bare calls and print where the rest goes."""
    network = load_once(folder, load_card(folder)[1], "cpu").network
    covariates = statics(lr)

    def result(batch: int | None = None) -> xr.Dataset:
        return lr.deepr.downscale(
            folder, members=members, steps=STEPS, covariates=covariates, batch_size=batch, **options
        )

    tile = load_card(folder)[0].tile
    print(f"{name}: {lr.time.size} times x {members} realizations, {STEPS} steps")
    batch = best_batch(network, tile)
    out = result()
    evaluations = count_evaluations(network, out)
    ours, yardstick = [], []
    for _ in range(rounds):
        yardstick.append(seconds(lambda: bare(network, tile, evaluations, batch)))
        ours.append(seconds(out.compute))
    ratios = [a / b for a, b in zip(ours, yardstick, strict=True)]
    print(ratios, ours, yardstick)
    report("compute / bare network calls", statistics.median(ratios), target=1.15)
    report("network evaluations", evaluations / statistics.median(ours), "NFE/s")
    print_shares(out)


def main(rounds: int = 3) -> None:
    """Measure a small domain in one tile and a larger one in many tiles."""
    print(f"xdeepr {xdeepr.__version__}, {machine()}, default batch {DEFAULT_BATCH}")
    with saved(untrained(tile=(40, 48))) as folder:
        measure("40x48 domain, one tile", folder, coarse((10, 12), 24), 10, rounds)
    with saved(untrained(tile=(64, 64))) as folder:
        measure("200x200 domain, tiles of 64", folder, coarse((50, 50), 2), 10, rounds)


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
