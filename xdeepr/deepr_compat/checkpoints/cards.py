"""What the cards of all layouts have in common, and DeepR's ``training_scale.json``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from xdeepr._version import __version__
from xdeepr.deepr_compat.checkpoints.description import Description
from xdeepr.deepr_compat.checkpoints.domains import TrainingGrids
from xdeepr.deepr_compat.checkpoints.layouts import Layout
from xdeepr.deepr_compat.untrusted import Section, read_json, validated
from xdeepr.errors import CheckpointError, OptionError
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
        training={"domain": grids.text(), "source": given.where, **given.facts.training},
        versions={"xdeepr": __version__, "torch": torch.__version__},
        **{"covariates": (), "time_features": {}, "diffusion": Diffusion(), **shift, **fields},
    )


def unscaled(channels: int) -> Affine:
    """Return the normalization that changes nothing."""
    return Affine(np.zeros(channels), np.ones(channels))


# --- means and deviations ------------------------------------------------------------------


Method = Literal["domain-wise", "pixel-wise", "landmask-wise"]
"""Which cells share a mean and a deviation, as DeepR called it."""


class _Part(Section):
    """Means and deviations of predictors or target."""

    method: Method
    period: Literal["monthly"] = Field(alias="time-agg")
    average: Any
    standard_deviation: Any


class _File(Section):
    """The whole file."""

    features: _Part
    label: _Part


@dataclass(frozen=True)
class Scale:
    """How the one predictor and the one predictand were normalized."""

    features: Affine
    label: Affine


def find_scale(
    given: Description, layout: Layout, predictors: tuple[Quantity, ...], grids: TrainingGrids
) -> Scale:
    """Return the means and deviations of the training: those given, else the folder's."""
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


def read_scale(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    lr_shape: tuple[int, int],
    hr_shape: tuple[int, int],
) -> Scale:
    """Read a scale from the file, or from what it holds; the rows of the result ascend.

    Means and deviations are a number, 12 numbers (January first), or the same for each grid cell:
    shape (y, x) or (12, y, x) of the domain, with the northernmost row first.
    """
    if isinstance(source, Mapping):
        data, where = source, "scale="
    else:
        data, where = read_json(Path(source)), str(source)
    file = validated(_File, data, where)
    return Scale(
        _normalization(file.features, f"{where}: features", lr_shape),
        _normalization(file.label, f"{where}: label", hr_shape),
    )


def _normalization(part: _Part, where: str, shape: tuple[int, int]) -> Affine:
    """Return the normalization of one part of the file."""
    mean = _array(part.average, f"{where}.average", shape)
    std = _array(part.standard_deviation, f"{where}.standard_deviation", shape)
    if mean.shape != std.shape:
        raise CheckpointError(
            f"{where}: average and standard_deviation have the shapes {mean.shape} and"
            f" {std.shape}: they need the same."
        )
    by_cell = mean.shape[2] > 1 or mean.shape[3] > 1
    try:
        return Affine(mean, std, part.method if by_cell else "domain-wise")
    except OptionError as error:
        raise CheckpointError(f"{where}: {error}") from None


def _array(value: Any, where: str, shape: tuple[int, int]) -> np.ndarray:
    """Return numbers as (months, 1, y, x) with ascending rows."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{where} is not made of numbers ({error}).") from None
    if array.shape in ((), (1,), (12,)):
        return array.reshape(-1, 1, 1, 1)
    if array.shape in (shape, (12, *shape)):
        cells = array.reshape(-1, 1, *shape)
        return np.ascontiguousarray(cells[..., ::-1, :])
    raise CheckpointError(
        f"{where} has the shape {array.shape}: one number, 12 for the months, or the same"
        f" for each of {shape[0]} × {shape[1]} grid cells are needed."
    )
