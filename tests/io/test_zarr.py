"""What a store holds, what is left alone, and what is refused; no run is killed here."""

from __future__ import annotations

import _thread
import json
import re
import shutil
import threading
import time
import warnings
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from tests.io.cases import LOG, blocks_done, coarse, computed, files, fine, job_of, limited, slowly
from xdeepr.errors import DataUnavailableError, OptionError, OutputError
from xdeepr.io import is_unfinished, open_file, regions, write_zarr
from xdeepr.io.identity import MARKER, RUN
from xdeepr.io.journal import DONE, FOLDER, RECORD, Session, read_numbers
from xdeepr.io.targets import SpoolTarget, ZarrTarget


@pytest.fixture
def out(tmp_path: Path) -> xr.Dataset:
    """Twelve times in a block each; the blocks are noted."""
    return slowly(fine(coarse().chunk(time=5)), tmp_path, 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.zarr"


@pytest.fixture
def half(out: xr.Dataset, path: Path, tmp_path: Path) -> Path:
    """A store of which five regions are done."""
    with limited(tmp_path, 10):  # two variables
        write_zarr(out, path)
    return path


# --- the store ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
@pytest.mark.filterwarnings("error::FutureWarning", "default::pytest.PytestWarning")
def test_plain_xarray_reads_the_result(out: xr.Dataset, path: Path) -> None:
    assert write_zarr(out, path) == path
    found = xr.open_zarr(path, consolidated=True)
    assert set(found.attrs) - set(out.attrs) == {RUN}
    xr.testing.assert_identical(found.drop_attrs(deep=False), out.drop_attrs(deep=False))
    assert {k: found.attrs[k] for k in out.attrs} == out.attrs
    assert found["t2m"].chunksizes["time"] == (1,) * 12
    assert not (path / FOLDER).exists()
    assert not is_unfinished(path)
    with open_file(path) as opened:
        xr.testing.assert_identical(opened, found)


def test_the_same_files_as_to_zarr(out: xr.Dataset, path: Path, tmp_path: Path) -> None:
    write_zarr(out, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out.to_zarr(tmp_path / "plain.zarr")
    ours, theirs = files(path), files(tmp_path / "plain.zarr")
    assert {name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)} == {
        "zarr.json"  # has the mark of the run
    }


def test_nothing_is_computed_twice(out: xr.Dataset, path: Path, tmp_path: Path) -> None:
    write_zarr(out, path)
    assert set(computed(tmp_path).values()) == {1}
    assert computed(tmp_path).total() == 24
    write_zarr(out, path)  # it is there
    assert computed(tmp_path).total() == 24


def test_metadata_come_first_and_are_not_computed(
    out: xr.Dataset, path: Path, tmp_path: Path
) -> None:
    with limited(tmp_path, 0):
        write_zarr(out, path)
    assert computed(tmp_path).total() == 0
    found = xr.open_zarr(path)
    assert list(found["t2m"].dims) == list(out["t2m"].dims)
    for name in out.coords:
        xr.testing.assert_identical(found[name].load(), out[name])
    assert np.isnan(found["t2m"]).all()


def test_chunks_and_encodings_as_asked_for(out: xr.Dataset, path: Path, tmp_path: Path) -> None:
    packed = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -9}
    encoding = {"t2m": {**packed, "chunks": (5, 4, 16)}, "ws": {"chunks": (2, 12, 16)}}
    write_zarr(out, path, encoding=encoding)
    found = xr.open_zarr(path)
    assert found["t2m"].encoding["dtype"] == np.dtype("i2")
    assert found["t2m"].chunksizes["latitude"] == (4, 4, 4)
    np.testing.assert_allclose(found["t2m"], out["t2m"], atol=0.0051)
    np.testing.assert_array_equal(found["ws"], out["ws"])
    with pytest.raises(OptionError, match="no variable 'q', only"):
        write_zarr(out, tmp_path / "other.zarr", encoding={"q": {}})


def test_shards(out: xr.Dataset, path: Path) -> None:
    write_zarr(out, path, encoding={"t2m": {"chunks": (1, 6, 8), "shards": (4, 12, 16)}})
    assert sorted(p.name for p in (path / "t2m/c").iterdir()) == ["0", "1", "2"]
    np.testing.assert_array_equal(xr.open_zarr(path)["t2m"], out["t2m"])


