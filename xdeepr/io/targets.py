"""Where the blocks of a field go: chunks of a zarr array, or one file each.

A target is sent to the workers, which write; the process that leads the run asks it which files a
block is in, to force them to disk and to see whether they are still there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr

from xdeepr.io import with_zarr

PARTIAL = ".partial"
"""Ending of files that are being written, by us and by zarr; a killed process leaves them."""

WAITING = 32
"""Threads that wait for the disk."""


class Target(Protocol):
    """Takes the blocks of one field, each with its place there."""

    def write(self, place: tuple[slice, ...], block: np.ndarray) -> None:
        """Write a block."""

    def files(self, place: tuple[slice, ...]) -> Iterator[Path]:
        """Return the files that a block is in."""


@dataclass(frozen=True)
class ZarrTarget:
    """An array of a zarr store.

    `unit` is the shape of what lies in one file, a shard or else a chunk; `packing` is the part of
    the encoding that changes numbers; `session` tells stores apart that were made anew under the
    same name.
    """

    store: str
    name: str
    unit: tuple[int, ...]
    dims: tuple[str, ...]
    packing: Mapping[str, Any] = field(default_factory=dict)
    session: str = ""

    def write(self, place: tuple[slice, ...], block: np.ndarray) -> None:
        """Write a block that covers whole files."""
        if self.packing:
            variable = xr.Variable(self.dims, block, encoding=dict(self.packing))
            block = with_zarr.packed(variable, self.name)
        with_zarr.open_array(self.store, self.name, self.session)[place] = block

    def files(self, place: tuple[slice, ...]) -> Iterator[Path]:
        """Return the files that a block is in."""
        yield from with_zarr.files_of_chunks(self.store, self.name, self.unit, place)


@dataclass(frozen=True)
class SpoolTarget:
    """A folder with one file for each block, for formats that take one writer only."""

    folder: str

    def write(self, place: tuple[slice, ...], block: np.ndarray) -> None:
        """Write a block under another name and rename it."""
        (file,) = self.files(place)
        scratch = file.with_suffix(f".{os.getpid()}-{id(block)}{PARTIAL}")
        try:
            with scratch.open("wb") as stream:
                np.save(stream, block)
            os.replace(scratch, file)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise

    def read(self, place: tuple[slice, ...]) -> np.ndarray:
        """Return a block that was written."""
        (file,) = self.files(place)
        block: np.ndarray = np.load(file)
        return block

    def files(self, place: tuple[slice, ...]) -> Iterator[Path]:
        """Return the file of a block."""
        yield Path(self.folder, "-".join(["block", *(str(s.start) for s in place)]) + ".npy")


def force_to_disk(files: Iterable[Path], root: Path, pool: Executor | None = None) -> None:
    """Wait until files, and their names in all folders up to `root`, have reached the disk.

    The threads of a pool wait for it: asked for many files at a time, a disk takes them ten times
    as fast as one by one.
    """
    files = list(files)
    folders: set[Path] = set()
    for file in files:
        for folder in file.parents:
            folders.add(folder)
            if folder == root:
                break
    with nullcontext(pool) if pool else ThreadPoolExecutor(WAITING) as threads:
        list(threads.map(_force, files))
        list(threads.map(_force_folder, folders))


def _force(path: Path) -> None:
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _force_folder(path: Path) -> None:
    with suppress(OSError):  # not every system forces folders
        _force(path)
