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

    lr = xr.open_dataset(folder / "lr.nc", chunks={"time": 5})
    job = job_of(slowly(fine(lr), folder, SECONDS), path)
    killed = 0
    for number in range(KILLS):
        done, before = blocks_done(job, path), computed(folder)
        # a later start has a later date, which must not get into the store
        date = FIRST if not done else f"2022-01-01T00:00:{number:02d}Z"
        process = start(run_zarr, folder, path, date, SECONDS)
        kill_at(process, folder, path, rng.integers(0, 2 * total // KILLS), rng.uniform(0, 0.1))
        killed += process.exitcode == -signal.SIGKILL
        assert not done & set(computed(folder) - before), "a region that was done is done again"
    start(run_zarr, folder, path, "2023-01-01T00:00:00Z", SECONDS).join()
    assert killed >= KILLS // 2  # on a busy machine some runs end before they are killed
    assert files(path) == files(whole)
    assert not is_unfinished(path)
    print(f"{killed} kills, {computed(folder).total() - total} of {total} blocks computed again")
