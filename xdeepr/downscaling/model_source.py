"""Find out what ``model=`` is, and whether it suits the data."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.checks import warn, whole_number
from xdeepr.downscaling.graph import Source
from xdeepr.errors import GridError, OptionError, VariableError
from xdeepr.grids import KINDS, Grid, Margin, gridded, relate
from xdeepr.inputs.quantities import Quantity, describe
from xdeepr.models.card import Card
from xdeepr.models.checkpoint import load_card
from xdeepr.models.find import locate
from xdeepr.models.stored_arrays import CARD, load_coordinates
from xdeepr.tiling.interpolation import METHODS


@dataclass(frozen=True)
class Model:
    """What the verb needs to know of a model or an interpolation.

    ``known`` holds HR coordinate values (y, x) to hand on to the bit, from `like` or the training.
    """

    source: Source
    name: str
    predictors: tuple[Quantity, ...]
    predictands: tuple[Quantity, ...]
    factor: int
    margin: Margin
    known: tuple[np.ndarray, np.ndarray]
    card: Card | None = None
    base: Model | None = None

    @property
    def digest(self) -> str:
        """Hash of the checkpoint, empty for interpolation."""
        return self.source.digest

    def hr_grid(self, lr_grid: Grid) -> Grid:
        """Return the HR grid of a domain."""
        margin = self.card.hr_margin if self.card else self.margin
        fine = lr_grid.refine(self.factor).crop(_sum(margin, self._beyond(lr_grid)))
        return fine.snap(self.known)

    def on(self, lr_grid: Grid) -> Model:
        """Return the model with the margin that belongs to the HR grid of a domain."""
        return self._with_margin(self._beyond(lr_grid))

    def _beyond(self, lr_grid: Grid) -> Margin:
        """Return what the ends of the globe change in the margin.

        There is none at its seam. Cells of a row that is centred on a pole reach beyond it: their
        outer halves are left out.
        """
        card = self.card
        margin = card.hr_margin if card else self.margin
        wraps = lr_grid.closed and card is not None and not card.bound and card.shift == (0, 0)
        sides = (-margin[2], -margin[3]) if wraps else (0, 0)
        south, north = lr_grid.refine(self.factor).rows_beyond_poles()
        return max(0, south - margin[0]), max(0, north - margin[1]), *sides

    def _with_margin(self, change: Margin) -> Model:
        """Return the model with another margin, also of what it builds on."""
        base = self.base and self.base._with_margin(change)
        return replace(self, margin=_sum(self.margin, change), base=base)


def _sum(margin: Margin, change: Margin) -> Margin:
    south, north, west, east = (a + b for a, b in zip(margin, change, strict=True))
    return south, north, west, east


def resolve(
    model: Any,
    source: cf.Gridded[Grid],
    *,
    factor: int | None = None,
    like: xr.Dataset | xr.DataArray | None = None,
    device: str | None = None,
) -> Model:
    """Find out what `model`, as given to :func:`xdeepr.downscale`, is."""
    if isinstance(model, str) and model in METHODS:
        return interpolation(model, source, factor=factor, like=like)
    if isinstance(model, str | os.PathLike):
        folder = locate(model)
        card, digest = load_card(folder)
    else:
        from xdeepr.models.cache import store
        from xdeepr.models.downscaler import Downscaler

        if not isinstance(model, Downscaler):
            raise OptionError(
                f"model={model!r}: give a Downscaler, the folder of a checkpoint, or a name."
            )
        folder, digest = store(model)
        card = model.card
    if like is not None:
        raise OptionError("like= is for interpolation only: a trained model knows its own grid.")
    if factor is not None and factor != card.factor:
        raise OptionError(
            f"factor={factor}: the model {card.name!r} was trained for ×{card.factor}. Leave factor"
            " out, or train a model for the other factor."
        )
    if card.kind == "autoencoder":
        raise OptionError(
            f"the model {card.name!r} is an autoencoder, which compresses HR fields and does not"
            " downscale: train a model in its latent space with"
            " fit(labels, model='latent', autoencoder=...)."
        )
    return trained_model(folder, card, digest, device)


def trained_model(folder: Path, card: Card, digest: str, device: str | None) -> Model:
    """Describe a trained model by its checkpoint, with the model it builds on."""
    base = None
    if (folder / "base" / CARD).is_file():
        base = trained_model(folder / "base", *load_card(folder / "base"), device)
    return Model(
        Source(str(folder.resolve()), digest, device or "auto"),
        card.name,
        card.predictors,
        card.predictands,
        card.factor,
        card.margin,
        load_coordinates(folder),
        card,
        base,
    )


def interpolation(
    method: str,
    source: cf.Gridded[Grid],
    *,
    factor: int | None = None,
    like: xr.Dataset | xr.DataArray | None = None,
) -> Model:
    """Describe an interpolation of all fields, by one of `factor` and `like`."""
    if (factor is None) == (like is None):
        raise OptionError(
            f"model={method!r} needs either factor= (HR cells in an LR cell) or like= (an object on"
            " the HR grid)."
        )
    margin: Margin = (0, 0, 0, 0)
    known = (np.empty(0), np.empty(0))
    if like is not None:
        wanted = gridded(like).grid
        factor, margin = relate(source.grid, wanted)
        known = wanted.values()
    whole_number("factor", factor, least=2, most=8)
    if not source.fields:
        raise VariableError(
            "the data hold no variable with both horizontal dimensions: there is nothing to"
            " interpolate. Give a dataset with fields."
        )
    fields = tuple(describe(source.dataset[name]) for name in source.fields)
    return Model(Source(method), method, fields, fields, int(factor or 0), margin, known)


def check_options(model: Model, **options: Any) -> None:
    """Refuse options of ensembles and solvers for a model that gives one field."""
    if model.card is not None and model.card.stochastic:
        return
    kind = f"{model.name!r}, a deterministic model," if model.card else "an interpolation"
    for name, value in options.items():
        if value is not None:
            raise OptionError(
                f"{name}={value!r}: {kind} gives one field and no ensemble. Leave {name} out, or"
                " use a diffusion model."
            )


def check_suits(card: Card, lr_grid: Grid) -> None:
    """Refuse an LR grid of another kind or other cells than the model was trained on."""
    if not isinstance(lr_grid, KINDS[card.grid_kind]):
        raise GridError(
            f"the model {card.name!r} was trained on a {card.grid_kind} grid, the data is on a"
            f" {lr_grid.kind} grid: regrid the data, or train a model for its grid."
        )
    for axis, trained in zip(lr_grid.axes, card.resolution, strict=True):
        if abs(axis.step / trained - 1) > lr_grid.size_tolerance:
            raise GridError(
                f"the model {card.name!r} was trained on LR cells of {trained:g} along"
                f" {axis.name!r}, the data has cells of {axis.step:g}: regrid the data to"
                f" {trained:g}, or train a model for this resolution."
            )


def warn_of_new_months(card: Card, time: xr.DataArray | None) -> None:
    """Warn where the model is asked for a season it was not trained on."""
    trained = card.training.get("months")
    if time is None or not trained:
        return
    new = sorted(set(np.atleast_1d(time.dt.month.values).tolist()) - set(trained))
    if new:
        warn(
            f"the model {card.name!r} was trained on the months {trained}, the data has also"
            f" {new}: do not rely on the result there; train on a period that covers these months."
        )
