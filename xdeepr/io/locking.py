"""One run at a time: a lock that a dead process does not hold.

The system's own record lock says on one machine, and on network file systems that pass locks on,
whether the holder lives: it goes with the process. Where it cannot say (another machine, a file
system without locks), the holder is watched: it writes a new number into the file every few
seconds, and one that stands still is dead.

filelock's SoftFileLease (4.3) does not do: where the file system cannot exchange two names (NFS,
9p, older FUSE) it never takes over the lock of a killed process, and it takes the lock of a
process that is merely stopped for longer than the lease.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xdeepr.errors import OutputError

BEAT = 5.0
"""Seconds between two signs of life."""

PATIENCE = 30.0
"""Seconds without a sign of life after which a holder that cannot be asked is taken for dead."""

_held: set[str] = set()
_guard = threading.Lock()


@contextmanager
def locked(file: Path, result: Path) -> Iterator[None]:
    """Hold the lock file of a result while a block runs, or say which run holds it.

    Its folder is made where it is missing; in the end the file is removed, and the folder too if
    it is empty.
    """
    key = str(file.resolve())
    with _guard:  # record locks do not tell two threads of a process apart
        if key in _held:
            raise _refusal(result, _own())
        _held.add(key)
    try:
        handle = _acquire(file, result)
        stop = threading.Event()
        beats = threading.Thread(target=_beat, args=(handle, stop), daemon=True)
        beats.start()
        try:
            yield
        finally:
            stop.set()
            beats.join()
            with suppress(OSError):  # before it is released: the next holder makes its own
                file.unlink()
            os.close(handle)
            with suppress(OSError):  # not empty: there is a run to go on with
                file.parent.rmdir()
    finally:
        with _guard:
            _held.discard(key)


def _acquire(file: Path, result: Path) -> int:
    """Return the handle of the lock file once it is ours."""
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            certain = _system_lock(handle)
            holder = _read(handle)
            if certain is not False and holder and _may_live(holder, certain):
                # to look at the file by its name gives the system's lock back: take it again
                certain = False if _lives(file) else _system_lock(handle)
            if certain is False:
                raise _refusal(result, holder)
            if not _is_file(handle, file):  # its last holder has just removed it
                os.close(handle)
                continue
            _write(handle, 0)
        except BaseException:
            with suppress(OSError):
                os.close(handle)
            raise
        return handle


def _system_lock(handle: int) -> bool | None:
    """Return whether the system gave the lock; None where it has no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EACCES, errno.EAGAIN) else None
    return True


def _may_live(holder: dict[str, Any], certain: bool | None) -> bool:
    """Whether the last holder could be alive although the system gave us the lock."""
    if holder.get("host") != socket.gethostname():
        return True
    if certain:
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except (ProcessLookupError, KeyError, ValueError):
        return False
    except OSError:
        return True
    return True


def _lives(file: Path) -> bool:
    """Watch the file for a sign of life."""
    first, end = _read_path(file), time.monotonic() + PATIENCE
    while time.monotonic() < end:
        time.sleep(min(1.0, PATIENCE / 10))
        if _read_path(file) != first:
            return True
    return False


def _beat(handle: int, stop: threading.Event) -> None:
    """Write a new number into the lock file every few seconds."""
    number = 0
    while not stop.wait(BEAT):
        number += 1
        with suppress(OSError):  # a full disk must not end the run from here
            _write(handle, number)


def _own() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": _started}


def _write(handle: int, beat: int) -> None:
    """Write who holds the lock over what is there, at a fixed length."""
    text = json.dumps({**_own(), "beat": beat}).ljust(400) + "\n"
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, text.encode())
    os.fsync(handle)


def _read(handle: int) -> dict[str, Any]:
    """Return the content; empty for a file that was just made, or is no lock file."""
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        content = json.loads(os.read(handle, 4096))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _read_path(file: Path) -> bytes:
    """Return the content anew: network file systems look again when a file is opened."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _is_file(handle: int, file: Path) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except OSError:
        return False


def _refusal(result: Path, holder: dict[str, Any]) -> OutputError:
    pid, host, since = (holder.get(k, "unknown") for k in ("pid", "host", "since"))
    return OutputError(
        f"{result} is being written by process {pid} on {host} (since {since}), and two runs cannot"
        " write one result: wait for it, or end it and start again."
    )


_started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
