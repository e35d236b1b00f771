"""What the cards of all layouts have in common: grids of the training, means and deviations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from pydantic import Field

from xdeepr._version import __version__
from xdeepr.deepr_compat.checkpoints.description import Description, Span
from xdeepr.deepr_compat.checkpoints.layouts import Layout
from xdeepr.deepr_compat.untrusted import Section, read_json, validated
from xdeepr.errors import CheckpointError, GridError, OptionError
from xdeepr.grids import Grid, Margin, grid_of, relate
from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card import Card, Diffusion, Kind
from xdeepr.normalization import Affine

Shape = tuple[int, int]


@dataclass(frozen=True)
class TrainingGrids:
    """The grids of the training, and the place of the one in the other, in HR cells.

    DeepR cut `margin` off the interpolated LR domain, as many cells on both sides. The HR domain
    lies `shift` cells farther north and east than what is left: DeepR did not look at coordinates,
    and in the Mediterranean domain its HR fields lie 0.1° north of the middle of the LR fields. The
    network learnt that; its output has to be put there.
    """

    factor: int
    margin: Margin
    shift: tuple[int, int]
    lr: Grid
    hr: Grid

    def coordinates(self) -> dict[str, np.ndarray]:
        """Return the HR coordinates "y" and "x", ascending."""
        pairs = zip("yx", self.hr.values(), strict=True)
        return {key: np.asarray(values, dtype=np.float64) for key, values in pairs}

    def text(self) -> str:
        """Return the HR domain for people."""
        first = ("latitude", "longitude") if self.hr.geographic else ("y", "x")
        return ", ".join(
            f"{name} {values[0]:g} to {values[-1]:g}"
            for name, values in zip(first, self.coordinates().values(), strict=True)
        )


def training_grids(
    given: Description, hr_shape: Shape, *, factor: int | None = None, lr_shape: Shape | None = None
) -> TrainingGrids:
    """Return the grids of the training, in these sizes: those of the user, or those published."""
    lr_grid, hr_grid, domain = given.lr_grid, given.hr_grid, given.facts.domain
    if lr_grid is None:
        assert domain is not None  # the caller has asked for what is missing
        lr_grid, hr_grid = _empty(domain.lr), _empty(domain.hr)
    lr = grid_of(lr_grid)
    hr = grid_of(hr_grid) if hr_grid is not None else None
    _check_shape("lr_grid", lr.shape, lr_shape)
    nested: Margin | None = None
    if hr is not None:
        _check_shape("hr_grid", hr.shape, hr_shape)
        measured, nested = relate(lr, hr)
        if factor not in (None, measured):
            raise OptionError(
                f"factor={factor}: an LR cell of lr_grid holds {measured} cells of hr_grid along"
                " each axis. Give the grids that the model was trained on, or leave factor out."
            )
        factor = measured
    assert factor is not None  # the caller has asked for what is missing
    cut = [_cut(n * factor, m) for n, m in zip(lr.shape, hr_shape, strict=True)]
    margin = (cut[0], cut[0], cut[1], cut[1])
    if hr is None or nested is None:
        return TrainingGrids(factor, margin, (0, 0), lr, lr.refine(factor).crop(margin))
    return TrainingGrids(factor, margin, (nested[0] - cut[0], nested[2] - cut[1]), lr, hr)


def _cut(fine: int, kept: int) -> int:
    """Return the HR cells that DeepR cut off on each side."""
    cut, odd = divmod(fine - kept, 2)
    if cut < 0 or odd:
        raise GridError(
            f"the interpolated LR domain has {fine} HR cells, the model's fields have {kept}: DeepR"
            " cut the same number off on both sides, which cannot be. Give the lr_grid= and the"
            " factor= of the training."
        )
    return cut


def _check_shape(option: str, shape: Shape, wanted: Shape | None) -> None:
    if wanted is not None and shape != wanted:
        raise GridError(
            f"{option} has {shape[0]} × {shape[1]} cells, the model was trained on {wanted[0]} ×"
            f" {wanted[1]}: give an object on exactly the domain of the training."
        )


def _empty(spans: tuple[Span, Span]) -> xr.Dataset:
    """Return a dataset of coordinates alone, with latitudes as DeepR's files have them."""
    y, x = (span.values() for span in spans)
    latitude = ("latitude", y[::-1], {"units": "degrees_north", "standard_name": "latitude"})
    longitude = ("longitude", x, {"units": "degrees_east", "standard_name": "longitude"})
    return xr.Dataset(coords={"latitude": latitude, "longitude": longitude})


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


class _Part(Section):
    """Means and deviations of predictors or target."""

    method: Literal["domain-wise", "pixel-wise", "landmask-wise"]
    period: Literal["monthly"] = Field(alias="time-agg")
    average: Any
    standard_deviation: Any


class _File(Section):
    """The whole file."""

    features: _Part
    label: _Part


class Scale(NamedTuple):
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
    lr_shape: Shape,
    hr_shape: Shape,
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


def _normalization(part: _Part, where: str, shape: Shape) -> Affine:
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


def _array(value: Any, where: str, shape: Shape) -> np.ndarray:
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
