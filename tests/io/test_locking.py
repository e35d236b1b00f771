"""Two runs cannot write one result; a dead one is in nobody's way."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
import xarray as xr

from tests.io.cases import WAIT, coarse, computed, fine, kill_at, limited, run_zarr, slowly, start
from xdeepr.errors import OutputError
from xdeepr.io import locking, write_periods, write_zarr
from xdeepr.io.journal import FOLDER, LOCK, RECORD
from xdeepr.io.locking import locked


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "lock"


def hold(file: Path, held: Path) -> None:
    """Hold a lock until the process is killed."""
    with locked(file, file):
        held.touch()
        time.sleep(1000)


def held_by_a_process(file: Path):
    """Return a process that holds a lock."""
    sign = file.with_name("held")
    process = start(hold, file, sign)
    while not sign.exists():
        assert process.is_alive()
        time.sleep(0.01)
    sign.unlink()
    return process


def test_another_process_is_refused_until_it_is_killed(file: Path) -> None:
    process = held_by_a_process(file)
    said = rf"by process {process.pid} on {socket.gethostname()} \(since .*wait for it, or end it"
    for _ in range(2):  # to be refused does not loosen it
        with pytest.raises(OutputError, match=said), locked(file, file):
            pass
    process.kill()
    process.join()
    assert file.exists()
    with locked(file, file):
        assert json.loads(file.read_text())["pid"] == os.getpid()
    assert not file.parent.exists()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_a_process_that_is_stopped_keeps_its_lock(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows no signs of life, but the system knows that it lives and may go on to write."""
    monkeypatch.setattr(locking, "PATIENCE", 0.1)
    process = held_by_a_process(file)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        time.sleep(0.3)
        with pytest.raises(OutputError, match=f"by process {process.pid}"), locked(file, file):
            pass
    finally:
        process.kill()
        process.join()


def test_another_thread_is_refused(file: Path) -> None:
    with locked(file, file):
        with pytest.raises(OutputError, match="two runs cannot write one result"):
            locked(file, file).__enter__()
        assert file.exists()
        process = start(hold, file, file.with_name("held"))
        process.join()  # nor has the attempt loosened it for other processes
        assert process.exitcode == 1
    with locked(file, file):
        pass


def test_it_is_given_back_after_an_error(file: Path) -> None:
    with pytest.raises(RuntimeError), locked(file, file):
        raise RuntimeError
    with locked(file, file):
        pass


def test_a_journal_stays(file: Path) -> None:
    with locked(file, file):
        (file.parent / "done").touch()
    assert [item.name for item in file.parent.iterdir()] == ["done"]


def test_another_machine_is_watched_for_signs_of_life(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock of the system may not reach from one machine to another."""
    monkeypatch.setattr(locking, "PATIENCE", 0.5)
    file.parent.mkdir()
    content = {"host": "elsewhere", "pid": 1, "since": "yesterday", "beat": 0}
    file.write_text(json.dumps(content))
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.05):
            content["beat"] += 1
            file.write_text(json.dumps(content))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with (
            pytest.raises(OutputError, match=r"process 1 on elsewhere \(since yesterday"),
            locked(file, file),
        ):
            pass
    finally:
        stop.set()
        thread.join()
    with locked(file, file):  # it stands still now
        assert json.loads(file.read_text())["host"] == socket.gethostname()


# names for them: each process that collects tests has a number of its own
@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 1], ids=["alive", "gone"])
def test_without_locks_of_the_system(file: Path, monkeypatch: pytest.MonkeyPatch, pid: int) -> None:
    """A number that now belongs to another process shows no signs of life."""
    monkeypatch.setattr(locking, "_system_lock", lambda handle: None)
    monkeypatch.setattr(locking, "PATIENCE", 0.3)
    file.parent.mkdir()
    file.write_text(json.dumps({"host": socket.gethostname(), "pid": pid, "beat": 0}))
    with locked(file, file):
        pass


def test_a_holder_shows_signs_of_life(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "BEAT", 0.01)
    with locked(file, file):
        while json.loads(os.popen(f"cat {file}").read())["beat"] < 3:
            time.sleep(0.01)


def test_half_a_lock_file_locks_nothing(file: Path) -> None:
    file.parent.mkdir()
    file.write_text('{"host": ')
    with locked(file, file):
        pass


def test_two_runs_on_one_store(tmp_path: Path) -> None:
    """In processes of their own: the second is refused, the first is not disturbed."""
    coarse().to_netcdf(tmp_path / "lr.nc")
    path, wait = tmp_path / "out.zarr", tmp_path / WAIT
    wait.touch()
    first = start(run_zarr, tmp_path, path, "2021-07-01T00:00:00Z", 0.0)
    out = slowly(fine(xr.open_dataset(tmp_path / "lr.nc", chunks={"time": 5})), tmp_path, 0.0)
    while not (path / FOLDER / RECORD).exists():
        assert first.is_alive()
        time.sleep(0.01)
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=f"is being written by process {first.pid}"):
            write_zarr(out, path, overwrite=overwrite)
    wait.unlink()
    first.join()
    assert first.exitcode == 0
    assert computed(tmp_path).total() == 24
    xr.testing.assert_equal(xr.open_zarr(path).load(), out.compute())


def test_the_lock_of_a_killed_run_does_not_block(tmp_path: Path) -> None:
    coarse().to_netcdf(tmp_path / "lr.nc")
    path = tmp_path / "out.zarr"
    process = start(run_zarr, tmp_path, path, "2021-07-01T00:00:00Z", 0.1)
    kill_at(process, tmp_path, path, 4, 0.0)
    assert (path / FOLDER / LOCK).is_file()
    run_zarr(tmp_path, path, "2021-07-01T00:00:00Z", 0.1)
    assert not (path / FOLDER).exists()


def test_two_runs_on_one_folder(tmp_path: Path) -> None:
    out = slowly(fine(coarse(24).chunk(time=5)), tmp_path, 0.0)
    with limited(tmp_path, 4):
        write_periods(out, tmp_path / "out")
    (place,) = (tmp_path / "out" / FOLDER).iterdir()
    process = held_by_a_process(place / LOCK)
    with pytest.raises(OutputError, match=f"is being written by process {process.pid}"):
        write_periods(out, tmp_path / "out")
    other = out.assign_attrs(xdeepr_seed=3)
    with pytest.raises(OutputError, match=f"is being written by process {process.pid}"):
        write_periods(other, tmp_path / "out", overwrite=True)
    process.kill()
    process.join()
    assert len(write_periods(out, tmp_path / "out")) == 2
