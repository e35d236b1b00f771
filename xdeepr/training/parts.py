"""The trained models that a new one builds on: the base of a residual, and an autoencoder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr

from xdeepr import cf
from xdeepr.downscaling import downscale
from xdeepr.errors import GridError, OptionError, VariableError
from xdeepr.inputs.missing import Missing
from xdeepr.models.card import Card
from xdeepr.models.downscaler import Downscaler
from xdeepr.models.find import load
from xdeepr.normalization import Affine
from xdeepr.training.alignment import Aligned, XarrayObject, stack_entries
from xdeepr.training.batches import Pairs
from xdeepr.training.objectives import whole_pixels
from xdeepr.training.recipes import Recipe

AnyModel = Downscaler | str | os.PathLike[str]

_LATENT_SAMPLE = 256
"""Times from which mean and deviation of the latent fields are taken."""


@dataclass(frozen=True)
class Parts:
    """The models that a new model builds on.

    Parameters
    ----------
    base : Downscaler, optional
        Deterministic; the new model learns what it leaves.
    autoencoder : Downscaler, optional
        The new model works in its latent space.
    """

    base: Downscaler | None = None
    autoencoder: Downscaler | None = None

    def models(self) -> dict[str, Downscaler]:
        """Return those that there are, by role."""
        return {role: part for role, part in vars(self).items() if part is not None}

    @property
    def scale(self) -> int:
        """HR pixels along the edge of a pixel of the latent space; 1 without one."""
        return 1 if self.autoencoder is None else int(self.autoencoder.network.multiple)  # type: ignore[arg-type]

    def base_field(
        self,
        predictors: XarrayObject,
        aligned: Aligned,
        covariates: xr.Dataset | None,
        missing: Missing = "error",
    ) -> Any:
        """Return the base model's output at the training times, (time, V, y, x), lazily.

        Parameters
        ----------
        predictors : xarray.Dataset or xarray.DataArray
            Coarse data that include these times.
        aligned : Aligned
            The times.
        covariates : xarray.Dataset, optional
            Used if the base model was trained with some.
        missing : str
            How missing predictors are treated.
        """
        if self.base is None:
            return None
        card = self.base.card
        with_covariates = bool(card.covariates or card.varying)
        dim = str(aligned.time.dims[0])
        times = aligned.time.drop_duplicates(dim).values
        out: Any = downscale(
            cf.as_dataset(predictors).sel({dim: times}),
            self.base,
            covariates=covariates if with_covariates else None,
            missing=missing,
        )
        return stack_entries(out, aligned.further, aligned.predictands, role="base").data

    def fit_latent(self, pairs: Pairs, card: Card) -> Affine:
        """Return mean and deviation of the latent fields over the training part."""
        assert self.autoencoder is not None  # the caller looked
        network = self.autoencoder.network
        times = np.unique(np.linspace(0, len(pairs) - 1, _LATENT_SAMPLE).round().astype(int))
        latent = []
        for first in range(0, len(times), 32):
            places = [(int(t), pairs.whole) for t in times[first : first + 32]]
            target = pairs.batch(card, network, places).target
            with torch.inference_mode():
                encoded = network.encode(whole_pixels(target, self.scale))  # type: ignore[operator]
            latent.append(encoded.numpy())
        return Affine.fit(np.concatenate(latent))


def find_parts(
    recipe: Recipe, base: AnyModel | None, autoencoder: AnyModel | None, aligned: Aligned
) -> Parts:
    """Load and check the models that a new one builds on.

    Parameters
    ----------
    recipe : Recipe
        What is to be trained.
    base, autoencoder : Downscaler, path or str, optional
        As the user gave them.
    aligned : Aligned
        The training data.

    Returns
    -------
    Parts

    Raises
    ------
    OptionError
        If a part is missing, or is of another kind than needed.
    GridError, VariableError
        If it was made for other grids or variables.
    """
    if recipe.kind == "latent" and autoencoder is None:
        raise OptionError(
            "model='latent' works in the latent space of an autoencoder: train one with"
            " fit(labels, model='autoencoder') and give it as autoencoder=."
        )
    if recipe.kind != "latent" and autoencoder is not None:
        raise OptionError("autoencoder= goes with model='latent' only: leave it out.")
    found = Parts(
        _part(base, "base", "regression", aligned),
        _part(autoencoder, "autoencoder", "autoencoder", aligned),
    )
    if found.base and recipe.kind not in ("diffusion",):
        raise OptionError("base= goes with diffusion models outside a latent space: leave it out.")
    return found


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
    names = [[f"{q.name} [{q.units}]" for q in c] for c in (card.predictands, aligned.predictands)]
    if names[0] != names[1]:
        raise VariableError(
            f"{role}={card.name!r} makes {', '.join(names[0])}, the labels are"
            f" {', '.join(names[1])}: train both on the same labels."
        )
    return part
