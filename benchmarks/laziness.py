"""Time and memory for building the lazy result of a large job, and the size of its graph.

Ten years of hourly fields on a global 1° grid (180×360), ten realizations on 0.25° (720×1440):
nothing of it is computed. Each measurement is a fresh process.

    python benchmarks/laziness.py
"""

from __future__ import annotations

import json
import pickle
import statistics
import sys
from pathlib import Path

from _common import coarse, fresh, peak_memory, report, saved, seconds, statics, untrained

YEARS, MEMBERS, SHAPE = 10, 10, (180, 360)
TIMES = YEARS * 8766
INPUT_CHUNK = 24
"""Hours in a chunk of the input file: many small ones are the harder case."""


def build(folder: str) -> None:
    """Build the result in this process and print what it took."""
    import torch  # noqa: F401  # what is imported anyway is not the graph's cost

    lr = coarse(SHAPE, TIMES, chunk=INPUT_CHUNK)
    covariates = statics(lr.isel(time=0, drop=True)).load()
    lr.isel(time=slice(2)).deepr.downscale(folder, members=2, covariates=covariates)  # imports
    before, results = peak_memory(), []
    took = seconds(
        lambda: results.append(
            lr.deepr.downscale(folder, members=MEMBERS, covariates=covariates)
        )
    )
    grew = peak_memory() - before
    graph = results[0].t2m.data.dask
    own = graph.layers[results[0].t2m.data.name.split("[")[0]] if False else graph
    print(json.dumps({"seconds": took, "megabytes": grew, "tasks": len(own), "layers": len(graph.layers), "kinds": {k[:30]: len(v) for k,v in graph.layers.items()}}))


def main() -> None:
    """Measure in fresh processes and print medians."""
    with saved(untrained(tile=(96, 96))) as folder:
        runs = [fresh(__file__, folder) for _ in range(3)]
    print(runs)


if __name__ == "__main__":
    build(sys.argv[1]) if sys.argv[1:] else main()
