"""Runs that are killed at any moment, and go on: the same bytes, and nothing done twice."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.io.cases import (
    blocks_done,
    coarse,
    computed,
    files,
    fine,
    job_of,
    kill_at,
    run_zarr,
    slowly,
    start,
)
from xdeepr.io import is_unfinished

FIRST = "2021-07-01T00:00:00Z"
KILLS = 20
SECONDS = 0.02  # for a block


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    coarse(40).to_netcdf(tmp_path / "lr.nc")
    return tmp_path


@pytest.mark.slow
def test_killed_20_times_gives_the_same_bytes(folder: Path, rng: np.random.Generator) -> None:
    whole, path = folder / "whole.zarr", folder / "killed.zarr"
    process = start(run_zarr, folder, whole, FIRST, SECONDS)
    process.join()
    assert process.exitcode == 0
    total = computed(folder).total()
    (folder / "log").unlink()

    result = slowly(fine(xr.open_dataset(folder / "lr.nc", chunks={"time": 5})), folder, SECONDS)
    killed = runs = 0
    while killed < KILLS:
        path = folder / f"killed-{runs}.zarr"
        job = job_of(result, path)
        while not path.exists() or is_unfinished(path):
            done, before = blocks_done(job, path), computed(folder)
            # a later start has a later date, which must not get into the store
            date = FIRST if not done else f"2022-01-01T00:00:{killed:02d}Z"
            process = start(run_zarr, folder, path, date, SECONDS)
            if killed < KILLS:
                blocks, then = rng.integers(0, 2 * total // KILLS), rng.uniform(0, 0.1)
                kill_at(process, folder, path, blocks, then)
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL)
            killed += process.exitcode != 0
            assert not done & set(computed(folder) - before), "what was done is done again"
        assert files(path) == files(whole)
        runs += 1
    again = computed(folder).total() - runs * total
    print(f"{killed} kills in {runs} runs, {again} of {runs * total} blocks computed again")
