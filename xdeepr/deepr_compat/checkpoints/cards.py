"""Parts of a card that all layouts have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xdeepr._version import __version__
from xdeepr.deepr_compat.checkpoints.given import Given
from xdeepr.deepr_compat.checkpoints.layouts import Layout
from xdeepr.deepr_compat.checkpoints.places import Place, Shape
from xdeepr.deepr_compat.checkpoints.scales import Scale, read_scale
from xdeepr.errors import CheckpointError
from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card import Card, Diffusion, Kind
from xdeepr.normalization import Affine


def make_card(
    name: str,
    kind: Kind,
    *,
    place: Place,
    given: Given,
    predictors: tuple[Quantity, ...],
    network: Mapping[str, Any],
    normalization: Mapping[str, Affine],
    **fields: Any,
) -> Card:
    """Return the card of a model of DeepR.

    Parameters
    ----------
    name : str
        Name of the model.
    kind : {"regression", "diffusion"}
        What it does.
    place : Place
        Where it was trained.
    given : Given
        What is known of it.
    predictors : tuple of Quantity
        Predictors, which are the predictands too.
    network : mapping
        Name and configuration.
    normalization : mapping
        As in :class:`~xdeepr.models.card.Card`.
    **fields : Any
        Further fields of the card.
    """
    import torch

    # a card that knows no shift would put the output of a model that has one at the wrong place
    shift = {"shift": place.shift} if any(place.shift) else {}
    return Card(
        name=name,
        kind=kind,
        predictors=predictors,
        predictands=predictors,
        base=tuple(range(len(predictors))),
        factor=place.factor,
        margin=place.margin,
        grid_kind=place.lr.kind,
        resolution=(place.lr.y.step, place.lr.x.step),
        tile=place.hr.shape,
        network=network,
        normalization=normalization,
        training={
            "domain": place.text(),
            "source": given.where,
            **given.facts.training,
        },
        versions={"xdeepr": __version__, "torch": torch.__version__},
        **{"covariates": (), "time_features": {}, "diffusion": Diffusion(), **shift, **fields},
    )


def find_scale(given: Given, layout: Layout, *, lr_shape: Shape, hr_shape: Shape) -> Scale:
    """Return the means and deviations of the training.

    Parameters
    ----------
    given : Given
        What the user gave goes first.
    layout : Layout
        May have the file.
    lr_shape, hr_shape : tuple of int
        Sizes of the domains.

    Raises
    ------
    CheckpointError
        If there are none, or they are damaged.
    """
    source = given.scale if given.scale is not None else layout.scale
    if source is None:
        given.require("scale")
    assert source is not None  # `require` has raised
    return read_scale(source, lr_shape=lr_shape, hr_shape=hr_shape)


def single(predictors: Sequence[Quantity], what: str) -> None:
    """Refuse several predictors where DeepR's files speak of one.

    Raises
    ------
    CheckpointError
        If there are several.
    """
    if len(predictors) != 1:
        raise CheckpointError(
            f"{what} is for one predictor and one predictand, but the network has"
            f" {len(predictors)}: DeepR wrote no scale for several; give normalization='none' and"
            " normalize the data yourself, if that is how it was trained."
        )


def unscaled(channels: int) -> Affine:
    """Return the normalization that changes nothing."""
    return Affine(np.zeros(channels), np.ones(channels))
