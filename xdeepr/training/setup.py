"""From a recipe and the data to a network, its training windows and its objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from xdeepr.errors import OptionError
from xdeepr.inputs.times import time_labels
from xdeepr.models.card import Card
from xdeepr.networks import build, network_class
from xdeepr.networks.calling import works_on_lr
from xdeepr.training.alignment import Aligned
from xdeepr.training.batches import Pairs, window_at
from xdeepr.training.objectives import (
    Denoising,
    LatentDenoising,
    Objective,
    Reconstruction,
    Regression,
)
from xdeepr.training.parts import Parts
from xdeepr.training.recipes import Recipe

WHOLE_DOMAIN = 96
"""Domains up to this edge (in HR pixels) are trained on whole, larger ones in windows."""

WINDOW = 64
"""Edge of the training windows on larger domains."""

REGULARIZER_WEIGHTS = {"autoencoder-kl": 1e-4, "vq": 1.0}
"""Weight of what an autoencoder's loss holds beside the reconstruction."""

_FROM_THE_DATA = (
    "in_channels",
    "out_channels",
    "channels",
    "factor",
    "context",
    "covariate_channels",
    "lr_channels",
    "lr_shape",
    "time_labels",
)


def window_of(
    aligned: Aligned, window: int | tuple[int, int] | None, recipe: Recipe, card: Card
) -> tuple[int, int]:
    """Return height and width of the training windows in HR pixels.

    Parameters
    ----------
    aligned : Aligned
        The data.
    window : int or (int, int), optional
        As the user gave it.
    recipe : Recipe
        Its network may need sizes that are multiples of something.
    card : Card
        Factor and scale.

    Raises
    ------
    OptionError
        If the window is too small.
    """
    height, width = aligned.hr_grid.shape
    if window is None:
        whole = max(height, width) <= WHOLE_DOMAIN
        window = (height, width) if whole else (WINDOW, WINDOW)
    wanted = (window, window) if isinstance(window, int) else tuple(window)
    if len(wanted) != 2 or min(wanted) < 4:
        raise OptionError(f"window={window!r}: give one number or a pair, at least 4 HR pixels.")
    grain = _grain(recipe, card)
    sizes = [min(w, n) for w, n in zip(wanted, (height, width), strict=True)]
    rounded = [n // grain * grain for n in sizes]
    if min(rounded) < grain:
        raise OptionError(
            f"window={window!r}: network {recipe.network!r} needs windows of at least {grain} HR"
            " pixels on a domain that has them: give a larger domain, or use another network."
        )
    return rounded[0], rounded[1]


def _grain(recipe: Recipe, card: Card) -> int:
    """Return what the size of a window must be a multiple of."""
    cls = network_class(recipe.network)
    cells = _whole_cells(cls, card.factor)
    return card.factor * cells if cells > 1 else card.scale


def _whole_cells(cls: type[nn.Module], factor: int) -> int:
    """Return what the LR cells of a window must be a multiple of; above 1 the size is fixed."""
    found = getattr(cls, "whole_cells", None)
    return 1 if found is None else int(found(factor))


def network_config(
    recipe: Recipe,
    card: Card,
    pairs: Pairs,
    window: tuple[int, int],
    changes: Mapping[str, Any],
    parts: Parts,
) -> dict[str, Any]:
    """Return the configuration of the network: channels from the data, the rest as asked.

    Parameters
    ----------
    recipe : Recipe
        Which network.
    card : Card
        What it is told.
    pairs : Pairs
        The data; one window is looked at.
    window : tuple of int
        Size of the training windows.
    changes : mapping
        As the user gave them.
    parts : Parts
        For the channels of a latent space.

    Raises
    ------
    OptionError
        If a change contradicts the data.
    """
    cls = network_class(recipe.network)
    for key in _FROM_THE_DATA:
        if key in changes:
            raise OptionError(f"network: {key!r} follows from the data; leave it out.")
    told = pairs.batch(card, cls, [(0, window_at((0, 0), window))]).conditions
    predictands = len(card.predictands)
    config: dict[str, Any]
    if recipe.kind == "autoencoder":
        config = {"channels": predictands}
    elif works_on_lr(cls):
        assert told.lr is not None  # networks on the LR grid are given it
        config = {
            "in_channels": int(told.lr.shape[1]),
            "out_channels": predictands,
            "factor": card.factor,
            "context": card.context,
            "covariate_channels": 0 if told.covariates is None else int(told.covariates.shape[1]),
        }
        if _whole_cells(cls, card.factor) > 1:
            config["lr_shape"] = list(told.lr.shape[-2:])
    else:
        noisy = predictands
        if parts.autoencoder is not None:
            noisy = int(parts.autoencoder.network.latent_channels)  # type: ignore[arg-type]
        conditions = int(told.channels.shape[1])
        drawn = noisy if card.stochastic else 0
        config = {"in_channels": drawn + conditions, "out_channels": noisy}
        if told.labels is not None:
            config["time_labels"] = time_labels(card.time_features)
        if told.lr is not None:
            config["lr_channels"] = int(told.lr.shape[1])
        if card.stochastic and card.diffusion.prediction != "edm":
            config["label_scale"] = 1.0  # timesteps are of the size that embeddings want
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in changes.items()}
    return {**config, **plain}


def fresh_network(card: Card, seed: int, device: str) -> nn.Module:
    """Return a network with initial weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(card.network["name"], dict(card.network["config"])).to(device)


def objective_for(recipe: Recipe, card: Card, network: Any, parts: Parts) -> Objective:
    """Return what the network is trained for."""
    if recipe.kind == "regression":
        return Regression(recipe.loss, card.factor)
    if recipe.kind == "autoencoder":
        weight = REGULARIZER_WEIGHTS.get(recipe.network, 1.0)
        return Reconstruction(weight, int(network.latent_channels), int(network.multiple))
    denoising = Denoising(card.diffusion)
    if parts.autoencoder is None:
        return denoising
    device = next(network.parameters()).device
    autoencoder = parts.autoencoder.network.to(device)
    return LatentDenoising(denoising, autoencoder, card.normalization["latent"])