def test_uneven_blocks_and_other_dimensions(path: Path) -> None:
    """As a domain of several blocks has them that is turned north up."""
    rng = np.random.default_rng(0)
    four = da.from_array(rng.random((3, 4, 10, 7)), chunks=(2, 1, (2, 4, 4), 5))
    values = {
        "a": (("m", "t", "y", "x"), four),
        "b": (("t", "x"), da.from_array(rng.random((4, 7)), chunks=(2, 7))),
        "c": (("y",), da.from_array(np.arange(10), chunks=3)),
        "d": ((), da.from_array(np.float32(4))),
        "e": (("t",), np.arange(4)),
        "f": (("t", "y"), da.from_array(rng.random((4, 10)) > 0.5, chunks=(4, 5))),
        "g": (("t",), da.from_array(np.array(["s", "pqr", "", "ü"]), chunks=2)),
    }  # fmt: skip
    ds = xr.Dataset(values, {"x2": ("x", da.arange(7, chunks=3))})
    write_zarr(ds, path)
    xr.testing.assert_identical(xr.open_zarr(path).drop_attrs().load(), ds.compute())


def test_nothing_to_compute(path: Path) -> None:
    for number, ds in enumerate(
        [xr.Dataset({"x": ("t", np.arange(3))}), xr.Dataset(), coarse().isel(time=[]).chunk()]
    ):
        store = path.with_name(f"{number}.zarr")
        write_zarr(ds, store)
        assert not is_unfinished(store)
        assert xr.open_zarr(store).sizes == ds.sizes


def test_encodings_of_the_input_file_do_not_get_in_the_way(path: Path, tmp_path: Path) -> None:
    """A store of format 2 has codecs that format 3 does not take."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coarse().chunk(time=5).to_zarr(tmp_path / "lr.zarr", zarr_format=2)
    lr = xr.open_zarr(tmp_path / "lr.zarr")
    write_zarr(fine(lr), path)
    xr.testing.assert_equal(xr.open_zarr(path).compute(), fine(coarse()).compute())


def test_values_that_equal_the_fill_value_are_written(path: Path) -> None:
    """Otherwise a missing file could mean either."""
    ds = xr.Dataset({"x": ("t", da.full(4, np.nan, chunks=2))})
    write_zarr(ds, path)
    assert len([*(path / "x/c").iterdir()]) == 2


# --- going on -----------------------------------------------------------------------------


def test_an_unfinished_store_is_recognized(half: Path, out: xr.Dataset) -> None:
    assert is_unfinished(half)
    with pytest.raises(DataUnavailableError, match=r"not finished.*run the same command again"):
        open_file(half)
    found = xr.open_zarr(half)  # what is there can be looked at
    assert MARKER in found.attrs
    done = sorted(read_numbers(half / FOLDER / DONE))
    xr.testing.assert_equal(found.isel(time=done).load(), out.isel(time=done).compute())
    assert np.isnan(found["t2m"]).sum() == 7 * found["t2m"].isel(time=0).size


def test_going_on_gives_the_same_bytes(out: xr.Dataset, path: Path, tmp_path: Path) -> None:
    """The date in the store is that of the first start."""
    first = out.assign_attrs(date_created="yesterday")
    history = out.attrs["history"].replace("2021", "2031")
    later = out.assign_attrs(history=history, date_created="today")
    with limited(tmp_path, 10):
        write_zarr(first, path)
    write_zarr(later, path)
    write_zarr(first, tmp_path / "whole.zarr")
    assert files(path) == files(tmp_path / "whole.zarr")
    assert xr.open_zarr(path).attrs["date_created"] == "yesterday"


def test_regions_are_done_in_order(
    out: xr.Dataset, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some at a time, and more of them if they are quickly done."""
    monkeypatch.setattr(regions, "REGIONS", 2)
    with limited(tmp_path, 18):
        write_zarr(out, path)
    order = [json.loads(line)[1] for line in (tmp_path / LOG).read_text().splitlines()]
    assert set(order[:4]) == {0, 1}
    assert set(order[4:12]) == {2, 3, 4, 5}
    assert set(order[12:]) < {*range(6, 12)}
    assert read_numbers(path / FOLDER / DONE) == set(order)


