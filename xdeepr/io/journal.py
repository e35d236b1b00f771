"""Which regions of a run are done: a list on disk, and the workers' notes that lead to it.

A worker notes a region when it has written all its blocks. The process that leads the run reads
the notes, forces the files to disk, and only then enters the region in the journal. So the journal
is right even after a power cut, and workers do not wait for the disk. Workers need not be on the
same machine: a file system that all of them see is enough.

The functions take the folder of the journal, :data:`FOLDER` in that of the result.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xdeepr.errors import OutputError, XdeeprError
from xdeepr.io import with_zarr
from xdeepr.io.identity import MARKER
from xdeepr.io.targets import PARTIAL, WAITING, Target, force_to_disk

FOLDER = ".xdeepr"
"""Folder in a result that is not finished."""

RECORD, DONE, LOCK = "run.json", "done", "lock"
"""Files in it: the run's identity, the journal, and the lock."""

_PAUSES = (0.02, 0.3)
"""Least and greatest number of seconds between two looks at the notes."""

_LENGTH = 11  # of a line of the journal


@dataclass(frozen=True)
class Session:
    """What the workers of one start of a run know: the folder where to leave their notes.

    It exists as long as the run goes on. A worker that finds it gone, because the run was
    interrupted and another has taken over, writes no more.
    """

    folder: str

    def write(self, target: Target, place: tuple[slice, ...], block: Any) -> None:
        """Write a block at its place in the field; this is a function that dask runs."""
        self._check()
        try:
            target.write(place, block)
        except OSError as error:
            raise _failure(error, f"while writing {next(target.files(place))}") from error

    def note(self, number: int, _: Any) -> None:
        """Note that all blocks of a region are written; this is a function that dask runs.

        The second argument is made of the results of the writing tasks, so that this comes after.
        """
        self._check()
        name = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
        try:
            _append(Path(self.folder, name), _line(number))
        except OSError as error:
            raise _failure(error, f"while writing {name}") from error

    def _check(self) -> None:
        if not os.path.isdir(self.folder):
            raise OutputError(f"the run that {self.folder} belongs to has ended")


class Journal:
    """Which regions of a result, of `total`, are done, on disk.

    The journal is in `folder`. `files` gives those of the region of a number; they are forced to
    disk, and so are their folders up to `root`, that of the result.
    """

    def __init__(
        self, folder: Path, root: Path, total: int, files: Callable[[int], Iterator[Path]]
    ) -> None:
        self.folder, self.root, self.total, self.files = folder, root, total, files
        self.done = {n for n in read_numbers(folder / DONE) if n < total}
        # what somebody has deleted is made again
        self.done -= {n for n in self.done if not all(f.is_file() for f in files(n))}
        self._guard = threading.Lock()

    @property
    def missing(self) -> list[int]:
        """The regions that are not done, in order."""
        return [n for n in range(self.total) if n not in self.done]

    @contextmanager
    def session(self, seen: Callable[[int], object]) -> Iterator[Session]:
        """Let workers write, and enter what they have written while they go on.

        The session goes to the workers; `seen` is called with the number of regions done, whenever
        there are more.
        """
        end_sessions(self.folder)
        folder = self.folder / f"session-{uuid.uuid4().hex[:12]}"
        folder.mkdir(parents=True)
        self._notes, stop, failure = _Notes(folder), threading.Event(), list[OSError]()

        def follow(pool: Executor) -> None:
            least, most = _PAUSES
            pause = least
            try:
                while not stop.wait(pause):
                    pause = min(1.5 * pause, most)
                    if self._catch_up(pool):
                        pause = least
                        seen(len(self.done))
            except OSError as error:
                failure.append(error)
                shutil.rmtree(folder, ignore_errors=True)  # which stops the workers

        with ThreadPoolExecutor(WAITING) as pool:
            thread = threading.Thread(target=follow, args=(pool,), daemon=True)
            thread.start()
            try:
                yield Session(str(folder))
            except OutputError:
                if failure:  # the workers stopped because of it
                    raise _failure(failure[0], f"in {self.root}") from failure[0]
                raise
            finally:
                stop.set()
                thread.join()
                with suppress(OSError):  # the disk may be full: then less is done
                    self._catch_up(pool)
                    seen(len(self.done))
                shutil.rmtree(folder, ignore_errors=True)

    def look(self) -> list[int]:
        """Enter what workers have noted so far and return what is missing; during a session."""
        self._catch_up()
        return self.missing

    def enter_all(self) -> None:
        """Enter all regions: the workers have written them, whether their notes are seen or not."""
        self._enter(set(range(self.total)))

    def _catch_up(self, pool: Executor | None = None) -> bool:
        """Enter what was noted since the last time; by one thread at a time."""
        with self._guard:
            return self._enter(self._notes.new(), pool)

    def _enter(self, numbers: set[int], pool: Executor | None = None) -> bool:
        """Force new regions to disk and enter them; say whether there were any."""
        new = sorted(numbers - self.done)
        if not new:
            return False
        force_to_disk((file for number in new for file in self.files(number)), self.root, pool)
        _append(self.folder / DONE, "".join(_line(number) for number in new), force=True)
        self.done.update(new)
        return True


