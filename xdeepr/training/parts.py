"""The trained models that a new one builds on: the base of a residual, and an autoencoder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from xdeepr.downscaling import downscaled
from xdeepr.downscaling.model_source import resolve
from xdeepr.errors import GridError, OptionError, VariableError
from xdeepr.models.downscaler import Downscaler
from xdeepr.models.find import load
from xdeepr.training.alignment import Aligned, listed, stack_entries
from xdeepr.training.holding_out import Period
from xdeepr.training.recipes import Recipe

AnyModel = Downscaler | str | os.PathLike[str]


@dataclass(frozen=True)
class Parts:
    """The models that a new one builds on: the base of its residual, or an autoencoder."""

    base: Downscaler | None = None
    autoencoder: Downscaler | None = None

    def models(self) -> dict[str, Downscaler]:
        """Return those that there are, by role."""
        return {role: part for role, part in vars(self).items() if part is not None}

    @property
    def scale(self) -> int:
        """HR pixels along the edge of a pixel of the latent space; 1 without one."""
        return 1 if self.autoencoder is None else int(self.autoencoder.network.multiple)  # type: ignore[arg-type]

    def base_field(self, period: Period, gaps: bool) -> Any:
        """Return the base model's output over a period, (time, V, y, x), lazily.

        With `gaps`, predictors may be missing and are filled.
        """
        if self.base is None:
            return None
        card, whole = self.base.card, period.aligned.source
        time = period.aligned.time
        times = time.drop_duplicates(time.dims[0]).values
        source = whole.with_dataset(whole.dataset.sel({whole.axes.time: times}))
        out = downscaled(
            source,
            resolve(self.base, source),
            covariates=period.covariates if card.covariates or card.varying else None,
            missing="fill" if gaps else "error",
        )
        return stack_entries(out, whole.further, period.aligned.predictands, role="base").data


def find_parts(
    recipe: Recipe, base: AnyModel | None, autoencoder: AnyModel | None, aligned: Aligned
) -> Parts:
    """Load the models that a new one builds on, and compare them with the training data."""
    if recipe.kind == "latent" and autoencoder is None:
        raise OptionError(
            "model='latent' works in the latent space of an autoencoder: train one with"
            " fit(labels, model='autoencoder') and give it as autoencoder=."
        )
    if recipe.kind != "latent" and autoencoder is not None:
        raise OptionError("autoencoder= goes with model='latent' only: leave it out.")
    parts = Parts(
        _part(base, "base", "regression", aligned),
        _part(autoencoder, "autoencoder", "autoencoder", aligned),
    )
    if parts.base and recipe.kind != "diffusion":
        raise OptionError("base= goes with diffusion models outside a latent space: leave it out.")
    return parts


def _part(model: AnyModel | None, role: str, kind: str, aligned: Aligned) -> Downscaler | None:
    """Load one part and compare it with the data."""
    if model is None:
        return None
    part = model if isinstance(model, Downscaler) else load(model)
    card = part.card
    if card.kind != kind:
        raise OptionError(
            f"{role}={card.name!r} is a {card.kind} model; a {kind} model is needed there."
        )
    if (card.factor, card.margin) != (aligned.factor, aligned.margin):
        raise GridError(
            f"{role}={card.name!r} was trained for ×{card.factor} with margins {card.margin}, the"
            f" data are ×{aligned.factor} with margins {aligned.margin}: train both on the same"
            " grids."
        )
    makes, wanted = listed(card.predictands), listed(aligned.predictands)
    if makes != wanted:
        raise VariableError(
            f"{role}={card.name!r} makes {makes}, the labels are {wanted}: train both on the same"
            " labels."
        )
    return part
