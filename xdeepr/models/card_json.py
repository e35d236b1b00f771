"""Read a card: every version of its layout, and nothing that no model has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from xdeepr.errors import CheckpointError
from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card import CARD_VERSION, USUAL_CHANNELS, Card, Diffusion
from xdeepr.models.card_checks import check_card
from xdeepr.normalization import read_transform, within

_UNREADABLE = (
    KeyError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError, MemoryError,
)  # fmt: skip
"""What plain data of the wrong kinds end in."""


def read_card(
    text: str, *, source: str = "card", tensors: Mapping[str, np.ndarray] | None = None
) -> Card:
    """Read a card of any version, from JSON text and the arrays of :meth:`Card.tensors`.

    `source` says in error messages where it came from.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of too many digits are ValueError
        raise CheckpointError(
            f"{source} is not valid JSON ({error}): the file is damaged; copy it again."
        ) from None
    version = data.get("version") if isinstance(data, dict) else None
    if isinstance(version, bool | float) or version not in (1, CARD_VERSION):
        raise CheckpointError(
            f"{source} has card version {version!r}, this xdeepr reads versions 1 to"
            f" {CARD_VERSION}: install a newer xdeepr, or make the checkpoint again."
        )
    try:
        card = _of_data(data if version == CARD_VERSION else _upgraded(data), tensors)
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{source} does not have the expected keys ({error}): the file is damaged or was"
            " edited; make the checkpoint again."
        ) from None
    try:
        check_card(card)
        # what has no JSON or no UTF-8 form could not be written into any file later
        json.dumps(data, allow_nan=False, ensure_ascii=False).encode()
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{source}: {error}: the file is damaged or was edited; make the checkpoint again."
        ) from None
    return card


def _of_data(data: dict[str, Any], tensors: Mapping[str, np.ndarray] | None) -> Card:
    """Return the card of plain data of today's version."""
    quantities = ("predictors", "predictands", "covariates", "varying")
    tuples = ("base", "margin", "resolution", "tile", "channels", "shift")
    read: dict[str, Any] = {k: tuple(Quantity(**q) for q in data[k]) for k in quantities}
    read |= {k: tuple(data[k]) for k in tuples}
    read["diffusion"] = Diffusion(**data["diffusion"])
    read["normalization"] = {
        role: read_transform(stored, within(tensors or {}, role))
        for role, stored in data["normalization"].items()
    }
    return Card(**{**data, **read})


def _upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data of a version 1 card as version 2 writes them."""
    new = {**data, "version": CARD_VERSION}
    new["time_features"] = {name: "cyclical" for name in data["time_features"]}
    normalization = dict(data["normalization"])
    normalization["target"] = normalization.pop("residual")
    new["normalization"] = normalization
    return {"shift": (0, 0), "varying": (), "channels": USUAL_CHANNELS, **new}
