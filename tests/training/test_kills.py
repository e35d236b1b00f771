"""A training that is killed at random moments, again and again, ends with the same weights."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.conftest import TINY
from xdeepr.training.state import STATE

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["torch", "diffusers", "netCDF4", "xarray", "xdeepr.training", "xdeepr.networks.unet"]
)
KILLS, STEPS = 10, 60


def train(folder: Path) -> None:
    """Train on the files of a folder and note the steps; this is what gets killed."""
    from xdeepr import fit
    from xdeepr.training import loop

    step = loop.Trainer._step

    def noted(self: loop.Trainer) -> float:
        loss = step(self)
        with (folder / "steps").open("a") as log:
            log.write(f"{self.progress.step} {os.getpid()}\n")
        return loss

    loop.Trainer._step = noted  # type: ignore[method-assign]
    model = fit(
        xr.open_dataset(folder / "lr.nc"), xr.open_dataset(folder / "hr.nc"), max_steps=STEPS,
        batch_size=4, validation=0.2, network={**TINY, "dropout": 0.2}, precision="float32",
        progress=False, keep=folder / "state",
    )  # fmt: skip
    model.save(folder / "model")


def steps_of(folder: Path) -> list[tuple[int, int]]:
    """Steps that were done so far, and by which process."""
    log = folder / "steps"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(step), int(process)) for step, process in map(str.split, lines)]


@pytest.fixture
def folder(italy_lr: xr.Dataset, italy_hr: xr.Dataset, tmp_path: Path) -> Path:
    italy_lr.to_netcdf(tmp_path / "lr.nc")
    italy_hr.to_netcdf(tmp_path / "hr.nc")
    return tmp_path


def copy_of(folder: Path, name: str) -> Path:
    other = folder / name
    other.mkdir()
    for file in ("lr.nc", "hr.nc"):
        (other / file).symlink_to(folder / file)
    return other


@pytest.mark.slow
def test_killed_at_random_moments(folder: Path, rng: np.random.Generator) -> None:
    whole, cut = copy_of(folder, "whole"), copy_of(folder, "cut")
    uncut = CONTEXT.Process(target=train, args=(whole,))
    uncut.start()
    uncut.join()
    killed = 0
    while not (cut / "model").is_dir():
        process = CONTEXT.Process(target=train, args=(cut,))
        before = len(steps_of(cut))
        process.start()
        # evaluations, after which the state is kept, are 10 steps apart
        more, then = rng.integers(0, 13), rng.uniform(0, 0.03)
        while killed < KILLS and process.is_alive():
            if len(steps_of(cut)) >= before + more:
                time.sleep(then)
                process.kill()
                break
            time.sleep(0.002)
        process.join()
        killed += process.exitcode != 0
        assert not [p for p in cut.iterdir() if p.name.startswith(".model")]
    assert killed == KILLS
    for name in ("network.safetensors", "covariates.safetensors", "training.json"):
        assert (cut / "model" / name).read_bytes() == (whole / "model" / name).read_bytes()
    cards = [json.loads((f / "model" / "card.json").read_text())["card"] for f in (whole, cut)]
    assert cards[0].keys() == cards[1].keys()
    # what was kept is not done again
    runs: dict[int, list[int]] = {}
    for step, process_id in steps_of(cut):
        runs.setdefault(process_id, []).append(step)
    for before, after in pairwise(runs.values()):
        assert after[0] >= (before[-1] + 1) // 10 * 10 - 10
    assert (cut / "state" / STATE).is_file()
    print(f"{killed} kills; {len(steps_of(cut)) - STEPS} of {STEPS} steps done again")