def test_regions_that_are_done_are_not_done_again(
    half: Path, out: xr.Dataset, tmp_path: Path
) -> None:
    done, before = blocks_done(job_of(out, half), half), computed(tmp_path)
    write_zarr(out, half)
    assert not done & set(computed(tmp_path) - before)
    assert computed(tmp_path).total() == 24


def test_a_chunk_that_was_deleted_is_made_again(
    half: Path, out: xr.Dataset, tmp_path: Path
) -> None:
    done = read_numbers(half / FOLDER / DONE)
    deleted = min(done)
    shutil.rmtree(half / f"t2m/c/{deleted}")
    before = computed(tmp_path)
    write_zarr(out, half)
    again = {json.loads(block)[1] for block in computed(tmp_path) - before}
    assert again == {*range(12)} - done | {deleted}
    xr.testing.assert_equal(xr.open_zarr(half).load(), out.compute())


def test_half_a_line_of_the_journal_counts_for_nothing(
    half: Path, out: xr.Dataset, tmp_path: Path
) -> None:
    journal = half / FOLDER / DONE
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-4] + b"\0\0")
    assert len(read_numbers(journal)) == 4
    journal.write_bytes(whole[:7] + whole)  # as if it had been written on
    assert len(read_numbers(journal)) == 4
    journal.write_bytes(whole[:-4])
    write_zarr(out, half)
    xr.testing.assert_equal(xr.open_zarr(half).load(), out.compute())


def test_a_run_that_was_killed_while_it_began(out: xr.Dataset, path: Path) -> None:
    (path / FOLDER / "template/t2m").mkdir(parents=True)
    (path / "time").mkdir()
    (path / "time/zarr.json").write_text("{")
    assert is_unfinished(path)
    write_zarr(out, path)
    xr.testing.assert_equal(xr.open_zarr(path).load(), out.compute())


def test_a_run_that_was_killed_at_its_very_end(out: xr.Dataset, path: Path) -> None:
    write_zarr(out, path)
    before = files(path)
    (path / FOLDER).mkdir()
    (path / FOLDER / DONE).write_text("")
    assert not is_unfinished(path)
    write_zarr(out, path)
    assert files(path) == before
    assert not (path / FOLDER).exists()


def test_scraps_of_killed_writers_are_removed(half: Path, out: xr.Dataset) -> None:
    (half / "t2m/c/7/0").mkdir(parents=True, exist_ok=True)
    (half / "t2m/c/7/0/0.0123abcd.partial").write_bytes(b"half")
    write_zarr(out, half)
    assert not [*half.rglob("*.partial")]


def test_writers_of_a_run_that_ended_write_no_more(half: Path, out: xr.Dataset) -> None:
    """A thread that was in a long block when its run was interrupted, say."""
    session = Session(str(half / FOLDER / "session-of-an-earlier-run"))
    with pytest.raises(OutputError, match="has ended"):
        session.write(SpoolTarget(str(half)), (slice(0, 1),), np.zeros(1))
    with pytest.raises(OutputError, match="has ended"):
        session.note(1, None)


def test_ctrl_c_in_a_notebook(out: xr.Dataset, path: Path) -> None:
    """The process goes on, and so do threads in their blocks; they must not write into the next."""
    begun = []

    def interrupting(block: np.ndarray) -> np.ndarray:
        begun.append(1)
        if len(begun) == 8:
            _thread.interrupt_main()
        time.sleep(0.1)
        return block + 100

    wrong = out.assign(t2m=out.t2m.copy(data=out.t2m.data.map_blocks(interrupting, dtype="f4")))
    with (
        dask.config.set(num_workers=4),
        pytest.raises(KeyboardInterrupt) as stop,
    ):
        write_zarr(wrong, path)
    (note,) = stop.value.__notes__
    assert re.fullmatch(r"\d+ of 12 regions of .* are written: run the same .* to go on", note)
    write_zarr(out, path, overwrite=True)
    time.sleep(0.2)
    xr.testing.assert_equal(xr.open_zarr(path).load(), out.compute())


