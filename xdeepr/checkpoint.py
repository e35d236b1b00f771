"""Save and load models: a folder of safetensors and one JSON card.

=============================  ==============================================================
``card.json``                  the :class:`~xdeepr.card.Card` and the SHA-256 of the other files
``network.safetensors``        weights
``covariates.safetensors``     static covariates of the training domain, with their coordinates
``training.json``              training curve
``normalization.safetensors``  means and deviations of single cells, where the model has such
``base/``, ``autoencoder/``    the models that this one builds on, where there are some
=============================  ==============================================================

Nothing is unpickled and no code in a checkpoint is ever run.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xdeepr.card import Card
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.interpolation import METHODS

if TYPE_CHECKING:
    from xdeepr.downscaler import Downscaler
    from xdeepr.grid import Grid

CARD, WEIGHTS, COVARIATES, CURVE, NORMALIZATION = (
    "card.json",
    "network.safetensors",
    "covariates.safetensors",
    "training.json",
    "normalization.safetensors",
)

PARTS = ("base", "autoencoder")
"""Subfolders for the models that a model builds on."""

SHIPPED = Path(__file__).parent / "checkpoints"
"""Folder of the checkpoints that come with the package."""


def save(model: Downscaler, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a model to a folder.

    The folder appears whole or not at all: it is written under a temporary name beside its
    place and renamed.

    Parameters
    ----------
    model : Downscaler
        What to save.
    path : path-like
        The folder to make.
    overwrite : bool, default: False
        Replace a checkpoint that is there. Other folders are never replaced.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    CheckpointError
        If something is there already.
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


def _write(model: Downscaler, folder: Path) -> None:
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


def load_card(path: str | os.PathLike[str]) -> tuple[Card, str]:
    """Read a checkpoint's card without its weights.

    Parameters
    ----------
    path : path-like
        Folder of a checkpoint.

    Returns
    -------
    card : Card
    digest : str
        Identifies card and weights.

    Raises
    ------
    CheckpointError
        If the folder is no checkpoint or its card cannot be read.
    """
    file = Path(path) / CARD
    try:
        outer = json.loads(file.read_text())
        card, hashes = outer["card"], outer["sha256"]
    except FileNotFoundError:
        from xdeepr.legacy import is_legacy

        if is_legacy(Path(path)):
            raise CheckpointError(
                f"{path} is a checkpoint of DeepR: make a model of it first, with"
                " xdeepr.from_deepr(...)."
            ) from None
        raise CheckpointError(
            f"{path} is not a checkpoint of xdeepr (it has no {CARD}): give the folder that"
            " model.save(...) wrote."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} is damaged ({error}): copy the checkpoint again.") from None
    large = Path(path) / NORMALIZATION
    tensors = _load_arrays(large) if NORMALIZATION in hashes else {}
    parsed = Card.from_json(json.dumps(card), source=str(file), tensors=tensors)
    return parsed, parsed.digest(json.dumps(hashes, sort_keys=True).encode())


def load(model: str | os.PathLike[str]) -> Downscaler:
    """Load a model; the training data is not needed.

    Parameters
    ----------
    model : str or path-like
        A folder written by :meth:`xdeepr.Downscaler.save`, or the short name of a checkpoint
        that ships with xdeepr.

    Returns
    -------
    Downscaler

    Raises
    ------
    OptionError
        If there is no such folder or name.
    CheckpointError
        If a file is damaged, missing or of an unknown version.

    Examples
    --------
    >>> import xdeepr
    >>> model = xdeepr.load("ddpm")  # doctest: +SKIP
    """
    return _load(locate(model))


def _load(folder: Path) -> Downscaler:
    """Load a model from its folder."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from xdeepr.downscaler import Downscaler
    from xdeepr.networks import build

    card, _ = load_card(folder)
    _check_hashes(folder)
    network = build(card.network["name"], dict(card.network["config"]))
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
        curve = json.loads((folder / CURVE).read_text())
    except (SafetensorError, RuntimeError, OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{folder}: {error}. Copy the checkpoint again.") from error
    parts = {role: _load(folder / role) for role in PARTS if (folder / role / CARD).is_file()}
    arrays = _load_arrays(folder / COVARIATES)
    return Downscaler(card, network, covariate_arrays=arrays, curve=curve, parts=parts)


def load_coordinates(folder: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the HR coordinate values (y, x) of the training data, ascending.

    Parameters
    ----------
    folder : path-like
        Folder of a checkpoint.
    """
    arrays = _load_arrays(Path(folder) / COVARIATES)
    return arrays["y"], arrays["x"]


def load_untrained(folder: str | os.PathLike[str]) -> np.ndarray:
    """Return the HR cells whose labels were missing at all times of the training.

    Parameters
    ----------
    folder : path-like
        Folder of a checkpoint.

    Returns
    -------
    numpy.ndarray
        bool, shape (y, x), ascending.
    """
    return _load_arrays(Path(folder) / COVARIATES)["untrained"] > 0.5


def _load_arrays(file: Path) -> dict[str, np.ndarray]:
    """Read a file of arrays."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{file} is missing or damaged ({error}): copy the checkpoint again."
        ) from None


def load_covariates(folder: str | os.PathLike[str], card: Card, grid: Grid) -> xr.Dataset:
    """Read the static covariates of the training domain.

    Parameters
    ----------
    folder : path-like
        Folder of a checkpoint.
    card : Card
        Its card.
    grid : Grid
        Gives the names and attributes of the coordinates.

    Returns
    -------
    xarray.Dataset
    """
    arrays = _load_arrays(Path(folder) / COVARIATES)
    dims = (grid.y.name, grid.x.name)
    coords = grid.variables_of((arrays["y"], arrays["x"]))
    fields = {
        q.name: (dims, values, {**q.attrs, "units": q.units})
        for q, values in zip(card.covariates, arrays["values"], strict=True)
    }
    ds = xr.Dataset(fields, coords)
    if grid.mapping is not None:
        ds[grid.mapping[0]] = ((), 0, grid.mapping[1])
        for q in card.covariates:
            ds[q.name].attrs["grid_mapping"] = grid.mapping[0]
    return ds


def locate(model: str | os.PathLike[str]) -> Path:
    """Return the folder of a checkpoint given by path or short name.

    Raises
    ------
    OptionError
        If there is none; names the nearest known names.
    """
    path = Path(model)
    if path.is_dir():
        return path
    name = os.fspath(model)
    if (SHIPPED / name / CARD).is_file():
        return SHIPPED / name
    from xdeepr.hub import checkpoint_folder, is_repo_id

    if is_repo_id(model):
        return checkpoint_folder(name)
    known = [*shipped_names(), *METHODS]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known
    raise OptionError(
        f"model={name!r} is neither a folder nor a known name. Nearest names: {', '.join(near)}."
        " A model of your own is the folder that model.save(...) wrote."
    )


def shipped_names() -> list[str]:
    """Return the short names of the checkpoints that come with the package."""
    return sorted(p.parent.name for p in SHIPPED.glob(f"*/{CARD}"))


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file beside the card, also of those in its subfolders."""
    files = (f for f in sorted(folder.rglob("*")) if f.is_file() and f != folder / CARD)
    return {
        f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files
    }


def _check_hashes(folder: Path) -> None:
    """Compare the files with the hashes in the card."""
    stated = json.loads((folder / CARD).read_text())["sha256"]
    for name in {WEIGHTS, COVARIATES, CURVE, *stated}:
        file = folder / name
        # by name, not resolved: the Hub's cache keeps its files elsewhere and links to them
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise CheckpointError(
                f"{folder / CARD} names a file outside its folder ({name}): it was made to do harm"
                " or is damaged; do not use it."
            )
        if not file.is_file():
            raise CheckpointError(f"{folder} lacks {name}: copy the whole checkpoint again.")
        if hashlib.sha256(file.read_bytes()).hexdigest() != stated.get(name):
            raise CheckpointError(
                f"{file} does not match the SHA-256 in {CARD}: the file is damaged or from another"
                " checkpoint; copy the whole checkpoint again."
            )
