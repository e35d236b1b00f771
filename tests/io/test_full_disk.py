"""A disk that is full: an error that says so, and a store that goes on when there is room."""

from __future__ import annotations

import errno
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr

from tests.io.cases import coarse, files
from xdeepr.errors import OutputError
from xdeepr.io import is_unfinished, write_periods, write_zarr
from xdeepr.io import journal as journal_module
from xdeepr.io.journal import DONE, FOLDER, read_numbers
from xdeepr.io.targets import ZarrTarget


@pytest.fixture
def out(rng: np.random.Generator) -> xr.Dataset:
    """24 times of 24 kB that do not pack well, in a block each."""
    lr = coarse(24)
    values = rng.random((24, 100, 60), dtype="f4")
    return xr.Dataset({"x": (("time", "b", "a"), values)}, {"time": lr.time}).chunk(time=1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for a part of the result."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only the superuser can mount a small disk here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def grow(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=30m", str(folder)], check=True)


def check_store(path: Path, out: xr.Dataset) -> int:
    """What the journal has is whole; return how many regions that are."""
    done = sorted(read_numbers(path / FOLDER / DONE))
    xr.testing.assert_equal(
        xr.open_zarr(path).isel(time=done).load(), out.isel(time=done).compute()
    )
    assert is_unfinished(path)
    return len(done)


def test_a_store_on_a_full_disk(out: xr.Dataset, small_disk: Path, tmp_path: Path) -> None:
    path = small_disk / "out.zarr"
    with dask.config.set(num_workers=2), pytest.raises(OutputError) as error:
        write_zarr(out, path)
    done = check_store(path, out)
    assert 0 < done < 24
    said = str(error.value)
    assert "No space left on device" in said
    assert f"{done} of 24 regions of {path} are written and stay valid" in said
    assert "run the same command again" in said
    with pytest.raises(OutputError, match="No space left"):  # there is still no room
        write_zarr(out, path)
    assert check_store(path, out) >= done
    grow(small_disk)
    write_zarr(out, path)
    write_zarr(out, tmp_path / "whole.zarr")
    assert files(path) == files(tmp_path / "whole.zarr")


def test_periods_on_a_full_disk(out: xr.Dataset, small_disk: Path, tmp_path: Path) -> None:
    folder = small_disk / "out"
    with pytest.raises(OutputError, match=r"regions of .*\.nc are written and stay valid"):
        write_periods(out, folder, period="day")
    write_periods(out, tmp_path / "whole", period="day")
    whole = files(tmp_path / "whole")
    assert 0 < len(files(folder)) < len(whole)
    assert files(folder).items() < whole.items()
    grow(small_disk)
    write_periods(out, folder, period="day")
    assert files(folder) == whole
    assert not is_unfinished(folder)


def test_no_room_to_begin(out: xr.Dataset, tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_zarr", refuse)
    path = tmp_path / "out.zarr"
    with pytest.raises(OutputError, match=r"No space left on device while beginning .*nothing is"):
        write_zarr(out, path)
    monkeypatch.undo()
    write_zarr(out, path)
    xr.testing.assert_equal(xr.open_zarr(path).load(), out.compute())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_a_write_that_fails(
    out: xr.Dataset, tmp_path: Path, monkeypatch, number: int, scheduler: str
) -> None:
    """Without superuser, for other errors too."""
    plain, count = ZarrTarget.write, []

    def write(self: ZarrTarget, place: tuple[slice, ...], block: np.ndarray) -> None:
        count.append(place)
        if len(count) > 10:
            raise OSError(number, "it does not work")
        plain(self, place, block)

    monkeypatch.setattr(ZarrTarget, "write", write)
    path = tmp_path / "out.zarr"
    with (
        dask.config.set(scheduler=scheduler, num_workers=2),
        pytest.raises(OutputError, match=r"it does not work while writing .*out\.zarr/.*/c/"),
    ):
        write_zarr(out, path)
    assert 8 <= check_store(path, out) <= 10
    monkeypatch.undo()
    write_zarr(out, path)
    xr.testing.assert_equal(xr.open_zarr(path).load(), out.compute())


def test_a_journal_that_cannot_be_written(out: xr.Dataset, tmp_path: Path, monkeypatch) -> None:
    """The workers stop, for what they do would not count."""
    plain, count = journal_module.force_to_disk, []

    def force(files, root, pool=None) -> None:
        count.append(root)
        if len(count) > 6 and pool is not None:
            raise OSError(errno.EIO, "disk on fire")
        plain(files, root, pool)

    monkeypatch.setattr(journal_module, "force_to_disk", force)
    path = tmp_path / "out.zarr"
    slow = out.map(lambda v: v.copy(data=v.data.map_blocks(_late, dtype="f4")))
    with dask.config.set(num_workers=1), pytest.raises(OutputError, match="disk on fire in"):
        write_zarr(slow, path)
    assert check_store(path, out) < 24
    monkeypatch.undo()
    write_zarr(slow, path)
    xr.testing.assert_equal(xr.open_zarr(path).load(), out.compute())


def _late(block: np.ndarray) -> np.ndarray:
    time.sleep(0.05)
    return block
