"""Parts of a card that all layouts have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xdeepr._version import __version__
from xdeepr.deepr_compat.checkpoints.description import Description
from xdeepr.deepr_compat.checkpoints.domains import TrainingGrids
from xdeepr.deepr_compat.checkpoints.layouts import Layout
from xdeepr.deepr_compat.checkpoints.scales import Scale, read_scale
from xdeepr.errors import CheckpointError
from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card import Card, Diffusion, Kind
from xdeepr.normalization import Affine


def make_card(
    name: str,
    kind: Kind,
    *,
    grids: TrainingGrids,
    given: Description,
    predictors: tuple[Quantity, ...],
    network: Mapping[str, Any],
    normalization: Mapping[str, Affine],
    **fields: Any,
) -> Card:
    """Return the card of a model of DeepR; `fields` are further ones of the card."""
    import torch

    # a card that knows no shift would put the output of a model that has one at the wrong place
    shift = {"shift": grids.shift} if any(grids.shift) else {}
    return Card(
        name=name,
        kind=kind,
        predictors=predictors,
        predictands=predictors,
        base=tuple(range(len(predictors))),
        factor=grids.factor,
        margin=grids.margin,
        grid_kind=grids.lr.kind,
        resolution=(grids.lr.y.step, grids.lr.x.step),
        tile=grids.hr.shape,
        network=network,
        normalization=normalization,
        training={
            "domain": grids.text(),
            "source": given.where,
            **given.facts.training,
        },
        versions={"xdeepr": __version__, "torch": torch.__version__},
        **{"covariates": (), "time_features": {}, "diffusion": Diffusion(), **shift, **fields},
    )


def find_scale(
    given: Description, layout: Layout, predictors: tuple[Quantity, ...], grids: TrainingGrids
) -> Scale:
    """Return the means and deviations of the training: those given, else the folder's.

    Raises
    ------
    CheckpointError
        If there are none, or they are damaged, or the network has several predictors.
    """
    if len(predictors) != 1:
        raise CheckpointError(
            "a training_scale.json is for one predictor and one predictand, but the network has"
            f" {len(predictors)}: DeepR wrote no scale for several; give normalization='none' and"
            " normalize the data yourself, if that is how it was trained."
        )
    source = given.scale if given.scale is not None else layout.scale
    if source is None:
        given.require("scale")
    assert source is not None  # `require` has raised
    return read_scale(source, lr_shape=grids.lr.shape, hr_shape=grids.hr.shape)


def unscaled(channels: int) -> Affine:
    """Return the normalization that changes nothing."""
    return Affine(np.zeros(channels), np.ones(channels))
