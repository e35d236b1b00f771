"""From options and data to a card, a network and its objective."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from xdeepr.errors import OptionError
from xdeepr.inputs.covariates import describe_covariates
from xdeepr.inputs.times import time_labels
from xdeepr.models.card import CHANNELS, USUAL_CHANNELS, Card
from xdeepr.networks import build, network_class
from xdeepr.networks.calling import Conditions, works_on_lr
from xdeepr.training.alignment import Aligned
from xdeepr.training.batches import Batches
from xdeepr.training.holding_out import Period
from xdeepr.training.objectives import (
    Denoising,
    LatentDenoising,
    Objective,
    Reconstruction,
    Regression,
)
from xdeepr.training.options import ModelOptions
from xdeepr.training.pairs import Pairs
from xdeepr.training.parts import Parts
from xdeepr.training.recipes import Recipe
from xdeepr.training.windows import window_at

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


def draft_card(options: ModelOptions, period: Period, parts: Parts) -> Card:
    """Return the card without what is only known later: normalization, network, results."""
    aligned = period.aligned
    static, varying = (
        ((), ()) if period.covariates is None else describe_covariates(period.covariates)
    )
    if options.covariate_dropout and not (static or varying):
        raise OptionError("covariate_dropout: there are no covariates= that could be left out.")
    on_lr = works_on_lr(network_class(options.recipe.network))
    usual = parts.autoencoder.card.target if parts.autoencoder else "residual"
    return Card(
        name=options.name or f"{'-'.join(q.name for q in aligned.predictands)}-x{aligned.factor}",
        kind=options.recipe.kind,
        predictors=aligned.predictors,
        predictands=aligned.predictands,
        covariates=static,
        varying=varying,
        base=aligned.base,
        target=options.target or usual,
        channels=CHANNELS if parts.base else USUAL_CHANNELS,
        time_features=options.time_features,
        covariate_dropout=float(options.covariate_dropout),
        factor=aligned.factor,
        margin=aligned.margin,
        grid_kind=aligned.lr_grid.kind,
        resolution=(aligned.lr_grid.y.step, aligned.lr_grid.x.step),
        tile=aligned.hr_grid.shape,
        context=_context(options.context, aligned) if on_lr else 0,
        scale=parts.scale,
        network={},
        diffusion=options.diffusion,
        normalization={},
    )


def _context(context: int | None, aligned: Aligned) -> int:
    """Return the LR cells around a window that the network sees."""
    return min(max(2, min(aligned.margin) // aligned.factor), 8) if context is None else context


def with_network(card: Card, options: ModelOptions, pairs: Pairs, parts: Parts) -> Card:
    """Return the card with its network and the windows that this is trained on.

    One window of the pairs is looked at.
    """
    shape = _window(card, options)
    name = options.recipe.network
    for key in _FROM_THE_DATA:
        if key in options.changes:
            raise OptionError(f"network: {key!r} follows from the data; leave it out.")
    first = Batches(pairs, card, network_class(name)).at([(0, window_at((0, 0), shape))])
    config = _config(card, options.recipe, first.conditions, parts)
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in options.changes.items()}
    return replace(card, tile=shape, network={"name": name, "config": {**config, **plain}})


def _window(card: Card, options: ModelOptions) -> tuple[int, int]:
    """Return height and width of the training windows in HR pixels."""
    (height, width), window = card.tile, options.window  # of the whole domain so far
    if window is None:
        whole = max(height, width) <= WHOLE_DOMAIN
        window = (height, width) if whole else (WINDOW, WINDOW)
    wanted = (window, window) if isinstance(window, int) else tuple(window)
    if len(wanted) != 2 or min(wanted) < 4:
        raise OptionError(f"window={window!r}: give one number or a pair, at least 4 HR pixels.")
    cells = _whole_cells(network_class(options.recipe.network), card.factor)
    grain = card.factor * cells if cells > 1 else card.scale
    rounded = [min(w, n) // grain * grain for w, n in zip(wanted, (height, width), strict=True)]
    if min(rounded) < grain:
        raise OptionError(
            f"window={window!r}: network {options.recipe.network!r} needs windows of at least"
            f" {grain} HR pixels on a domain that has them: give a larger domain, or use another"
            " network."
        )
    return rounded[0], rounded[1]


def _whole_cells(cls: type[nn.Module], factor: int) -> int:
    """Return what the LR cells of a window must be a multiple of; above 1 the size is fixed."""
    whole_cells = getattr(cls, "whole_cells", None)
    return 1 if whole_cells is None else int(whole_cells(factor))


def _config(card: Card, recipe: Recipe, conditions: Conditions, parts: Parts) -> dict[str, Any]:
    """Return what of the network's configuration follows from the data."""
    cls, predictands = network_class(recipe.network), len(card.predictands)
    if recipe.kind == "autoencoder":
        return {"channels": predictands}
    lr, covariates = conditions.lr, conditions.covariates
    config: dict[str, Any]
    if works_on_lr(cls):
        assert lr is not None  # networks on the LR grid are given it
        config = {
            "in_channels": int(lr.shape[1]),
            "out_channels": predictands,
            "factor": card.factor,
            "context": card.context,
            "covariate_channels": 0 if covariates is None else int(covariates.shape[1]),
        }
        if _whole_cells(cls, card.factor) > 1:
            config["lr_shape"] = list(lr.shape[-2:])
        return config
    noisy = predictands
    if parts.autoencoder is not None:
        noisy = int(parts.autoencoder.network.latent_channels)  # type: ignore[arg-type]
    drawn = noisy if card.stochastic else 0
    config = {"in_channels": drawn + int(conditions.channels.shape[1]), "out_channels": noisy}
    if conditions.labels is not None:
        config["time_labels"] = time_labels(card.time_features)
    if lr is not None:
        config["lr_channels"] = int(lr.shape[1])
    if card.stochastic and card.diffusion.prediction != "edm":
        config["label_scale"] = 1.0  # timesteps are of the size that embeddings want
    return config


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
    if parts.autoencoder is None:
        return Denoising(card.diffusion)
    device = next(network.parameters()).device
    autoencoder = parts.autoencoder.network.to(device)
    return LatentDenoising(card.diffusion, autoencoder, card.normalization["latent"])