# --- what is in the way -------------------------------------------------------------------


def changed(name: str, tmp_path: Path) -> xr.Dataset:
    """A result that differs in one thing from that of the fixture."""
    lr = coarse()
    if name == "input":
        lr["ws"] = lr["ws"].copy(data=lr["ws"].data + 0.5)
    out = fine(lr.chunk(time=5), batch=2 if name == "options" else 1)
    out = slowly(out, tmp_path, 0.0)
    return {
        "model": lambda: out.assign_attrs(xdeepr_model="other"),
        "checkpoint": lambda: out.assign_attrs(xdeepr_checkpoint="9c1d"),
        "sampler": lambda: out.assign_attrs(history=out.attrs["history"] + ", ddim 3 steps"),
        "time": lambda: out.isel(time=slice(0, 6)),
        "longitude": lambda: out.assign_coords(longitude=out.longitude + 1),
        "units": lambda: out.assign(ws=out.ws.assign_attrs(units="kt")),
        "variable": lambda: out[["t2m"]],
        "input": lambda: out,
        "options": lambda: out,
    }[name]()


DIFFERENCES = [
    ("model", "xdeepr_model is 'bicubic' there and 'other' here"),
    ("checkpoint", "xdeepr_checkpoint is only here"),
    ("sampler", "history is .* there and .*ddim 3 steps' here"),
    ("time", "the size of 'time' is 12 there and 6 here"),
    ("longitude", "the coordinate 'longitude' changed"),
    ("units", r"the variable 'ws' differs in units \('m s-1' there, 'kt' here\)"),
    ("variable", "the variable 'ws' is only there"),
    ("input", "the data behind 'ws' changed"),
    ("options", r"chunks differs in t2m \(\[1, 12, 16\] there, \[2, 12, 16\] here"),
]


@pytest.mark.parametrize(("name", "said"), DIFFERENCES)
def test_another_run_does_not_go_on(half: Path, tmp_path: Path, name: str, said: str) -> None:
    before = files(half)
    record = (half / FOLDER / RECORD).read_text()
    with pytest.raises(OutputError, match=f"unfinished result of another run .*{said}"):
        write_zarr(changed(name, tmp_path), half)
    assert files(half) == before
    assert (half / FOLDER / RECORD).read_text() == record


@pytest.mark.parametrize("name", ["model", "input"])
def test_a_finished_store_of_another_run_is_in_the_way(
    out: xr.Dataset, path: Path, tmp_path: Path, name: str
) -> None:
    write_zarr(out, path)
    before, other = files(path), changed(name, tmp_path)
    with pytest.raises(OptionError, match="exists already, of another run"):
        write_zarr(other, path)
    assert files(path) == before
    write_zarr(other, path, overwrite=True)
    xr.testing.assert_equal(xr.open_zarr(path).load(), other.compute())


def test_overwrite_goes_on_with_its_own_run(half: Path, out: xr.Dataset, tmp_path: Path) -> None:
    """The same command again must not begin anew because it has --overwrite."""
    write_zarr(out, half, overwrite=True)
    write_zarr(out, half, overwrite=True)
    assert computed(tmp_path).total() == 24


def test_overwrite_replaces_an_unfinished_run(half: Path, tmp_path: Path) -> None:
    other = changed("input", tmp_path)
    write_zarr(other, half, overwrite=True)
    xr.testing.assert_equal(xr.open_zarr(half).load(), other.compute())


def test_without_resume(half: Path, out: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="unfinished result of this run, and resume is off"):
        write_zarr(out, half, resume=False)
    write_zarr(out, half, resume=False, overwrite=True)
    assert computed(tmp_path).total() == 10 + 24
    with pytest.raises(OptionError, match="exists already, and resume is off"):
        write_zarr(out, half, resume=False)


def test_a_lost_journal_is_not_guessed(half: Path, out: xr.Dataset) -> None:
    shutil.rmtree(half / FOLDER)
    with pytest.raises(OutputError, match=r"journal .* is gone"):
        write_zarr(out, half)
    write_zarr(out, half, overwrite=True)
    xr.testing.assert_equal(xr.open_zarr(half).load(), out.compute())


