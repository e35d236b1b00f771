"""The demo: its files and tables, and that it never asks for the network."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from xdeepr import demo
from xdeepr.cli import main
from xdeepr.demo import run_demo
from xdeepr.synthetic import SyntheticClimate

pytestmark = pytest.mark.slow

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint for the demo's climate, hardly trained."""
    climate = SyntheticClimate()
    lr, hr = climate.sample(np.datetime64("1999-07-01", "h") + 100 * np.arange(4), seed=9)
    model = lr.deepr.fit(
        hr, covariates=climate.statics(), validation=None, max_steps=2, batch_size=2,
        network={"block_out_channels": (8, 16), "layers_per_block": 1}, name="ddpm",
        diffusion={"steps": 2}, progress=False,
    )  # fmt: skip
    return model.save(tmp_path_factory.mktemp("model") / "stand-in")


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo, "_data_folders", lambda: [tmp_path / "nothing-here"])


def test_synthetic_part(stand_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "results"
    scores = run_demo(folder, fit=False, model=stand_in, members=3, times=2)
    names = {item.name for item in folder.iterdir()}
    assert names == {"synthetic.nc", "synthetic.png", "scores.txt"}
    assert (folder / "synthetic.png").read_bytes().startswith(PNG)
    with xr.open_dataset(folder / "synthetic.nc") as out:
        assert dict(out["t2m"].sizes) == {
            "realization": 3, "time": 2, "latitude": 64, "longitude": 64,
        }  # fmt: skip
        assert out.attrs["Conventions"].startswith("CF-")
    table = scores["synthetic"]
    assert list(table["system"].values) == ["ddpm", "bicubic", "optimum"]
    rmse = table["rmse"].to_series()
    assert rmse["optimum"] < rmse["bicubic"]
    text = (folder / "scores.txt").read_text(encoding="utf-8")
    assert "optimum" in text and "fair CRPS" in text
    said = capsys.readouterr().out
    assert "optimum" in said and "ERA5" not in said and "Done" in said


def test_the_weather_is_not_that_of_the_training() -> None:
    """The years of examples/train_shipped_checkpoint.py end before the demo begins."""
    script = Path(__file__).parents[1] / "examples" / "train_shipped_checkpoint.py"
    if not script.exists():
        pytest.skip("examples/ is not here: an installed package")
    years = [
        int(year.strip(' "():,'))
        for line in script.read_text().splitlines()
        if '"years":' in line
        for year in line.split('"years":')[1].split(', "seed"')[0].split(",")
    ]
    assert len(years) == 6
    assert max(years) <= np.datetime64(demo.FIRST_TIME, "Y").astype(object).year


def test_another_seed_is_another_weather(stand_in: Path, tmp_path: Path) -> None:
    one, other = (
        run_demo(tmp_path / str(seed), fit=False, model=stand_in, members=2, times=1, seed=seed)
        for seed in (0, 1)
    )
    rmse = [float(scores["synthetic"]["rmse"].sel(system="bicubic")) for scores in (one, other)]
    assert rmse[0] != rmse[1]


def test_command(stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command with the demo's own size would take a minute: only its arguments are tested."""
    calls: list[tuple[object, dict[str, object]]] = []
    monkeypatch.setattr(demo, "run_demo", lambda folder, **options: calls.append((folder, options)))
    assert main(["demo", "--out", str(tmp_path), "--no-fit", "--seed", "3"]) == 0
    assert main(["demo", "--model", str(stand_in)]) == 0
    assert calls == [
        (tmp_path, {"fit": False, "seed": 3, "model": "ddpm"}),
        (Path("demo-output"), {"fit": True, "seed": 0, "model": str(stand_in)}),
    ]


def test_error_is_told_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "x"), "--model", "no-such-model"]) == 1
    assert "xdeepr: error: model='no-such-model'" in capsys.readouterr().err


@pytest.mark.usefixtures("no_data")
def test_without_real_data_it_says_how_to_get_them(
    stand_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = run_demo(tmp_path, model=stand_in, members=2, times=1)
    assert list(scores) == ["synthetic"]
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert "open_era5_italy" in line


def test_real_part(
    stand_in: Path,
    tmp_path: Path,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDEEPR_DATA_DIR", str(data_dir))
    scores = run_demo(tmp_path, model=stand_in, members=2, times=1, max_time="1s")
    assert list(scores["era5-italy"]["system"].values) == ["era5-italy", "bicubic"]
    # The bicubic baseline on the whole test part is 1.12 K; a part of it is near that.
    assert float(scores["era5-italy"]["rmse"].sel(system="bicubic")) == pytest.approx(1.12, abs=0.1)
    for name in ("era5-italy.png", "era5-italy-training.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG)
    with xr.open_dataset(tmp_path / "era5-italy.nc") as out:
        assert out["t2m"].sizes["time"] == 14
        assert len(np.unique(out["time"].dt.hour)) == 8
    assert "era5-italy" in (tmp_path / "scores.txt").read_text(encoding="utf-8")


def test_a_damaged_copy_is_refused_and_never_mended(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in demo.ITALY_FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(data_dir / name, tmp_path / name)
        (tmp_path / name).chmod(0o644)
    damaged = tmp_path / demo.ITALY_FILES[0]
    damaged.write_bytes(damaged.read_bytes()[:1000])
    monkeypatch.setattr(demo, "_data_folders", lambda: [tmp_path])
    monkeypatch.setenv("XDEEPR_DATA_DIR", "elsewhere")
    with pytest.raises(OSError, match="SHA-256"):
        demo._open_italy()
    assert damaged.stat().st_size == 1000
    assert os.environ["XDEEPR_DATA_DIR"] == "elsewhere"
