"""Write a result to a zarr store in regions, so that a run that was killed goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from xdeepr.errors import OptionError, OutputError
from xdeepr.io.files import ZARR, check_output, region_bar
from xdeepr.io.identity import MARKER, RUN, dateless, describe, differences, digest, packing
from xdeepr.io.journal import (
    FOLDER,
    LOCK,
    Journal,
    accounted,
    clear,
    end_sessions,
    is_unfinished,
    read_record,
    replace_text,
    write_record,
)
from xdeepr.io.locking import locked
from xdeepr.io.regions import Field, Partition, compute, files_of
from xdeepr.io.results import aligned, blank, check_encoding, loaded, time_dims
from xdeepr.io.targets import PARTIAL, ZarrTarget, force_to_disk
from xdeepr.io.with_zarr import (
    FORMAT_2,
    METADATA,
    attributes,
    need_zarr,
    to_zarr,
    without_attribute,
)

_HINT = "xdeepr writes this store; regions that are not done hold fill values"


def write_zarr(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    resume: bool = True,
    overwrite: bool = False,
    encoding: Mapping[str, Mapping[str, Any]] | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: str | None = None,
) -> Path:
    """Compute a dataset and write it to a zarr store; go on where an earlier run stopped.

    Metadata and coordinates are written first, then the fields in regions of whole chunks. A
    region is entered in a journal once it is on disk. A run that was killed, however it was, and
    is started again computes only what is missing, and leaves the same bytes as one that was not.

    Parameters
    ----------
    ds : xarray.Dataset
        What to write, for example from :func:`~xdeepr.downscale`; computed by the scheduler that
        dask is set to, a few blocks at a time.
    path : path-like
        A name that ends in ``.zarr``, on a file system that all workers see.
    resume : bool, default: True
        Go on with an unfinished store of the same run, and accept a finished one. False refuses
        both.
    overwrite : bool, default: False
        Remove what is there if it is of another run; with ``resume=False``, in any case.
    encoding : mapping, optional
        Name of a variable -> encoding, as :meth:`xarray.Dataset.to_zarr` takes it.
    identity : mapping, optional
        What the fields are computed from, in plain values such as a hash of the input: a store
        made with other values is of another run. Default: the names that dask gives to inputs
        and computation; they depend on the path and the date of a file, and stay the same from
        one start to the next if all functions in the graph have stable names.
    progress : str, optional
        Show a progress bar over regions with this text.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OptionError
        If the name is no zarr store's, or something else is there.
    OutputError
        If what is there is of another run (the message says what differs), another run is writing
        it at this moment, or the disk is full. What was written stays valid.

    Examples
    --------
    >>> lr, hr, _ = xdeepr.synthetic.example_pair(days=1)
    >>> out = lr.deepr.downscale("bicubic", like=hr)
    >>> path = write_zarr(out, "t2m_hr.zarr")
    >>> is_unfinished(path)
    False
    """
    path = check_output(path, overwrite=True)
    if path.suffix not in ZARR:
        raise OptionError(f"{path} must end in .zarr: for netCDF use write_file or write_periods.")
    need_zarr()
    job = _Job.of(ds, path, encoding or {}, identity)
    if _decide(job, resume=resume, overwrite=overwrite) == "accept":
        shutil.rmtree(path / FOLDER, ignore_errors=True)  # if it was killed at the very end
        return path
    with locked(path / FOLDER / LOCK, path):
        # another run may have finished it in between, so look again
        decision = _decide(job, resume=resume, overwrite=overwrite)
        if decision == "begin":
            _begin(job)
        if decision != "accept":
            _go_on(job, progress)
    return path


@dataclass(frozen=True)
class _Job:
    """All that is known of a run before it begins."""

    ds: xr.Dataset
    path: Path
    encoding: Mapping[str, Mapping[str, Any]]
    fields: Sequence[Field]
    targets: Mapping[str, ZarrTarget]
    partition: Partition
    identity: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        ds: xr.Dataset,
        path: Path,
        encoding: Mapping[str, Mapping[str, Any]],
        identity: Mapping[str, Any] | None,
    ) -> _Job:
        ds, names = loaded(ds)
        check_encoding(ds, encoding)
        chunks = {name: _chunks(ds[name], encoding.get(name, {})) for name in names}
        units = {n: tuple(encoding.get(n, {}).get("shards") or chunks[n]) for n in names}
        fields = aligned(ds, names, units)
        # what is computed for one time shares its inputs
        partition = Partition.of(fields, time_dims(ds))
        encoding = dict(encoding)
        for name in names:
            own = {**packing(ds[name].encoding), **encoding.get(name, {})}
            encoding[name] = {**own, "chunks": chunks[name]}
        layout = {"chunks": chunks, "encoding": encoding, "regions": partition.cuts}
        described = describe(ds, names, layout, identity)
        run = digest(described)
        targets = {
            f.name: ZarrTarget(
                str(path.absolute()), f.name, units[f.name], f.dims, packing(encoding[f.name]), run
            )
            for f in fields
        }
        return cls(ds, path, encoding, fields, targets, partition, described)

    def files(self, number: int) -> Iterator[Path]:
        """Return the files of a region."""
        return files_of(self.fields, self.targets, self.partition, number)


def _chunks(field: xr.DataArray, encoding: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the chunks on disk: as asked for, or the blocks in memory, made equal."""
    asked = encoding.get("chunks")
    if asked is not None:
        return tuple(int(n) for n in asked)
    return tuple(max(1, *sizes) if sizes else 1 for sizes in field.chunks or ())