def test_a_record_of_a_newer_version_is_not_guessed(half: Path, out: xr.Dataset) -> None:
    record = half / FOLDER / RECORD
    record.write_text(record.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(OutputError, match=r"run\.json is damaged, or of a newer xdeepr"):
        write_zarr(out, half)


def test_what_is_not_ours_is_left_alone(out: xr.Dataset, tmp_path: Path) -> None:
    folder, file, plain, old = (tmp_path / f"{name}.zarr" for name in "abcd")
    folder.mkdir()
    (folder / "letter.txt").write_text("Dear …")
    file.write_text("no folder")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coarse().to_zarr(plain)
        coarse().to_zarr(old, zarr_format=2)
    for store in (folder, file):
        with pytest.raises(OptionError, match="is no zarr store: choose another name"):
            write_zarr(out, store, overwrite=True)
    assert (folder / "letter.txt").read_text() == "Dear …"
    for store in (plain, old):
        with pytest.raises(OptionError, match="exists already"):
            write_zarr(out, store)
        write_zarr(out, store, overwrite=True)
        xr.testing.assert_equal(xr.open_zarr(store, consolidated=True).load(), out.compute())
    with pytest.raises(OptionError, match=r"must end in \.zarr"):
        write_zarr(out, tmp_path / "x.nc")


# --- the identity of a run ----------------------------------------------------------------


def test_a_given_identity_stands_for_the_graph(half: Path, out: xr.Dataset, tmp_path: Path) -> None:
    """For graphs whose names change from start to start."""
    path = tmp_path / "given.zarr"
    with limited(tmp_path, 10):
        write_zarr(out, path, identity={"input": "v1"})
    renamed = slowly(fine(coarse().chunk(time=5)), tmp_path, 0.001)  # another name of the graph
    with pytest.raises(OutputError, match="input is 'v1' there and 'v2' here"):
        write_zarr(renamed, path, identity={"input": "v2"})
    write_zarr(renamed, path, identity={"input": "v1"})
    xr.testing.assert_equal(xr.open_zarr(path).load(), out.compute())


def test_a_model_is_told_by_checkpoint_and_seed(
    checkpoint: Path, italy_lr: xr.Dataset, path: Path
) -> None:
    def make(seed: int, batch: int = 2) -> xr.Dataset:
        lr = italy_lr.isel(time=slice(0, 3)).chunk(time=1)
        return lr.deepr.downscale(checkpoint, members=2, seed=seed, steps=2, batch_size=batch)

    write_zarr(make(7), path)
    with pytest.raises(OptionError, match="xdeepr_seed is 7 there and 8 here"):
        write_zarr(make(8), path)
    write_zarr(make(7), path)
    xr.testing.assert_equal(xr.open_zarr(path).load(), make(7).compute())


@pytest.mark.parametrize("chunks", [10, 15, 7])
def test_few_blocks_are_in_memory(path: Path, monkeypatch: pytest.MonkeyPatch, chunks: int) -> None:
    """Blocks are written as they come; where chunks on disk need several, those wait."""
    guard, count, most = threading.Lock(), [0], [0]

    def make(block: np.ndarray) -> np.ndarray:
        with guard:
            count[0] += block.size
            most[0] = max(most[0], count[0])
        return block + 1

    def write(self: ZarrTarget, place: tuple[slice, ...], block: np.ndarray) -> None:
        with guard:
            count[0] -= block.size
        plain(self, place, block)

    plain = ZarrTarget.write
    monkeypatch.setattr(ZarrTarget, "write", write)
    ds = xr.Dataset({"x": ("t", da.zeros(3000, chunks=10).map_blocks(make, dtype="f8"))})
    with dask.config.set(num_workers=2):
        write_zarr(ds, path, encoding={"x": {"chunks": (chunks,)}})
    assert count == [0]  # so no block was computed twice
    assert most[0] <= 150


def test_progress_is_over_regions_and_silent_on_request(
    out: xr.Dataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_zarr(out, tmp_path / "a.zarr", progress="downscaling")
    said = capfd.readouterr()
    assert "downscaling: 100%" in said.err and "12/12" in said.err and said.out == ""
    write_zarr(out, tmp_path / "b.zarr")
    assert capfd.readouterr() == ("", "")
