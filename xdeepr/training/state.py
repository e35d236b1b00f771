"""Keep the state of a training run on disk and take it up again, exactly."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from xdeepr.errors import TrainingError
from xdeepr.inputs.times import time_text
from xdeepr.training.loop import Progress, Trainer

STATE = "training-state.safetensors"
"""Name of the file in the folder."""

KEEP_SECONDS = 300.0
"""How much training a break may cost where evaluations are further apart."""


def save_state(trainer: Trainer, folder: Path) -> None:
    """Write the state; the file is replaced in one move, so there is always a whole one."""
    tensors: dict[str, torch.Tensor] = {}
    groups = {
        "network": trainer.network.state_dict(),
        "ema": trainer.ema.weights,
        "best": trainer.best,
    }
    for prefix, weights in groups.items():
        tensors |= {f"{prefix}/{k}": v.detach().cpu().clone() for k, v in weights.items()}
    for index, entries in trainer.optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer/{index}/{k}": torch.as_tensor(v).cpu().clone() for k, v in entries.items()
        }
    metadata = {
        "progress": json.dumps(dataclasses.asdict(trainer.progress)),
        "run": json.dumps(describe_run(trainer)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    staged = folder / f".{STATE}.{os.getpid()}"
    try:
        save_file(tensors, staged, metadata=metadata)
        staged.replace(folder / STATE)
    finally:
        staged.unlink(missing_ok=True)


def load_state(trainer: Trainer, folder: Path) -> None:
    """Take up the run that was kept in a folder, if there is one."""
    file = folder / STATE
    if not file.is_file():
        return
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata()
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        progress, run = json.loads(metadata["progress"]), json.loads(metadata["run"])
        if not isinstance(run, dict):
            raise TypeError("it does not say of which run it is")
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(file, error) from None
    _check_same_run(run, json.loads(json.dumps(describe_run(trainer))), file)
    try:
        _check_whole(trainer, tensors, progress)
    except (TypeError, ValueError) as error:
        raise _damaged(file, error) from None
    _restore(trainer, tensors, progress)


def _damaged(file: Path, error: Exception) -> TrainingError:
    return TrainingError(f"{file} is damaged ({error}): delete it to start the training anew.")


def describe_run(trainer: Trainer) -> dict[str, Any]:
    """Return what must be equal for a run to be taken up: settings, data and network."""
    settings, stamps = dataclasses.asdict(trainer.settings), trainer.pairs.times.stamps
    return {
        **{f"setting {k}": v for k, v in settings.items()},
        "number of times": len(trainer.pairs),
        "first time": time_text(stamps[0]),
        "last time": time_text(stamps[-1]),
        "training window": list(trainer.draw.window),
        **_card_parts(trainer),
        "objective": trainer.objective.describe(),
        "validation part": sum(len(batch.times) for batch, *_ in trainer.held_out),
        # the text of the modules holds what shapes do not tell, such as dropout
        "network": hashlib.sha256(repr(trainer.network).encode()).hexdigest()[:16],
    }


def _card_parts(trainer: Trainer) -> dict[str, Any]:
    """Return what the card says of data and model, in parts that an error can name."""
    card = json.loads(trainer.batches.card.to_json())
    large = trainer.batches.card.tensors().items()
    return {
        "normalization": [
            card.pop("normalization"),
            {name: hashlib.sha256(array.tobytes()).hexdigest()[:16] for name, array in large},
        ],
        "noise levels": card.pop("diffusion"),
        **{f"{key} of the model": value for key, value in card.items() if key != "name"},
    }


def _check_same_run(kept: dict[str, Any], wanted: dict[str, Any], file: Path) -> None:
    """Refuse a state of another run."""
    for key, value in wanted.items():
        if kept.get(key) != value:
            raise TrainingError(
                f"{file} belongs to a run with another {key} ({kept.get(key)!r}, now {value!r}):"
                " use the same data and settings, or another folder."
            )


def _check_whole(trainer: Trainer, tensors: dict[str, torch.Tensor], progress: Any) -> None:
    """Raise TypeError or ValueError for a state that is not whole, before any of it is taken up."""
    network = trainer.network.state_dict()
    wanted = {
        f"{group}/{key}": value.shape
        for group in ("network", "ema", "best")
        for key, value in network.items()
    }
    parameters = [p for group in trainer.optimizer.param_groups for p in group["params"]]
    for index, parameter in enumerate(parameters):
        moments = dict.fromkeys(("exp_avg", "exp_avg_sq"), parameter.shape)
        for name, shape in {"step": torch.Size(()), **moments}.items():
            wanted[f"optimizer/{index}/{name}"] = shape
    used = {key.rpartition("/")[0] for key in tensors}
    for key in sorted(set(wanted) ^ set(tensors)):
        # a parameter that was never used has no moments, neither the one nor the other
        unused = key.startswith("optimizer/") and key.rpartition("/")[0] not in used
        if key in tensors or not unused:
            raise ValueError(f"the tensor {key!r} is missing or not known")
    for key, tensor in tensors.items():
        if tensor.shape != wanted[key]:
            raise ValueError(f"the tensor {key!r} has the shape {tuple(tensor.shape)}")
    fresh = dataclasses.asdict(Progress())
    if not isinstance(progress, dict) or set(progress) != set(fresh):
        raise ValueError("the progress of the run is missing or has other keys")
    for key, value in progress.items():
        kinds = (int, float) if isinstance(fresh[key], float) else type(fresh[key])
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise TypeError(f"{key} is {value!r}")
    if progress["step"] < 0 or progress["stale"] < 0 or not progress["elapsed"] >= 0:
        raise ValueError("the run has made less than no steps")
    if not all(isinstance(e, dict) and isinstance(e.get("step"), int) for e in progress["curve"]):
        raise TypeError("the training curve is no list of evaluations")


def _restore(trainer: Trainer, tensors: dict[str, torch.Tensor], progress: dict[str, Any]) -> None:
    """Put tensors and counters back in their places."""

    def group(prefix: str) -> dict[str, torch.Tensor]:
        return {
            k.removeprefix(f"{prefix}/"): v.to(trainer.device)
            for k, v in tensors.items()
            if k.startswith(f"{prefix}/")
        }

    trainer.network.load_state_dict(group("network"))
    trainer.ema.weights = group("ema")
    trainer.best = group("best")
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in group("optimizer").items():
        index, name = key.split("/")
        # AdamW keeps its step counter on the CPU
        state.setdefault(int(index), {})[name] = value.cpu() if name == "step" else value
    optimizer = trainer.optimizer.state_dict()
    trainer.optimizer.load_state_dict({**optimizer, "state": state})
    for name, value in progress.items():
        setattr(trainer.progress, name, value)


class Kept:
    """The state of a run in a folder, if one was given; taken up from there if there is one."""

    def __init__(self, trainer: Trainer, folder: Path | None) -> None:
        self.trainer, self.folder = trainer, folder
        if folder is not None:
            load_state(trainer, folder)
        self.step, self.time = trainer.progress.step, time.monotonic()

    def save(self, *, now: bool) -> None:
        """Keep the state, now or if it is time to."""
        if self.folder is None or not (now or time.monotonic() - self.time > KEEP_SECONDS):
            return
        save_state(self.trainer, self.folder)
        self.step, self.time = self.trainer.progress.step, time.monotonic()

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Say how to go on, if the run is interrupted."""
        try:
            yield
        except KeyboardInterrupt as stop:
            if self.folder is None:
                note = "nothing is kept of the training: with keep= (--keep) it could go on"
            else:
                note = f"step {self.step} is kept in {self.folder}: run the same again to go on"
            stop.add_note(note)
            raise
