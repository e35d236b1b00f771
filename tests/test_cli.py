"""The command line: what it writes, what it says, and its exit codes."""

from __future__ import annotations

import functools
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xdeepr
from xdeepr.cli import main
from xdeepr.io import open_file, whole, write_file
from xdeepr.synthetic import SyntheticClimate


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with LR, HR and statics of a small island, and a model trained for two steps."""
    folder = tmp_path_factory.mktemp("inputs")
    climate = SyntheticClimate(shape=(16, 24))
    lr, hr = climate.sample(np.datetime64("2021-07-01", "h") + np.arange(6), seed=1)
    statics = climate.statics()
    for name, ds in {"lr": lr, "hr": hr, "statics": statics}.items():
        ds.to_netcdf(folder / f"{name}.nc")
    model = lr.deepr.fit(
        hr, covariates=statics, validation=None, max_steps=2, batch_size=2, progress=False,
        network={"block_out_channels": (8, 16), "layers_per_block": 1}, name="tiny",
    )  # fmt: skip
    model.save(folder / "tiny")
    return folder


@pytest.fixture
def here(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory with links to the inputs; checks that no scraps are left."""
    for item in inputs.iterdir():
        (tmp_path / item.name).symlink_to(item)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith(".")] == []


def run(command: str) -> int:
    return main(command.split())


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for argument, said in (("--version", f"xdeepr {xdeepr.__version__}"), ("--help", "downscale")):
        with pytest.raises(SystemExit) as stop:
            run(argument)
        assert stop.value.code == 0
        assert said in capsys.readouterr().out


def test_python_m_xdeepr() -> None:
    command = [sys.executable, "-m", "xdeepr", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == f"xdeepr {xdeepr.__version__}"


def test_reading_the_command_line_loads_nothing_that_computes() -> None:
    """The help lists the scores; their registry is plain data."""
    code = (
        "import sys\nfrom xdeepr.cli import _parser\n_parser()\n"
        "print(*{'torch', 'dask.array', 'xskillscore', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "command",
    ["", "upscale", "downscale lr.nc", "downscale lr.nc out.nc", "fit lr.nc hr.nc",
     "downscale lr.nc out.nc --model tiny --members many", "verify a.nc b.nc --nonsense",
     "downscale lr.nc out.nc --model tiny --quiet --progress"],
)  # fmt: skip
def test_wrong_usage_is_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(command)
    assert stop.value.code == 2
    assert "usage: xdeepr" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["out.nc", "out.zarr", "new/folder/out.nc"])
def test_downscale_writes_what_the_accessor_gives(here: Path, name: str) -> None:
    assert run(f"downscale lr.nc {name} --model tiny --members 2 --seed 7 --quiet") == 0
    lr = xr.open_dataset("lr.nc")
    expected = lr.deepr.downscale("tiny", members=2, seed=7)
    with open_file(name) as written:
        # Chunks differ: rounding, see promise 1.
        xr.testing.assert_allclose(written.compute(), expected.compute(), atol=1e-4)
        assert written["t2m"].attrs["units"] == "K"
        assert written.attrs["xdeepr_seed"] == 7
        assert "xdeepr" in written.attrs["history"].splitlines()[0]


