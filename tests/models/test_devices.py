"""Which GPU a worker takes, how many threads, and one call at a time; no GPU is needed."""

from __future__ import annotations

import fcntl
import multiprocessing
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace

import pytest
import torch

from xdeepr.downscaling.graph import resolve_device
from xdeepr.models import devices


@pytest.fixture
def cards(monkeypatch, tmp_path):
    """Pretend that this process is a worker which sees some GPUs."""
    monkeypatch.setattr(devices, "is_worker_process", lambda: True)
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(devices, "_Process", type("_Process", (devices._Process,), {"gpu": None}))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def pretend(*uuids: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(uuids))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
        properties = [SimpleNamespace(uuid=uuid) for uuid in uuids]
        monkeypatch.setattr(torch.cuda, "get_device_properties", properties.__getitem__)

    return pretend


@pytest.fixture
def elsewhere(tmp_path):
    """Take GPUs for another process, which ends with the test."""
    code = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from xdeepr.models import devices\n"
        "print([devices._take(name) for name in sys.argv[2:]], flush=True)\n"
        "sys.stdin.read()\n"
    )
    started = []

    def take(*names: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), *names],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline().strip() == str([True] * len(names))
        return process

    yield take
    for process in started:
        process.communicate("")


def fresh_process() -> None:
    """Forget what this process has taken, without giving it back."""
    devices._Process.gpu = None


# --- GPUs --------------------------------------------------------------------------------------


def test_without_a_gpu_it_is_the_cpu(cards):
    cards()
    assert resolve_device("auto") == resolve_device(None) == "cpu"


def test_a_worker_keeps_its_gpu(cards):
    cards("a", "b")
    assert [resolve_device("auto") for _ in range(3)] == ["cuda:0"] * 3


def test_workers_take_different_gpus(cards, elsewhere):
    cards("a", "b", "c")
    elsewhere("a")
    assert resolve_device("auto") == "cuda:1"
    fresh_process()  # a third worker
    assert resolve_device("auto") == "cuda:2"


def test_sharing_warns_once_and_names_the_cure(cards, elsewhere):
    cards("a", "b")
    elsewhere("a", "b")
    with pytest.warns(UserWarning, match=r"2 of them.*no more workers.*device=") as caught:
        assert resolve_device("auto") == "cuda:0"
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_device("auto") == "cuda:0"


def test_a_gpu_is_free_again_when_its_worker_is_killed(cards, elsewhere):
    cards("a")
    process = elsewhere("a")
    assert not devices._take("a")
    process.kill()
    process.wait()
    assert resolve_device("auto") == "cuda:0"


def test_a_named_gpu_is_not_locked(cards, tmp_path):
    cards("a", "b")
    assert resolve_device("cuda:1") == "cuda:1"
    assert list(tmp_path.iterdir()) == []


def test_the_users_own_process_locks_nothing(cards, tmp_path, monkeypatch):
    cards("a")
    monkeypatch.setattr(devices, "is_worker_process", lambda: False)
    assert resolve_device("auto") == "cuda"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("visible", "uuids", "names"),
    [
        ("", ["a", "b"], ["a", "b"]),
        ("1,0", ["b", "a"], ["b", "a"]),  # the same cards, whatever their numbers
        ("1, 0", [None, None], ["1", "0"]),  # a torch that does not tell
        ("", [None, None], ["0", "1"]),
        ("MIG-1,MIG-2", ["a", "a"], ["MIG-1", "MIG-2"]),  # two parts of one card
    ],
)
def test_a_gpu_has_one_name_in_all_processes(visible, uuids, names, cards, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    cards(*uuids)
    if None in uuids:
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace())
    assert [devices._gpu_name(i) for i in range(len(names))] == names


def test_hidden_gpus_are_not_taken(cards, elsewhere, monkeypatch):
    """A worker that sees the second card only takes that, as its number 0."""
    elsewhere("a")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    cards("b")
    assert resolve_device("auto") == "cuda:0"


def test_locks_are_real(cards, tmp_path):
    cards("a")
    resolve_device("auto")
    (file,) = tmp_path.iterdir()
    with file.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


