"""Models in this process: each is loaded once and shared by all tasks.

Only a folder's path and a digest travel in a dask graph; every worker process loads the model
itself, behind a lock, when its first task needs it.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from xdeepr.errors import CheckpointError
from xdeepr.models.checkpoint import load_card, load_folder
from xdeepr.models.saving import save
from xdeepr.models.stored_arrays import CARD

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler

_MOST_LOADED = 4
_LOADED: dict[tuple[str, str], Downscaler] = {}
_LOCK = threading.Lock()


def load_once(folder: str, digest: str, device: str) -> Downscaler:
    """Return a model on a device, loaded once in each process.

    Refused if it is not there or has another digest than when the work was planned.
    """
    with _LOCK:
        key = (digest, device)
        if key not in _LOADED:
            if not Path(folder).is_dir():
                raise CheckpointError(
                    f"{socket.gethostname()} does not see the model's folder {folder}: save the"
                    " model where all workers can read it, and downscale with that folder; or set"
                    " XDEEPR_CACHE_DIR to such a place before downscale()."
                )
            if load_card(folder)[1] != digest:
                raise CheckpointError(
                    f"{folder} has changed since downscale() was called: call it again."
                )
            while len(_LOADED) >= _MOST_LOADED:
                _LOADED.pop(next(iter(_LOADED)))
            _LOADED[key] = load_folder(Path(folder), for_work=True).to(device)
        return _LOADED[key]


def store(model: Downscaler, name: str | None = None) -> tuple[Path, str]:
    """Keep a model in the cache, for all workers of this machine; return its folder and digest.

    The folder's name is by default the digest.
    """
    with tempfile.TemporaryDirectory() as scratch:
        saved = save(model, Path(scratch) / "model")
        digest = load_card(saved)[1]
        folder = cache_folder() / (name or digest)
        if not (folder / CARD).is_file():  # a cache that has the model may be read-only
            _move_in(saved, folder)
    return folder, digest


def _move_in(saved: Path, folder: Path) -> None:
    """Bring a saved model to its place in the cache; it appears whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".storing-", dir=folder.parent) as beside:
        staged = Path(shutil.copytree(saved, Path(beside) / "model"))
        try:
            staged.rename(folder)
        except OSError:  # another process was first, or left a folder without a card
            if not (folder / CARD).is_file():
                shutil.rmtree(folder, ignore_errors=True)
                staged.rename(folder)


def cache_folder() -> Path:
    """Return the folder for models that were trained but not saved by the user."""
    import pooch

    return Path(os.environ.get("XDEEPR_CACHE_DIR") or pooch.os_cache("xdeepr")) / "models"
