"""Write a result to netCDF files of a month each, or of another period, each whole or not at all.

netCDF takes one writer only and is broken by one that dies. So the blocks of a period are spooled
to files of their own, by all workers and with a journal, and this process puts them together.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from xdeepr.checks import one_of
from xdeepr.errors import OptionError, OutputError
from xdeepr.io import with_netcdf
from xdeepr.io.files import NETCDF, ZARR, region_bar
from xdeepr.io.identity import DATES, RUN, dateless, describe, differences, digest, packing
from xdeepr.io.journal import (
    FOLDER,
    LOCK,
    Journal,
    accounted,
    clear,
    end_sessions,
    read_record,
    write_record,
)
from xdeepr.io.locking import locked
from xdeepr.io.regions import Field, Partition, compute, files_of
from xdeepr.io.results import blank, check_encoding, loaded, time_dims
from xdeepr.io.targets import SpoolTarget, force_to_disk

Period = Literal["day", "month", "year"]

_PARTS: dict[str, tuple[str, ...]] = {
    "day": ("year", "month", "day"),
    "month": ("year", "month"),
    "year": ("year",),
}

_CURE = "choose another folder, or overwrite (overwrite=True, --overwrite)"


def write_periods(
    ds: xr.Dataset,
    folder: str | os.PathLike[str],
    *,
    period: Period = "month",
    name: str | None = None,
    resume: bool = True,
    overwrite: bool = False,
    encoding: Mapping[str, Mapping[str, Any]] | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: str | None = None,
) -> list[Path]:
    """Compute a dataset and write one netCDF file for each period; go on after a break.

    A file appears when it is whole. A run that was killed and is started again leaves the files
    that are there, after a look whether they are whole and its own, and goes on within the period
    in which it stopped. Jobs for different periods may write to one folder at the same time.

    Parameters
    ----------
    ds : xarray.Dataset
        What to write, for example from :func:`~xdeepr.downscale`; computed by the scheduler that
        dask is set to, a few blocks at a time.
    folder : path-like
        Folder of the files, on a file system that all workers see. It is made where it is missing.
    period : {"month", "year", "day"}
        What one file holds.
    name : str, optional
        Beginning of the files' names; default: the names of the variables. With "t2m" they are
        called ``t2m_2021-07.nc``, and so on.
    resume : bool, default: True
        Keep files of the same run. False refuses them.
    overwrite : bool, default: False
        Replace files of another run; with ``resume=False``, of any.
    encoding : mapping, optional
        Name of a variable -> encoding, as :meth:`xarray.Dataset.to_netcdf` takes it.
    identity : mapping, optional
        What the fields are computed from; see :func:`write_zarr`.
    progress : str, optional
        Show a progress bar with this text for each file.

    Returns
    -------
    list of pathlib.Path
        The files, in order of time.

    Raises
    ------
    OptionError
        If there is no time dimension, or other files are there.
    OutputError
        If files are of another run (the message says what differs), another process does the same
        run at this moment, or the disk is full. What was written stays valid.

    Examples
    --------
    >>> lr, hr, _ = xdeepr.synthetic.example_pair(days=2)
    >>> out = lr.deepr.downscale("bicubic", like=hr)
    >>> [file.name for file in write_periods(out, "t2m_hr", period="day")]
    ['t2m_2001-07-01.nc', 't2m_2001-07-02.nc']
    """
    folder = Path(folder)
    if folder.suffix in NETCDF + ZARR or folder.is_file():
        raise OptionError(f"{folder} must be a folder: it gets one file for each {period}.")
    job = _Job.of(ds, folder, period, name, encoding or {}, identity)
    place = folder / FOLDER / job.run
    try:
        with locked(place / LOCK, folder):
            job, whole = _begin(job, place, resume=resume, overwrite=overwrite)
            for number, file in enumerate(job.files):
                if file not in whole:
                    _write(job, number, place, progress)
            clear(place)
    finally:
        with suppress(OSError):  # not empty: this run, or another, is not finished
            (folder / FOLDER).rmdir()
    return list(job.files)


@dataclass(frozen=True)
class _Job:
    """All that is known of a run before it begins."""

    ds: xr.Dataset
    fields: Sequence[str]
    dim: str
    files: Mapping[Path, slice]
    encoding: Mapping[str, Mapping[str, Any]]
    identity: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        ds: xr.Dataset,
        folder: Path,
        period: Period,
        name: str | None,
        encoding: Mapping[str, Mapping[str, Any]],
        identity: Mapping[str, Any] | None,
    ) -> _Job:
        ds, fields = loaded(ds)
        check_encoding(ds, encoding)
        dim = _time(ds)
        first = name or "-".join(fields) or "data"
        files = {folder / f"{first}_{label}.nc": at for label, at in _periods(ds[dim], period)}
        layout = {
            "period": period,
            "encoding": encoding,
            "files": [file.name for file in files],
            "blocks": {name: ds[name].chunks for name in fields},
        }
        described = describe(ds, fields, layout, identity)
        return cls(ds, fields, dim, files, encoding, described)

    @cached_property
    def run(self) -> str:
        """The digest of the identity."""
        return digest(self.identity)

    def part(self, number: int) -> xr.Dataset:
        """Return what goes into a file, with the mark of the run."""
        at = list(self.files.values())[number]
        return self.ds.isel({self.dim: at}).assign_attrs({RUN: self.run})


def _time(ds: xr.Dataset) -> str:
    """Return the dimension of time."""
    dims = time_dims(ds)
    if len(dims) != 1:
        raise OptionError(
            f"period: there must be one dimension of times, and there is {' and '.join(dims)}."
            if dims
            else "period: the result has no dimension of times. Write it to one file."
        )
    return dims[0]


def _periods(time: xr.DataArray, period: Period) -> Iterator[tuple[str, slice]]:
    """Return the name of each period and its place."""
    one_of("period", period, _PARTS)
    parts = [getattr(time.dt, part).values for part in _PARTS[period]]
    labels = [
        "-".join([f"{y:04d}", *(f"{n:02d}" for n in rest)]) for y, *rest in zip(*parts, strict=True)
    ]
    at, seen = 0, set[str]()
    for label, group in groupby(labels):
        if label in seen:
            raise OptionError(f"period: {label} comes twice. Sort the result by {time.name!r}.")
        seen.add(label)
        length = len(list(group))
        yield label, slice(at, at + length)
        at += length


def _begin(job: _Job, place: Path, *, resume: bool, overwrite: bool) -> tuple[_Job, Sequence[Path]]:
    """Refuse what is in the way.

    Return the job with the dates of its first start, and the files that are whole.
    """
    record = read_record(place)
    states = {file: _state(job, number) for number, file in enumerate(job.files)}
    there = [file for file, state in states.items() if state != "absent"]
    if not resume:
        if (there or record) and not overwrite:
            hit = there[0] if there else f"an unfinished run in {place.parents[1]}"
            raise OptionError(f"{hit} exists already, and resume is off: {_CURE}.")
        for file in there:
            file.unlink()
        clear(place)
        record, there = None, []
    if not overwrite:
        _refuse_files(job, {f: states[f] for f in there}, place, begun=record is not None)
    _settle_others(job, place, overwrite=overwrite)
    whole = [file for file in there if states[file] == "whole"]
    dates = {k: str(v) for k, v in job.ds.attrs.items() if k in DATES}
    if record is None:
        kept = {k: v for k, v in _attributes(whole[0]).items() if k in dates} if whole else dates
        record = {"identity": job.identity, "dates": kept, "files": [f.name for f in job.files]}
        write_record(place, record)
    return replace(job, ds=job.ds.assign_attrs(record["dates"])), whole


def _state(job: _Job, number: int) -> Literal["absent", "whole", "damaged", "other"]:
    """Look at a file: whether it is there, whole, and of this run."""
    file, part = list(job.files)[number], job.part(number)
    if not file.exists():
        return "absent"
    try:
        with xr.open_dataset(file, engine="netcdf4") as there:
            if there.attrs.get(RUN) != part.attrs[RUN]:
                return "other"
            same = there.sizes == part.sizes and there[job.dim].equals(part[job.dim])
            return "whole" if same and set(job.fields) <= set(there) else "damaged"
    except (OSError, ValueError, RuntimeError, KeyError):
        return "damaged"


def _attributes(file: Path) -> dict[str, Any]:
    """Return the global attributes of a file."""
    with xr.open_dataset(file, engine="netcdf4") as there:
        return {str(k): v for k, v in there.attrs.items()}


def _refuse_files(job: _Job, states: Mapping[Path, str], place: Path, *, begun: bool) -> None:
    """Refuse files of other runs, and damaged ones that nobody says are ours."""
    for file, state in states.items():
        if state == "damaged" and not begun:
            raise OutputError(
                f"{file} cannot be read, or is not whole: remove it, or let it be made again"
                " (overwrite=True, --overwrite)."
            )
        if state == "other":
            there = {k: dateless(k, v) for k, v in _attributes(file).items() if k != RUN}
            here = {"attributes": job.identity["attributes"]}
            said = differences({"attributes": there}, here) or "input or options differ"
            raise OutputError(f"{file} is of another run ({said}): {_CURE}.")


def _settle_others(job: _Job, place: Path, *, overwrite: bool) -> None:
    """Refuse, or give up, unfinished runs that would write the same files."""
    ours = {file.name for file in job.files}
    for other in place.parent.iterdir():
        record = read_record(other) if other != place else None
        if record is None or not ours & set(record["files"]):
            continue
        if not overwrite:
            said = differences(record["identity"], job.identity)
            raise OutputError(
                f"{place.parents[1]} holds files of another run that is not finished ({said};"
                " there: on disk, here: in this run). Run the former command again to finish that,"
                f" {_CURE}."
            )
        with locked(other / LOCK, place.parents[1]):
            clear(other)


def _write(job: _Job, number: int, place: Path, progress: str | None) -> None:
    """Compute a period and make its file."""
    file, part = list(job.files)[number], job.part(number)
    bar = progress and f"{progress} {file.stem} ({number + 1}/{len(job.files)})"
    fields = [Field(n, tuple(map(str, part[n].dims)), part[n].data) for n in job.fields]
    partition = Partition.of(fields, [job.dim])
    spool = place / file.stem
    targets = {f.name: SpoolTarget(str((spool / f.name).absolute())) for f in fields}
    for target in targets.values():
        Path(target.folder).mkdir(parents=True, exist_ok=True)

    end_sessions(spool)
    files = partial(files_of, fields, targets, partition)
    journal = Journal(spool, spool, len(partition), files)
    with (
        _counted(job, number),
        accounted(journal, file),
        region_bar(bar, journal.total) as seen,
    ):
        compute(fields, targets, partition, journal, seen)
        scratch = place / file.name
        try:
            _put_together(job, part, fields, targets, scratch)
        except RuntimeError as error:  # netCDF's own, for example on a full disk
            raise OSError(f"{error} while writing {scratch}") from error
    os.replace(scratch, file)
    force_to_disk([file], file.parent)
    shutil.rmtree(spool, ignore_errors=True)


@contextmanager
def _counted(job: _Job, number: int) -> Iterator[None]:
    """Say how many files are whole when a run ends early."""
    try:
        yield
    except BaseException as error:
        folder = next(iter(job.files)).parent
        error.add_note(f"{number} of {len(job.files)} files in {folder} are whole")
        raise


def _put_together(
    job: _Job,
    part: xr.Dataset,
    fields: Sequence[Field],
    targets: Mapping[str, SpoolTarget],
    scratch: Path,
) -> None:
    """Make a netCDF file of spooled blocks, one block in memory at a time."""
    encoding = dict(job.encoding)
    for name in {f.name for f in fields} & {*encoding}:
        encoding[name] = {**packing(part[name].encoding), **encoding[name]}
    with_netcdf.write_header(blank(part, fields), scratch, encoding)
    hows = {f.name: packing(encoding.get(f.name, part[f.name].encoding)) for f in fields}
    with_netcdf.fill(scratch, {f.name: _packed(f, targets[f.name], hows[f.name]) for f in fields})
    force_to_disk([scratch], scratch.parent)


def _packed(
    field: Field, target: SpoolTarget, how: Mapping[str, Any]
) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """Return place and values of each block as the file holds them."""
    for place in field.places():
        block = target.read(place)
        if how or block.dtype.kind == "b":
            variable = xr.Variable(field.dims, block, encoding=dict(how))
            block = with_netcdf.packed(variable, field.name)
        yield place, block
