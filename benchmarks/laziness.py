"""Time and memory for building the lazy result of a large job, and the size of its graph.

Ten years of hourly fields on a global 1° grid (180×360), ten realizations on 0.25° (720×1440):
nothing of it is computed. Each measurement is a fresh process in which all modules are loaded
already.

    python benchmarks/laziness.py
"""

from __future__ import annotations

import json
import pickle
import statistics
import sys

from _common import coarse, fresh, peak_memory, report, saved, seconds, statics, untrained

YEARS, MEMBERS, SHAPE = 10, 10, (180, 360)
INPUT_CHUNK = 24
"""Hours in a chunk of the input: one file for each day."""


def build(folder: str) -> None:
    """Build the result in this process and print what it took."""
    lr = coarse(SHAPE, YEARS * 8766, chunk=INPUT_CHUNK)
    covariates = statics(lr.isel(time=0, drop=True)).load()
    lr.isel(time=slice(2)).deepr.downscale(folder, covariates=covariates)  # imports
    import torch  # noqa: F401  # the computing would load it, the building need not

    out = []

    def downscale() -> None:
        out.append(lr.deepr.downscale(folder, members=MEMBERS, covariates=covariates))

    before = peak_memory()
    result = {"seconds": seconds(downscale), "megabytes": peak_memory() - before}
    graph = out[0].t2m.data.dask
    blocks = {key: graph[key] for key in graph if "deepr-downscale" in str(key)}
    result |= {"tasks": len(graph), "blocks": len(blocks), "bytes": len(pickle.dumps(blocks))}
    print(json.dumps(result))


def main() -> None:
    """Measure in fresh processes and print the medians."""
    print(f"{YEARS} years of hours x {MEMBERS} realizations, 180x360 to 720x1440")
    with saved(untrained(tile=(96, 96))) as folder:
        runs = [fresh(__file__, folder) for _ in range(3)]
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    report("building the lazy result", middle["seconds"], "s", target=2)
    report("additional peak memory", middle["megabytes"], "MB", target=300)
    report("tasks, reading and slicing included", middle["tasks"])
    report("tasks that compute blocks", middle["blocks"])
    report("pickled bytes of such a task", middle["bytes"] / middle["blocks"], "B")


if __name__ == "__main__":
    build(sys.argv[1]) if sys.argv[1:] else main()
