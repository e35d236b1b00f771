"""Load models from their folders: checked, and with nothing in them run."""

from __future__ import annotations

import json
import os
import re
from math import prod
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from xdeepr.errors import CheckpointError, XdeeprError
from xdeepr.models.card import Card
from xdeepr.models.card_json import read_card
from xdeepr.models.foreign import foreign
from xdeepr.models.saving import CURVE, NORMALIZATION, WEIGHTS
from xdeepr.models.stored_arrays import CARD, COVARIATES, load_arrays, opened, sha256

if TYPE_CHECKING:
    from torch import nn

    from xdeepr.models.downscaler import Downscaler

_ODD_NAME = re.compile(r"[\\:\x00-\x1f]")
"""Backslashes and drives lead elsewhere on Windows; control characters are in no file of ours."""

PARTS = ("base", "autoencoder")
"""Subfolders for the models that a model builds on."""

MOST_NESTED = 4
"""Models within each other: a model, its base or autoencoder, and what those build on."""

MOST_CARD_BYTES = 2**24
"""A longer card or training curve is not read."""


def load_card(path: str | os.PathLike[str]) -> tuple[Card, str]:
    """Read a checkpoint's card without its weights; a digest identifies card and weights."""
    folder = Path(path)
    card, hashes = _read_outer(folder)
    tensors = {}
    if NORMALIZATION in hashes:
        with opened(folder / NORMALIZATION) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    parsed = read_card(json.dumps(card), source=str(folder / CARD), tensors=tensors)
    return parsed, parsed.digest(json.dumps(hashes, sort_keys=True).encode())


def _read_outer(folder: Path) -> tuple[Any, dict[str, str]]:
    """Return the card as plain data, and the SHA-256 of the other files by name."""
    file = folder / CARD
    if not file.is_file():
        if foreign().is_legacy(folder):
            raise CheckpointError(
                f"{folder} is a checkpoint of DeepR: make a model of it first, with"
                " xdeepr.from_deepr(...)."
            )
        raise CheckpointError(
            f"{folder} is not a checkpoint of xdeepr (it has no {CARD}): give the folder that"
            " model.save(...) wrote."
        )
    outer = _read_json(file)
    if not isinstance(outer, dict) or not {"card", "sha256"} <= set(outer):
        raise CheckpointError(
            f"{file} is damaged (it has no 'card' and 'sha256'): copy the checkpoint again."
        )
    hashes = outer["sha256"]
    if not isinstance(hashes, dict) or not all(isinstance(h, str) for h in hashes.values()):
        raise CheckpointError(
            f"{file} is damaged ('sha256' does not give one for each file): copy the checkpoint"
            " again."
        )
    return outer["card"], hashes


def _read_json(file: Path) -> Any:
    """Return what a JSON file holds."""
    try:
        if file.stat().st_size > MOST_CARD_BYTES:
            raise ValueError(f"{file.stat().st_size:,} bytes are more than it can need")
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # JSON and Unicode errors are ValueError
        raise CheckpointError(f"{file} is damaged ({error}): copy the checkpoint again.") from None


def load_folder(folder: Path, *, for_work: bool = False, depth: int = 1) -> Downscaler:
    """Load a model from its folder, which lies in `depth` - 1 others.

    `for_work` leaves out what only the verbs use: the covariates of the training domain, of which
    tasks are given their part.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from xdeepr.models.downscaler import Downscaler  # loads torch

    card, _ = load_card(folder)
    stated = _check_hashes(folder)
    network = _build(card, folder / WEIGHTS)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{folder}: {error}. Copy the checkpoint again.") from error
    curve = _read_json(folder / CURVE)
    if not isinstance(curve, list) or not all(isinstance(entry, dict) for entry in curve):
        raise CheckpointError(
            f"{folder / CURVE} is no list of evaluations: copy the checkpoint again."
        )
    parts = {}
    for role in PARTS:
        if (folder / role / CARD).is_file():
            if f"{role}/{CARD}" not in stated or depth == MOST_NESTED:
                raise CheckpointError(
                    f"{folder / role} is a model that {CARD} does not name, or lies too deep: it"
                    " does not belong there; copy the checkpoint again."
                )
            parts[role] = load_folder(folder / role, for_work=for_work, depth=depth + 1)
    arrays = load_arrays(folder, () if for_work else None, card)
    return Downscaler(card, network, covariate_arrays=arrays, curve=curve, parts=parts)


def _build(card: Card, weights: Path) -> nn.Module:
    """Build the network of a card, no larger than its weights allow."""
    from xdeepr.networks import build
    from xdeepr.networks.bounded import TooLargeError, bounded, check_sizes

    name, config = card.network["name"], dict(card.network["config"])
    try:
        check_sizes(config)
        with opened(weights) as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118
        with bounded(tensors=len(shapes), numbers=sum(map(prod, shapes))):
            return build(name, config)
    except TooLargeError as error:
        raise CheckpointError(
            f"{weights}: the card describes a network that is much larger than its weights"
            f" ({error}): it is damaged or was made to do harm; copy the checkpoint again."
        ) from None
    except (XdeeprError, ImportError):  # a library that is not there is not the checkpoint's fault
        raise
    except Exception as error:  # libraries refuse configurations with errors of many kinds
        raise CheckpointError(
            f"{weights.parent / CARD}: network {name!r} cannot be built from its configuration"
            f" ({type(error).__name__}: {error}): copy the checkpoint again."
        ) from None


def _check_hashes(folder: Path) -> dict[str, str]:
    """Compare the files with the hashes in the card, and return these."""
    _, stated = _read_outer(folder)
    for name in {WEIGHTS, COVARIATES, CURVE, *stated}:
        file = folder / name
        # by name, not resolved: the Hub's cache keeps its files elsewhere and links to them, and
        # so do people with their scratch disks. What is read is data, and has to match its hash.
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts or _ODD_NAME.search(name):
            raise CheckpointError(
                f"{folder / CARD} names a file outside its folder ({name!r}): it was made to do"
                " harm or is damaged; do not use it."
            )
        if not file.is_file():
            raise CheckpointError(f"{folder} lacks {name}: copy the whole checkpoint again.")
        if sha256(file) != stated.get(name):
            raise CheckpointError(
                f"{file} does not match the SHA-256 in {CARD}: the file is damaged or from another"
                " checkpoint; copy the whole checkpoint again."
            )
    return stated
