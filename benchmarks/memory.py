"""Peak memory of a job that is four times as long.

The result is reduced chunk by chunk or written to zarr, so that it never is in memory whole.
Each measurement is a fresh process.

    python benchmarks/memory.py
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile

from _common import coarse, fresh, peak_memory, report, saved, statics, untrained

TIMES, MEMBERS, SHAPE = 128, 4, (32, 48)
WAYS = ("mean", "zarr")


def work(folder: str, times: int, way: str) -> None:
    """Downscale this many times in this process and print its peak memory."""
    lr = coarse(SHAPE, times, chunk=16)
    covariates = statics(lr.isel(time=0, drop=True)).load()
    out = lr.deepr.downscale(folder, members=MEMBERS, steps=1, covariates=covariates)
    if way == "mean":
        out.t2m.mean(("latitude", "longitude")).compute()
    else:
        with tempfile.TemporaryDirectory() as scratch:
            out.to_zarr(f"{scratch}/out.zarr")
    print(json.dumps({"megabytes": peak_memory()}))


def main() -> None:
    """Measure in fresh processes that take turns, and print the ratios of medians."""
    height, width = (4 * n for n in SHAPE)
    print(f"{MEMBERS} realizations on {height}x{width}, {TIMES} and {4 * TIMES} times")
    tiny = {"block_out_channels": [8, 8], "layers_per_block": 1}  # the network is not in question
    with saved(untrained(tile=(height, width), **tiny)) as folder:
        for way in WAYS:
            peaks: dict[int, list[float]] = {TIMES: [], 4 * TIMES: []}
            for _ in range(2):
                for times, seen in peaks.items():
                    seen.append(fresh(__file__, folder, str(times), way)["megabytes"])
            short, long = (statistics.median(seen) for seen in peaks.values())
            field = MEMBERS * TIMES * height * width * 4 / 1e6
            report(f"{way}: peak at {TIMES} times (result {field:.0f} MB)", short, "MB")
            report(f"{way}: peak at {4 * TIMES} times (result {4 * field:.0f} MB)", long, "MB")
            report(f"{way}: ratio", long / short, target=1.1)


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), sys.argv[3]) if sys.argv[1:] else main()
