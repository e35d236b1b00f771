"""Save models: a folder of safetensors and one JSON card.

=============================  ==============================================================
``card.json``                  the :class:`Card` and the SHA-256 of the other files
``network.safetensors``        weights
``covariates.safetensors``     static covariates of the training domain, with their coordinates
``training.json``              training curve
``normalization.safetensors``  means and deviations of single cells, where the model has such
``base/``, ``autoencoder/``    the models that this one builds on, where there are some
=============================  ==============================================================

Nothing is unpickled and no code in a checkpoint is ever run.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from xdeepr.errors import CheckpointError
from xdeepr.models.card import Card
from xdeepr.models.stored_arrays import CARD, COVARIATES, sha256

if TYPE_CHECKING:
    from torch import nn

WEIGHTS, CURVE, NORMALIZATION = (
    "network.safetensors",
    "training.json",
    "normalization.safetensors",
)


class Model(Protocol):
    """What is saved: a :class:`~xdeepr.models.downscaler.Downscaler`."""

    card: Card
    network: nn.Module
    covariate_arrays: dict[str, np.ndarray]
    curve: list[dict[str, Any]]

    @property
    def parts(self) -> Mapping[str, Model]:
        """Models that it builds on."""


def save(model: Model, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a model to a folder.

    The folder appears whole or not at all: it is written under a temporary name beside its
    place and renamed.
    """
    path = Path(path)
    if path.exists() and not (overwrite and (path / CARD).is_file()):
        raise CheckpointError(
            f"{path} exists already: choose another name, or replace a checkpoint with"
            " overwrite=True."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        _write(model, folder)
        folder.chmod(0o755)
        if path.exists():
            # moved aside, not deleted first: a crash in between must not lose both
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
            path.rename(old / path.name)
            folder.rename(path)
            shutil.rmtree(old)
        else:
            folder.rename(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return path


def _write(model: Model, folder: Path) -> None:
    """Write the files of a model, and of those it builds on, into an empty folder."""
    from safetensors.numpy import save_file as save_arrays
    from safetensors.torch import save_file

    tensors = {k: v.detach().cpu().contiguous() for k, v in model.network.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    # safetensors writes a numpy array as it lies in memory, whatever its strides
    kept = {k: np.ascontiguousarray(v) for k, v in model.covariate_arrays.items()}
    save_arrays(kept, folder / COVARIATES)
    (folder / CURVE).write_text(json.dumps(model.curve))
    large = model.card.tensors()
    if large:
        save_arrays({k: np.ascontiguousarray(v) for k, v in large.items()}, folder / NORMALIZATION)
    for role, part in model.parts.items():
        (folder / role).mkdir()
        _write(part, folder / role)
    card = {"card": json.loads(model.card.to_json()), "sha256": _hashes(folder)}
    (folder / CARD).write_text(json.dumps(card, indent=2))
    for file in folder.iterdir():  # safetensors keeps its files from all but their owner
        file.chmod(0o755 if file.is_dir() else 0o644)


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file beside the card, also of those in its subfolders."""
    files = (f for f in sorted(folder.rglob("*")) if f.is_file() and f != folder / CARD)
    return {f.relative_to(folder).as_posix(): sha256(f) for f in files}
