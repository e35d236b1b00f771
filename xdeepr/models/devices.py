"""What a process may use: which GPU, how many of torch's threads, whose turn at the network.

Workers of a dask cluster live in processes of their own, and several may share a machine. There a
worker takes a GPU that no other has, and leaves each of the others its share of the cores. In the
user's own process nothing is changed.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dask.system import CPU_COUNT

from xdeepr.checks import warn

if TYPE_CHECKING:
    import torch

_LOCK = threading.Lock()
_NETWORK_LOCKS: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
_PATIENCE = 10  # seconds that a scheduler has to tell its workers


class _Process:
    """What was decided for this process; decided once."""

    threads_limited = False
    gpu: str | None = None
    lock_file: int | None = None  # never closed: the lock goes when the process goes


def network_lock(device: torch.device) -> threading.Lock:
    """Return the lock behind which networks are called on a device.

    One call at a time: on a CPU the call itself uses all of torch's threads, and on a GPU two at
    once would need twice the memory.
    """
    name = str(device)
    if name == "cuda":  # the same device under another name
        import torch

        name = f"cuda:{torch.cuda.current_device()}"
    with _LOCK:
        return _NETWORK_LOCKS[name]


def is_worker_process() -> bool:
    """Return whether this process works for dask only, and is not the user's own."""
    if multiprocessing.parent_process() is not None:
        return True
    if _worker() is None:
        return False
    from distributed import Client, Scheduler

    # `dask worker --no-nanny` runs in a main process; a cluster of threads in that of the user
    return not (Client._instances or Scheduler._instances)


def limit_threads() -> None:
    """Leave other workers of this machine their share of the cores, once in each process.

    Does nothing in the user's own process, nor where OMP_NUM_THREADS or MKL_NUM_THREADS says what
    the user wants.
    """
    if _Process.threads_limited:
        return
    with _LOCK:
        if _Process.threads_limited:
            return
        if is_worker_process() and not {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & set(os.environ):
            import torch

            torch.set_num_threads(fair_share())
        _Process.threads_limited = True


def fair_share() -> int:
    """Return how many cores this worker process may use.

    No more than the threads that dask gave the worker, which stand for its cores, and no more
    than an equal part of the machine's (or the container's). dask's own scheduler of processes
    does not say how many it started; as a rule one for each core.
    """
    worker = _worker()
    if worker is None:
        return 1
    from distributed.utils import sync

    try:
        workers = sync(worker.loop, worker.scheduler.identity, callback_timeout=_PATIENCE)[
            "workers"
        ]
    except (OSError, TimeoutError):
        return 1
    here = workers.get(worker.address, {}).get("host")
    beside = sum(other["host"] == here for other in workers.values())
    return max(1, min(worker.state.nthreads, CPU_COUNT // max(1, beside)))


def automatic_device() -> str:
    """Return the device for "auto": a GPU where there is one, and a free one in a worker.

    Warns
    -----
    UserWarning
        If every GPU belongs to another worker of this machine, so that one must be shared.
    """
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    if not is_worker_process():
        return "cuda"
    with _LOCK:
        if _Process.gpu is None:
            _Process.gpu = _free_gpu()
        return _Process.gpu


def _free_gpu() -> str:
    """Take the first GPU that no other worker has, for as long as this process lives."""
    import torch

    names = [_gpu_name(index) for index in range(torch.cuda.device_count())]
    for index, name in enumerate(names):
        if _take(name):
            return f"cuda:{index}"
    _warn(
        f"all GPUs that a worker (process {os.getpid()}) sees, {len(names)} of them, are taken by"
        " other workers of this machine: it shares the first, which is slow and may run out of"
        " memory. Start no more workers than there are GPUs, or choose with downscale(device=...)."
    )
    return "cuda:0"


def _gpu_name(index: int) -> str:
    """Return what tells a GPU from all others of this machine."""
    import torch

    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    given = visible[index] if index < len(visible) and visible[index] else str(index)
    if given.startswith("MIG"):  # a part of a card, which has the identity of the whole
        return given
    # numbers will not do: batch systems may show each job its only GPU as number 0
    return str(getattr(torch.cuda.get_device_properties(index), "uuid", given))


def _take(name: str) -> bool:
    """Lock a GPU's file; False if another process holds it."""
    try:
        import fcntl
    except ImportError:  # Windows has no such locks: take the first, as everywhere else
        return True
    path = Path(tempfile.gettempdir()) / f"xdeepr-{os.getuid()}-{name.replace('/', '_')}.lock"
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    _Process.lock_file = file
    return True


def _worker() -> Any:
    """Return the worker of distributed whose task this thread runs, or None."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.get_worker()
    except (ValueError, AttributeError):  # no worker, or distributed is just being imported
        return None


def _warn(message: str) -> None:
    """Warn here, and on a cluster in the user's own session too."""
    if _worker() is None:
        warn(message)
    else:
        sys.modules["distributed"].warn(message)