@contextmanager
def accounted(journal: Journal, result: Path) -> Iterator[None]:
    """Say how much of a result is done when its run ends early, also for errors of the disk."""
    try:
        yield
    except BaseException as error:
        done = f"{len(journal.done)} of {journal.total} regions of {result} are written"
        if isinstance(error, OutputError) or (
            isinstance(error, OSError) and not isinstance(error, XdeeprError)
        ):
            raise OutputError(
                f"{error}: {done} and stay valid. Mend the cause (a full disk: make room), then"
                " run the same command again to go on from there."
            ) from error
        error.add_note(f"{done}: run the same command again to go on")
        raise


def end_sessions(folder: Path) -> None:
    """Make workers of an earlier start, which may still live, write no more."""
    for left in folder.glob("session-*"):
        shutil.rmtree(left, ignore_errors=True)


def clear(folder: Path) -> None:
    """Remove all but the lock."""
    for item in folder.iterdir():
        if item.is_dir():
            shutil.rmtree(item, ignore_errors=True)
        elif item.name != LOCK:
            item.unlink(missing_ok=True)


def read_numbers(file: Path) -> set[int]:
    """Return the regions in a journal or a note, none without it; half a line does not count."""
    try:
        text = file.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return set()
    whole = (line for line in text.split("\n")[:-1] if len(line) == _LENGTH - 1)
    return {int(line) for line in whole if line.isdecimal()}


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record of the run that a journal belongs to, or None if there is none."""
    file = folder / RECORD
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text())
        known = record["format"] == 1
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise OutputError(
            f"{file} is damaged, or of a newer xdeepr: go on with that version, or write anew"
            " (overwrite=True, --overwrite)."
        )
    return dict(record)


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a run, made of JSON values, whole or not at all."""
    replace_text(folder / RECORD, json.dumps({"format": 1, **record}, indent=1))


def replace_text(file: Path, text: str) -> None:
    """Write a text file, whole or not at all, and wait until it is on disk."""
    scratch = file.with_name(file.name + PARTIAL)
    scratch.write_text(text)
    force_to_disk([scratch], file.parent)
    os.replace(scratch, file)
    force_to_disk([file], file.parent)


def is_unfinished(path: str | os.PathLike[str]) -> bool:
    """Say whether a zarr store, or a folder of periods, is being written or was given up."""
    path = Path(path)
    if (path / with_zarr.METADATA).is_file():
        return MARKER in with_zarr.attributes(path)
    return (path / FOLDER).is_dir()


def _failure(error: OSError, where: str) -> OutputError:
    """Return the error of the file system with the place that it does not know."""
    return OutputError(f"{error.strerror or error} {where}")


class _Notes:
    """The notes of all workers, of which only what is new is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read: dict[Path, int] = {}

    def new(self) -> set[int]:
        """Return the regions that were noted since the last call."""
        numbers: set[int] = set()
        for file in self.folder.glob("*"):
            with file.open("rb") as stream:
                stream.seek(self.read.get(file, 0))
                text = stream.read()
            whole = len(text) - len(text) % _LENGTH
            self.read[file] = self.read.get(file, 0) + whole
            numbers.update(int(line) for line in text[:whole].split())
        return numbers


def _line(number: int) -> str:
    return f"{number:0{_LENGTH - 1}d}\n"


def _append(file: Path, text: str, *, force: bool = False) -> None:
    """Append to a file, which is closed again: network file systems pass it on then."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        written = os.write(handle, text.encode("ascii"))
        if written != len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if force:
            os.fsync(handle)
    finally:
        os.close(handle)
