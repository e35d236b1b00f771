"""`xdeepr downscale` as a batch job: stopped in every way, run again, the same bytes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.io.cases import files
from xdeepr.cli import main
from xdeepr.io import is_unfinished, open_file
from xdeepr.io.journal import DONE, FOLDER, read_numbers
from xdeepr.synthetic import SyntheticClimate

COMMAND = "downscale lr.nc {} --model tiny --members 10 --seed 7 --batch-size 10 --quiet"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 120 hours of a small island, and a model that takes some time for each."""
    folder = tmp_path_factory.mktemp("inputs")
    climate = SyntheticClimate(shape=(16, 24))
    lr, hr = climate.sample(np.datetime64("2021-06-28", "h") + np.arange(120), seed=1)
    lr.to_netcdf(folder / "lr.nc")
    hr.isel(time=slice(48)).to_netcdf(folder / "hr.nc")
    model = lr.isel(time=slice(6)).deepr.fit(
        hr.isel(time=slice(6)), covariates=climate.statics(), validation=None, max_steps=2,
        batch_size=2, progress=False, name="tiny", time_features=(),
        network={"block_out_channels": (8, 16), "layers_per_block": 1},
    )  # fmt: skip
    model.save(folder / "tiny")
    return folder


@pytest.fixture
def here(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str) -> int:
    return main(command.split())


def started(command: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "xdeepr", *command.split()]
    return subprocess.Popen(
        program, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=_heed_ctrl_c
    )


def _heed_ctrl_c() -> None:
    """Shells let what they run in the background ignore it, and tests may run there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stopped(command: str, journal: str, number: int) -> tuple[int, str]:
    """Send a signal once a region more is done; return exit code and the line that was said."""
    before = count(journal)
    process = started(command)
    while count(journal) <= before and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(number)
    line = line_of(process)
    return process.wait(), line


def line_of(process: subprocess.Popen[str]) -> str:
    """What was said beside warnings (of the range of the training)."""
    said = process.communicate()[1].splitlines()
    return "\n".join(line for line in said if "warning:" not in line)


def count(journal: str) -> int:
    return sum(len(read_numbers(file)) for file in Path().glob(journal))


@pytest.mark.slow
def test_sigterm_ctrl_c_and_kill(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, journal = COMMAND.format("out.zarr"), f"out.zarr/{FOLDER}/{DONE}"
    for number, exit_code, word in (
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
    ):
        code, line = stopped(command, journal, number)
        assert code == exit_code
        assert re.fullmatch(
            rf"xdeepr: {word}: \d+ of 120 regions of out\.zarr are written: run the same command"
            " again to go on",
            line,
        )
        assert is_unfinished("out.zarr")
    assert stopped(command, journal, signal.SIGKILL)[0] == -signal.SIGKILL
    done = count(journal)
    assert 4 <= done < 120
    shutil.copytree("tiny", "elsewhere")  # jobs copy their input to other folders
    shutil.copy("lr.nc", "copy.nc")
    assert run(command.replace("lr.nc", "copy.nc").replace("tiny", "elsewhere")) == 0
    assert run(COMMAND.format("whole.zarr")) == 0
    killed, whole = files(here / "out.zarr"), files(here / "whole.zarr")
    assert {k for k in whole if whole[k] != killed.get(k)} == {"zarr.json"}  # its date
    assert killed.keys() == whole.keys()
    date = rb"\d{4}-\d\d-\d\dT[\d:]+Z"
    assert re.sub(date, b"", killed["zarr.json"]) == re.sub(date, b"", whole["zarr.json"])
    capsys.readouterr()


@pytest.mark.slow
def test_sigterm_with_periods_and_with_one_file(here: Path) -> None:
    command = COMMAND.format("out --period month")
    code, line = stopped(command, f"out/{FOLDER}/*/*/{DONE}", signal.SIGTERM)
    assert code == 143
    assert re.match(r"xdeepr: terminated: \d+ of 72 regions of out/t2m_2021-06\.nc are", line)
    assert line.endswith("run the same command again to go on; 0 of 2 files in out are whole")
    assert not [*here.glob("out/*.nc")]
    assert run(command) == 0
    written = open_file("out")
    expected = xr.open_dataset("lr.nc").deepr.downscale("tiny", members=10, seed=7, batch_size=10)
    xr.testing.assert_equal(written["t2m"].compute(), expected["t2m"].compute())

    process = started(COMMAND.format("out.nc"))
    while not [*here.glob(".out.nc-*/out.nc")]:
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    said = "xdeepr: terminated: nothing half-written is left: run the same command again"
    assert line_of(process) == said
    assert process.wait() == 143
    assert not [*here.glob("*out.nc*")]


def test_resume_and_overwrite(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = "downscale lr.nc {} --model bicubic --factor 4 --quiet"
    for name in ("out.zarr", "out --period year"):
        again = command.format(name)
        assert run(again) == 0
        before = {k: p.stat().st_mtime_ns for k, p in tree(here / name.split()[0]).items()}
        assert run(again) == 0
        assert run(f"{again} --overwrite") == 0
        assert {k: p.stat().st_mtime_ns for k, p in tree(here / name.split()[0]).items()} == before
        assert run(f"{again} --no-resume") == 1
        assert "resume is off" in capsys.readouterr().err
        assert run(f"{again} --no-resume --overwrite") == 0
        assert run(f"{again} --model bilinear") == 1
        assert "'bicubic' there and 'bilinear' here" in capsys.readouterr().err
        assert run(f"{again} --model bilinear --overwrite") == 0


def tree(folder: Path) -> dict[str, Path]:
    return {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}


def test_another_input_of_the_same_shape(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = "downscale lr.nc out.zarr --model bicubic --factor 4 --quiet"
    assert run(command) == 0
    (xr.load_dataset("lr.nc") + 1).assign_attrs(xr.open_dataset("lr.nc").attrs)
    lr = xr.load_dataset("lr.nc")
    lr["t2m"][100, 3, 2] += 1
    lr.to_netcdf("other.nc")
    os.replace("other.nc", "lr.nc")
    assert run(command) == 1
    assert "exists already, of another run" in capsys.readouterr().err


def test_an_error_on_the_way_says_what_is_done(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lr = xr.load_dataset("lr.nc")
    lr["t2m"][-1, 0, 0] = np.nan
    lr.to_netcdf("gap.nc")
    command = "downscale gap.nc out.zarr --model bicubic --factor 4 --batch-size 20 --quiet"
    assert run(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "missing" in line and "t2m" in line
    assert re.search(r"; \d+ of 6 regions of out\.zarr are written: run the same command", line)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("out", "--period"),
        ("out.nc --period month", "out.nc must be a folder"),
        ("lr.nc --period month", "lr.nc must be a folder"),
    ],
)
def test_names_that_do_not_serve(
    here: Path, arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"downscale lr.nc {arguments} --model bicubic --factor 4") == 1
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_sigterm_during_a_training(here: Path) -> None:
    command = "fit lr.nc hr.nc --out new --max-steps 5000 --batch-size 2 --keep state --quiet"
    process = started(command)
    while not [*here.glob("state/*.safetensors")]:
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    assert re.fullmatch(
        r"xdeepr: terminated: step \d+ is kept in state: run the same again to go on",
        line_of(process),
    )
    assert process.wait() == 143
    assert not (here / "new").exists()
