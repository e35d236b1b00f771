"""One netCDF file for each period: whole or not there, kept if it is of the run, else refused."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.io.cases import (
    coarse,
    computed,
    files,
    fine,
    kill_at,
    run_periods,
    slowly,
    start,
)
from xdeepr.errors import DataUnavailableError, OptionError, OutputError
from xdeepr.io import is_unfinished, open_file, write_periods
from xdeepr.io.journal import FOLDER

NAMES = ["t2m-ws_2021-06.nc", "t2m-ws_2021-07.nc"]


@pytest.fixture
def out() -> xr.Dataset:
    """Three days of June and three of July."""
    return fine(coarse(24).chunk(time=5))


@pytest.mark.parametrize(
    ("period", "labels"),
    [
        ("year", ["2021"]),
        ("month", ["2021-06", "2021-07"]),
        (
            "day",
            [*(f"2021-06-{day}" for day in (28, 29, 30)), *(f"2021-07-0{d}" for d in (1, 2, 3))],
        ),
    ],
)
def test_the_files_hold_the_result(out, tmp_path: Path, period, labels: list[str]) -> None:
    written = write_periods(out, tmp_path / "out", period=period, name="hr")
    assert [file.name for file in written] == [f"hr_{label}.nc" for label in labels]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(f.name for f in written)
    parts = [xr.open_dataset(file).load() for file in written]
    for part in parts:
        assert set(part.attrs) - set(out.attrs) == {"xdeepr_run"}
        assert {k: part.attrs[k] for k in out.attrs} == out.attrs
        for name in ("t2m", "time", "latitude", "latitude_bnds"):
            assert part[name].attrs == out[name].attrs
    with open_file(tmp_path / "out") as whole:
        xr.testing.assert_equal(whole.compute(), out.compute())
        assert whole["t2m"].chunks


def test_encodings_and_kinds_of_numbers(out: xr.Dataset, tmp_path: Path) -> None:
    more = out.assign(warm=out.t2m > 285, day=out.time.dt.dayofyear, rank=(out.ws > 0).astype("i2"))
    packed = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -9}
    (file,) = write_periods(more, tmp_path, period="year", name="hr", encoding={"t2m": packed})
    with xr.open_dataset(file) as found:
        assert found["t2m"].encoding["dtype"] == np.dtype("i2")
        np.testing.assert_allclose(found["t2m"], more["t2m"], atol=0.0051)
        xr.testing.assert_equal(found.drop_vars("t2m"), more.drop_vars("t2m").compute())
        assert found["warm"].dtype == bool
    with pytest.raises(OptionError, match="no variable 'q'"):
        write_periods(out, tmp_path, encoding={"q": packed})


def test_other_calendars(tmp_path: Path) -> None:
    time = xr.date_range("2021-02-28", periods=4, calendar="360_day", use_cftime=True)
    ds = xr.Dataset({"x": ("time", np.arange(4.0))}, {"time": time}).chunk(time=1)
    written = write_periods(ds, tmp_path)
    assert [file.name for file in written] == ["x_2021-02.nc", "x_2021-03.nc"]
    with xr.open_dataset(written[0]) as found:
        assert found.sizes["time"] == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ds: ds.isel(time=0), "no dimension of times"),
        (lambda ds: ds.isel(time=[0, 23, 1]), "2021-06 comes twice. Sort"),
    ],
)
def test_times_that_do_not_serve(out: xr.Dataset, tmp_path: Path, change, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        write_periods(change(out), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_of_a_file_and_an_unknown_period(out: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"hr\.nc must be a folder"):
        write_periods(out, tmp_path / "hr.nc")
    with pytest.raises(OptionError, match="'week' is not one of day, month, year"):
        write_periods(out, tmp_path, period="week")  # type: ignore[arg-type]


def test_what_is_whole_is_kept(out: xr.Dataset, tmp_path: Path) -> None:
    """Not even opened for writing, and no block of it computed."""
    slow, folder = slowly(out, tmp_path, 0.0), tmp_path / "out"
    first, second = write_periods(slow, folder)
    before, blocks = stamp(first), computed(tmp_path)
    second.unlink()
    later = slow.assign_attrs(history="2031-01-01T00:00:00Z " + out.attrs["history"][21:])
    assert write_periods(later, folder) == [first, second]
    assert stamp(first) == before
    assert all(int(b.split(",")[1]) >= 12 for b in computed(tmp_path) - blocks)
    with xr.open_dataset(first) as one, xr.open_dataset(second) as two:
        assert one.attrs == two.attrs  # the date of the first run, too


def test_files_of_another_run_are_refused_or_replaced(out: xr.Dataset, tmp_path: Path) -> None:
    write_periods(out, tmp_path)
    before = files(tmp_path)
    other = out.assign_attrs(xdeepr_seed=8)
    with pytest.raises(OutputError, match="xdeepr_seed is only here"):
        write_periods(other, tmp_path)
    with pytest.raises(OptionError, match="exists already, and resume is off"):
        write_periods(out, tmp_path, resume=False)
    assert files(tmp_path) == before
    assert not is_unfinished(tmp_path)
    write_periods(other, tmp_path, overwrite=True)
    for name in NAMES:
        with xr.open_dataset(tmp_path / name) as found:
            assert found.attrs["xdeepr_seed"] == 8


def test_a_damaged_file_is_not_taken_for_a_whole_one(out: xr.Dataset, tmp_path: Path) -> None:
    write_periods(out, tmp_path)
    before = files(tmp_path)
    half = before[NAMES[1]][: len(before[NAMES[1]]) // 2]
    (tmp_path / NAMES[1]).write_bytes(half)
    with pytest.raises(OutputError, match=r"2021-07\.nc cannot be read, or is not whole"):
        write_periods(out, tmp_path)
    assert (tmp_path / NAMES[1]).read_bytes() == half
    write_periods(out, tmp_path, overwrite=True)
    assert files(tmp_path) == before


def test_jobs_for_parts_share_a_folder(out: xr.Dataset, tmp_path: Path) -> None:
    """As a job array does; a run that was given up is in the way of its own files only."""
    june, july = out.isel(time=slice(0, 12)), out.isel(time=slice(12, None))
    broken = july.assign(t2m=july.t2m.copy(data=july.t2m.data.map_blocks(_fail, dtype="f4")))
    with pytest.raises(RuntimeError, match="on purpose"):
        write_periods(broken, tmp_path)
    assert is_unfinished(tmp_path)
    with pytest.raises(DataUnavailableError, match="is not finished"):
        open_file(tmp_path)
    write_periods(june, tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.name != FOLDER] == [NAMES[0]]
    with pytest.raises(OutputError, match="of another run that is not finished"):
        write_periods(july, tmp_path)
    write_periods(july, tmp_path, overwrite=True)
    assert not is_unfinished(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == NAMES


def stamp(file: Path) -> tuple[int, int]:
    """Which file it is, and when it was written."""
    return file.stat().st_ino, file.stat().st_mtime_ns


def _fail(block: np.ndarray) -> np.ndarray:
    if block.size:
        raise RuntimeError("on purpose")
    return block


@pytest.mark.slow
def test_killed_and_gone_on(tmp_path: Path, rng: np.random.Generator) -> None:
    coarse(24).to_netcdf(tmp_path / "lr.nc")
    whole, path = tmp_path / "whole", tmp_path / "killed"
    start(run_periods, tmp_path, whole, "2021-07-01T00:00:00Z", 0.02).join()
    total = computed(tmp_path).total()
    killed = 0
    for number in range(8):
        seen = {p.name: stamp(p) for p in path.glob("*.nc")}
        date = f"2021-07-01T00:00:{number if is_unfinished(path) or seen else 0:02d}Z"
        process = start(run_periods, tmp_path, path, date, 0.02)
        kill_at(process, tmp_path, path, rng.integers(0, total // 4), rng.uniform(0, 0.1))
        killed += process.exitcode == -signal.SIGKILL
        for file in path.glob("*.nc"):  # a file that is there is whole, and is left alone
            assert file.read_bytes() == (whole / file.name).read_bytes()
            assert seen.get(file.name, stamp(file)) == stamp(file)
    start(run_periods, tmp_path, path, "2022-01-01T00:00:00Z", 0.02).join()
    assert killed >= 5
    assert not is_unfinished(path)
    assert files(path) == files(whole)