@pytest.mark.parametrize(
    ("verb", "command", "options"),
    [
        ("downscaling.downscale", "downscale lr.nc out.nc",
         {"model": "tiny", "members": 3, "seed": 4, "steps": 5, "sampler": "ddim", "factor": 4,
          "tile": 16, "overlap": 2, "batch_size": 6, "device": "cpu", "missing": "mask",
          "covariates": "statics.nc", "like": "hr.nc"}),
        ("training.fit", "fit lr.nc hr.nc --out new --by-month --variables t2m",
         {"model": "regression", "base": "tiny", "autoencoder": "tiny", "validation": 0.25,
          "normalization": "pixel-wise", "missing": "fill", "covariates": "statics.nc",
          "epochs": 3, "max_steps": 4, "max_time": 5.0, "batch_size": 6, "learning_rate": 0.5,
          "window": 16, "seed": 7, "device": "cpu", "keep": "kept", "name": "mine"}),
        ("verification.verify", "verify lr.nc hr.nc --metrics rmse crps",
         {"baseline": "nearest", "predictor": "lr.nc"}),
    ],
)  # fmt: skip
def test_every_option_arrives(
    here: Path, verb: str, command: str, options: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, name = f"xdeepr.{verb}".rpartition(".")
    original = getattr(importlib.import_module(module), name)
    given: dict[str, object] = {}

    @functools.wraps(original)
    def stop(*args: object, **kwargs: object) -> None:
        given.update(inspect.signature(original).bind(*args, **kwargs).arguments)
        raise xdeepr.errors.OptionError("far enough")

    monkeypatch.setattr(f"xdeepr.{verb}", stop)
    words = [f"--{key.replace('_', '-')} {value}" for key, value in options.items()]
    assert run(f"{command} {' '.join(words)}") == 1
    for key, value in options.items():
        if isinstance(given[key], xr.Dataset):
            xr.testing.assert_identical(given[key], xr.open_dataset(value))
        else:
            assert type(value)(given[key]) == value, key
    of_commands = {"by_month": True, "variables": ["t2m"], "metrics": ["rmse", "crps"]}
    for key in of_commands.keys() & inspect.signature(original).parameters.keys():
        assert given[key] == of_commands[key]


def test_downscale_by_interpolation(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("downscale lr.nc a.nc --model bicubic --factor 4") == 0
    assert run("downscale lr.nc b.nc --model bicubic --like hr.nc") == 0
    with xr.open_dataset("a.nc") as by_factor, xr.open_dataset("b.nc") as by_grid:
        xr.testing.assert_allclose(by_factor, by_grid)
    assert capsys.readouterr().out == ""


def test_progress_is_shown_when_asked(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("downscale lr.nc a.nc --model bicubic --factor 4") == 0
    assert "downscaling" not in capfd.readouterr().err  # no terminal
    assert run("downscale lr.nc b.nc --model bicubic --factor 4 --progress") == 0
    assert "downscaling" in capfd.readouterr().err


def test_covariates_are_read(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = "downscale lr.nc {} --model tiny --covariates {} --quiet"
    assert run(command.format("kept.nc", "statics.nc")) == 0
    assert run(command.format("none.nc", "hr.nc")) == 1
    assert "orography" in capsys.readouterr().err


def test_fit_then_downscale_then_verify(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = "fit lr.nc hr.nc --out mine --covariates statics.nc --max-steps 1 --batch-size 2"
    assert run(f"{fit} --max-time 600 --validation 0.3") == 0
    assert "Downscaler 'mine'" in capsys.readouterr().out
    assert xdeepr.load("mine").card.training["steps"] == 1
    assert run("downscale lr.nc out.nc --model mine --members 2 --steps 2 --quiet") == 0
    assert run("verify out.nc hr.nc --predictor lr.nc --out scores.nc") == 0
    table = capsys.readouterr().out
    assert "fair CRPS" in table and "bicubic" in table and "mine" in table
    with xr.open_dataset("scores.nc") as scores:
        assert list(scores["system"].values) == ["mine", "bicubic"]
        assert f"{float(scores['rmse'].sel(system='bicubic')):.4f}" in table


def test_bare_numbers_are_seconds(here: Path) -> None:
    """As text, pandas would take them for nanoseconds and end before the first step."""
    fit = "fit lr.nc hr.nc --out mine --max-steps 2 --batch-size 2 --quiet --max-time"
    assert run(f"{fit} 500") == 0
    settings = xdeepr.load("mine").card.training["settings"]
    assert settings["max_time"] == 500
    assert run(f"{fit} 5min --overwrite") == 0


@pytest.mark.parametrize(
    ("baseline", "systems"),
    [("none", ["tiny"]), ("nearest", ["tiny", "nearest"]), ("b.nc", ["tiny", "bilinear"])],
)
def test_verify_against_a_baseline(here: Path, baseline: str, systems: list[str]) -> None:
    assert run("downscale lr.nc out.nc --model tiny --steps 2 --quiet") == 0
    assert run("downscale lr.nc b.nc --model bilinear --factor 4 --quiet") == 0
    verify = f"verify out.nc hr.nc --predictor lr.nc --baseline {baseline}"
    assert run(f"{verify} --out scores.nc") == 0
    with xr.open_dataset("scores.nc") as scores:
        assert list(scores["system"].values) == systems


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("downscale lr.nc out.nc --model tinny", "'tinny' is neither"),
        ("downscale lr.nc out.nc --model tiny --members 0", "members=0"),
        ("downscale lr.nc out.nc --model tiny --factor 5", "factor=5"),
        ("downscale hr.nc out.nc --model tiny", "trained on LR cells of 0.25"),
        ("downscale none.nc out.nc --model tiny", "none.nc does not exist"),
        ("downscale tiny/card.json out.nc --model tiny", "cannot be read"),
        ("downscale lr.nc out.tif --model tiny", "'.tif'"),
        ("downscale lr.nc hr.nc --model tiny", "--overwrite"),
        ("downscale lr.nc out.nc --model bicubic", "factor="),
        ("fit lr.nc hr.nc --out tiny", "tiny exists already"),
        ("fit lr.nc hr.nc --out new --max-time soon", "'soon'"),
        ("fit hr.nc hr.nc --out new", "does not nest"),
        ("verify hr.nc lr.nc", "Regrid the reference"),
        ("verify hr.nc hr.nc --baseline splines", "splines does not exist"),
    ],
)
def test_errors_are_one_line_and_1(
    here: Path, command: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.iterdir())
    assert run(command) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if "warning:" not in line]
    assert len(error) == 1
    assert error[0].startswith("xdeepr: error: ")
    assert said in error[0]
    assert sorted(here.iterdir()) == before


def test_an_error_on_the_way_leaves_no_half_file(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lr = xr.open_dataset("lr.nc").load()
    lr["t2m"][-1, 0, 0] = np.nan
    lr.to_netcdf("gap.nc")
    Path("out.nc").write_text("an older result")
    assert run("downscale gap.nc out.nc --model tiny --overwrite --batch-size 1 --quiet") == 1
    said = capsys.readouterr().err
    assert "t2m" in said and "2021-07-01T05" in said
    assert Path("out.nc").read_text() == "an older result"


def test_ctrl_c_is_130_and_leaves_no_half_file(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(ds: xr.Dataset, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(xr.Dataset, "to_netcdf", interrupted)
    assert run("downscale lr.nc out.nc --model bicubic --factor 4") == 130
    assert "interrupted" in capsys.readouterr().err
    assert not Path("out.nc").exists()


def test_warnings_are_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("downscale lr.nc out.nc --model bilinear --factor 4 --quiet") == 0
    assert run("verify out.nc hr.nc") == 0  # no predictor: a perfect model is assumed
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("xdeepr: warning: no predictor given")


@pytest.mark.filterwarnings("error")
def test_write_file_replaces_only_when_allowed(tmp_path: Path) -> None:
    for name in ("a.nc", "a.zarr"):
        one, two = (xr.Dataset({"x": ("t", np.full(3, value))}) for value in (1, 2))
        write_file(one, tmp_path / name)
        with pytest.raises(xdeepr.errors.OptionError, match="exists already"):
            write_file(two, tmp_path / name)
        write_file(two, tmp_path / name, overwrite=True)
        with open_file(tmp_path / name) as found:
            xr.testing.assert_equal(found.compute(), two)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.nc", "a.zarr"]


def test_zarr_takes_uneven_chunks(tmp_path: Path) -> None:
    ds = xr.Dataset({"x": (("t", "y"), np.arange(40.0).reshape(10, 4))})
    write_file(ds.chunk(t=(3, 5, 2), y=(1, 3)), tmp_path / "a.zarr")
    xr.testing.assert_equal(open_file(tmp_path / "a.zarr").compute(), ds)


def test_whole_gives_nothing_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole(tmp_path / "x.txt") as scratch:
        scratch.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_grib_is_read_without_leaving_an_index(data_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("cfgrib")
    grib = tmp_path / "uk.grib"
    grib.write_bytes((data_dir / "era5" / "era5-2mt-2019-03-uk.grib").read_bytes())
    with open_file(grib) as ds:
        assert ds["t2m"].sizes["time"] == 744
    assert list(tmp_path.iterdir()) == [grib]