# --- threads -----------------------------------------------------------------------------------


def _threads_in_a_child() -> tuple[int, int, bool]:
    before = torch.get_num_threads()
    devices.limit_threads()
    return before, torch.get_num_threads(), devices.is_worker_process()


def test_processes_get_one_thread_each(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        _, after, worker = pool.submit(_threads_in_a_child).result()
    assert worker
    assert after == 1


def test_what_the_user_set_stays(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # torch takes the smaller one
        monkeypatch.setenv(name, "2")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        before, after, _ = pool.submit(_threads_in_a_child).result()
    assert before == after == 2


def test_the_users_own_process_is_left_alone(monkeypatch):
    calls = []
    monkeypatch.setattr(torch, "set_num_threads", calls.append)
    monkeypatch.setattr(devices._Process, "threads_limited", False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert not devices.is_worker_process()
    devices.limit_threads()
    assert calls == []
    assert devices._Process.threads_limited


def test_threads_are_set_once(monkeypatch):
    calls = []
    monkeypatch.setattr(torch, "set_num_threads", calls.append)
    monkeypatch.setattr(devices._Process, "threads_limited", False)
    monkeypatch.setattr(devices, "is_worker_process", lambda: True)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    tasks = [threading.Thread(target=devices.limit_threads) for _ in range(8)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert calls == [1]


HOSTS = {"here": 2, "there": 5}


@pytest.mark.parametrize(
    ("cores", "nthreads", "threads"),
    [(16, 8, 8), (16, 4, 4), (8, 8, 4), (2, 1, 1), (1, 4, 1), (2, 16, 1), (64, 1, 1)],
)
def test_a_share_of_the_cores(cores, nthreads, threads, monkeypatch):
    """Two workers on this host and five on another; never more than dask's own threads."""
    workers = {f"{host}:{n}": {"host": host} for host, many in HOSTS.items() for n in range(many)}
    worker = SimpleNamespace(
        loop=None, address="here:0", state=SimpleNamespace(nthreads=nthreads),
        scheduler=SimpleNamespace(identity=None),
    )  # fmt: skip
    monkeypatch.setattr(devices, "_worker", lambda: worker)
    monkeypatch.setattr(devices, "CPU_COUNT", cores)
    monkeypatch.setattr("distributed.utils.sync", lambda *_, **__: {"workers": workers})
    assert devices.fair_share() == threads
    assert HOSTS["here"] * devices.fair_share() <= max(cores, HOSTS["here"])


def test_a_scheduler_that_does_not_answer_means_one_thread(monkeypatch):
    worker = SimpleNamespace(loop=None, scheduler=SimpleNamespace(identity=None))
    monkeypatch.setattr(devices, "_worker", lambda: worker)

    def silent(*_, **__):
        raise TimeoutError

    monkeypatch.setattr("distributed.utils.sync", silent)
    assert devices.fair_share() == 1


# --- one call at a time ------------------------------------------------------------------------


def test_a_device_has_one_lock(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    cpu, first, second = (devices.network_lock(torch.device(d)) for d in ("cpu", "cuda", "cuda:1"))
    assert devices.network_lock(torch.device("cuda:0")) is first
    assert devices.network_lock(torch.device("cpu")) is cpu
    assert len({id(lock) for lock in (cpu, first, second)}) == 3


def test_networks_take_turns(italy_lr, checkpoint, monkeypatch):
    """Four threads of dask, never two of them in the network."""
    from xdeepr.models import downscaler

    inside, most = [], []
    original = downscaler.evaluate

    def watched(*args, **kwargs):
        inside.append(1)
        most.append(len(inside))
        try:
            return original(*args, **kwargs)
        finally:
            inside.pop()

    monkeypatch.setattr(downscaler, "evaluate", watched)
    out = italy_lr.isel(time=slice(0, 6)).deepr.downscale(checkpoint, steps=2, batch_size=1)
    assert out.t2m.data.npartitions == 6
    out.t2m.compute(scheduler="threads", num_workers=4)
    assert len(most) >= 12
    assert set(most) == {1}
