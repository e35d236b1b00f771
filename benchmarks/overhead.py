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

from xdeepr.downscaling.verb import DEFAULT_BATCH
from xdeepr.models.cache import load_once
from xdeepr.models.checkpoint import load_card

BATCHES = (1, 2, 4, 8, 16, 32, 64)
STEPS = 10
PARTS = {
    "network": ("unet.py", "forward"),
    "noise": ("block_task.py", "noise"),
    "conditions": ("conditions.py", "window_conditions"),
    "interpolation": ("geometry.py", "interpolate"),
    "cutting and fusing tiles": ("fusion.py", "fuse"),
    "preconditioning": ("downscaler.py", "denoise"),
    "blocks, whole": ("downscaler.py", "downscale_block"),
}
"""What is printed -> file and function of the core whose time, callees included, is meant."""


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
    rates = dict.fromkeys(BATCHES, 0.0)
    for _ in range(4):  # sizes take turns; the first round also chooses kernels
        for batch in BATCHES:
            count = max(batch, 32)
            took = seconds(lambda n=count, b=batch: bare(network, tile, n, b))
            rates[batch] = max(rates[batch], count / took)
    print("  NFE/s by batch size ", *(f"{batch}: {rate:.0f} " for batch, rate in rates.items()))
    return max(rates, key=lambda batch: rates[batch])


def count_evaluations(network: Any, out: xr.Dataset) -> int:
    """Return how many tiles the network sees when the result is computed; warms up as well."""
    seen = []
    hook = network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    out.compute()
    hook.remove()
    return sum(seen)


def shares(out: xr.Dataset) -> dict[str, float]:
    """Return the parts of the time of all tasks, done one after the other."""
    profile = cProfile.Profile()
    profile.runcall(out.compute, scheduler="synchronous")
    functions = pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
    spent = {
        part: sum(row[3] for (path, _, name), row in functions if _is(path, name, *where))
        for part, where in PARTS.items()
    }
    whole = spent.pop("blocks, whole")
    # what is called by another part is counted there only
    spent["cutting and fusing tiles"] -= spent["preconditioning"]
    spent["preconditioning"] -= spent["network"]
    base = spent.pop("interpolation")
    spent["conditions and interpolation"] = max(spent.pop("conditions"), base)
    spent["solver and the rest"] = whole - sum(spent.values())
    return {part: took / whole for part, took in spent.items()}


def _is(path: str, name: str, file: str, function: str) -> bool:
    """Say whether a profiled function is one of the core."""
    return name == function and path.endswith(f"/{file}") and "/xdeepr/" in path


def measure(name: str, folder: str, lr: xr.Dataset, members: int, rounds: int) -> None:
    """Compare one domain with the bare calls and print where the time goes."""
    card, digest = load_card(folder)
    network = load_once(folder, digest, "cpu").network
    out = lr.deepr.downscale(folder, members=members, steps=STEPS, covariates=statics(lr))
    print(f"{name}: {lr.time.size} times x {members} realizations, {STEPS} steps")
    batch = best_batch(network, card.tile)
    evaluations = count_evaluations(network, out)
    ours, yardstick = [], []
    for _ in range(rounds):
        yardstick.append(seconds(lambda: bare(network, card.tile, evaluations, batch)))
        ours.append(seconds(out.compute))
    ratios = [a / b for a, b in zip(ours, yardstick, strict=True)]
    report("compute / bare network calls", statistics.median(ratios), target=1.15)
    report("least and greatest of the ratios", min(ratios))
    report("", max(ratios))
    report("in compute", evaluations / statistics.median(ours), "NFE/s")
    for part, share in shares(out).items():
        report(f"share of {part}", 100 * share, "%")


def main(rounds: int = 5) -> None:
    """Measure a small domain in one tile and a larger one in many tiles."""
    print(f"{machine()}, default batch size {DEFAULT_BATCH}")
    with saved(untrained(tile=(40, 48))) as folder:
        measure("40x48 domain in one tile", folder, coarse((10, 12), 12), 10, rounds)
    with saved(untrained(tile=(64, 64))) as folder:
        measure("200x200 domain in tiles of 64", folder, coarse((50, 50), 1), 4, rounds)


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