def _decide(job: _Job, *, resume: bool, overwrite: bool) -> Literal["begin", "go on", "accept"]:
    """Look at what is there and say what to do, or refuse."""
    path = job.path
    if not (path / METADATA).is_file():
        _check_room(path, overwrite=overwrite)
        return "begin"
    unfinished = is_unfinished(path)
    there = attributes(path)
    record = None
    if resume and there.get(RUN) == digest(job.identity):
        if not unfinished:
            return "accept"
        record = read_record(path / FOLDER)
        if record is not None and record["identity"] == job.identity:
            return "go on"
    if overwrite:
        return "begin"
    raise _in_the_way(job, there, unfinished=unfinished, resume=resume)


def _check_room(path: Path, *, overwrite: bool) -> None:
    """Refuse a name that something else has: only stores and scraps of ours are removed."""
    if (path / FOLDER).is_dir() or not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / FORMAT_2).is_file():
        raise OptionError(f"{path} exists and is no zarr store: choose another name.")
    if not overwrite:
        raise OptionError(
            f"{path} exists already, in zarr format 2: choose another name, or overwrite it"
            " (overwrite=True, --overwrite)."
        )


def _in_the_way(
    job: _Job, there: Mapping[str, Any], *, unfinished: bool, resume: bool
) -> OptionError | OutputError:
    """Say what is in the way, and how it differs from what was asked for."""
    path, same = job.path, there.get(RUN) == digest(job.identity)
    cure = "choose another name, or overwrite it (overwrite=True, --overwrite)"
    if RUN not in there:
        return OptionError(f"{path} exists already and was not written by this run: {cure}.")
    if same and not resume:
        state = "holds an unfinished result of this run" if unfinished else "exists already"
        return OptionError(f"{path} {state}, and resume is off: {cure}.")
    if same:
        return OutputError(
            f"{path} is unfinished, and its journal ({path / FOLDER}) is gone, so that nobody"
            f" knows what is done: {cure}."
        )
    record = read_record(path / FOLDER) if unfinished else None
    theirs = {k: dateless(k, v) for k, v in there.items() if k not in (RUN, MARKER)}
    said = differences(
        record["identity"] if record else {"attributes": theirs},
        job.identity if record else {"attributes": job.identity["attributes"]},
    )
    said = said or "input, coordinates or options differ"
    if unfinished:
        return OutputError(
            f"{path} holds an unfinished result of another run ({said}; there: on disk, here: in"
            f" this run). Run the former command again to finish that, {cure}."
        )
    return OptionError(f"{path} exists already, of another run ({said}): {cure}.")


def _begin(job: _Job) -> None:
    """Write metadata and coordinates in place of what is there."""
    try:
        _wipe(job.path)
        _write_template(job)
    except OSError as error:
        raise OutputError(
            f"{error.strerror or error} while beginning {job.path}: nothing is written yet. Mend"
            " the cause (a full disk: make room), then run the same command again."
        ) from error


def _wipe(path: Path) -> None:
    """Remove all but the lock; the metadata first, so that half of it is no store."""
    (path / METADATA).unlink(missing_ok=True)
    clear(path / FOLDER)
    for item in path.iterdir():
        if item.name != FOLDER:
            shutil.rmtree(item) if item.is_dir() else item.unlink()


def _write_template(job: _Job) -> None:
    """Write the store without its fields beside the journal, then move it to its place."""
    path, scratch = job.path, job.path / FOLDER / "template"
    ds = blank(job.ds, job.fields)
    ds.attrs = {**ds.attrs, RUN: digest(job.identity), MARKER: _HINT}
    to_zarr(ds, scratch, mode="w", encoding=dict(job.encoding), compute=False)
    force_to_disk((p for p in scratch.rglob("*") if p.is_file()), scratch)
    write_record(path / FOLDER, {"identity": job.identity})
    for item in sorted(scratch.iterdir(), key=lambda item: item.name == METADATA):
        item.rename(path / item.name)
    force_to_disk([path / METADATA], path)
    scratch.rmdir()


def _go_on(job: _Job, progress: str | None) -> None:
    """Compute what is missing and finish the store."""
    path = job.path
    end_sessions(path / FOLDER)  # before scraps are removed, so that nobody makes new ones
    for scrap in path.rglob(f"*{PARTIAL}"):
        scrap.unlink(missing_ok=True)
    journal = Journal(path / FOLDER, path, len(job.partition), job.files)
    with accounted(journal, path), region_bar(progress, journal.total) as seen:
        compute(job.fields, job.targets, job.partition, journal, seen)
        replace_text(path / METADATA, without_attribute(path, MARKER))
        clear(path / FOLDER)
