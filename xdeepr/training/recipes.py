"""What each ``model=`` of `fit` means: kind of model, network, and what it is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from xdeepr.checks import one_of
from xdeepr.errors import OptionError
from xdeepr.models.card import Kind
from xdeepr.training.losses import LOSSES


@dataclass(frozen=True)
class Recipe:
    """A kind of model, the name of its network, and the loss of a deterministic one."""

    kind: Kind
    network: str
    loss: str = "l2"


RECIPES: dict[str, Recipe] = {
    "ddpm": Recipe("diffusion", "unet2d"),
    "unet": Recipe("diffusion", "unet"),
    "unet2d-condition": Recipe("diffusion", "unet2d-condition"),
    "regression": Recipe("regression", "unet2d"),
    "swin2sr": Recipe("regression", "swin2sr", "three-term"),
    "conv-swin2sr": Recipe("regression", "conv-swin2sr", "three-term"),
    "conv-baseline": Recipe("regression", "conv-baseline", "three-term"),
    "autoencoder": Recipe("autoencoder", "autoencoder-kl"),
    "latent": Recipe("latent", "unet2d"),
}
"""Names for ``fit(model=...)``."""

CLASS_NAMES = {
    "unet2dmodel": "unet2d",
    "unet2dconditionmodel": "unet2d-condition",
    "swin2srforimagesuperresolution": "swin2sr",
    "convswin2sr": "conv-swin2sr",
    "convbaseline": "conv-baseline",
    "convbilinear": "conv-baseline",
    "autoencoderkl": "autoencoder-kl",
    "vqmodel": "vq",
}
"""Class of diffusers, transformers or DeepR, in small letters, without its library -> network."""


def recipe_for(
    model: str, network: Mapping[str, Any] | None, loss: str | None
) -> tuple[Recipe, dict[str, Any]]:
    """Return the recipe that was asked for, and the changes to its network."""
    recipe, changes = RECIPES[one_of("model", model, RECIPES)], dict(network or {})
    name = changes.pop("name", None)
    if name is not None:
        bare = str(name).rpartition(".")[2].lower()
        recipe = replace(recipe, network=CLASS_NAMES.get(bare, str(name)))
    if loss is not None:
        if recipe.kind != "regression":
            raise OptionError(f"loss={loss!r}: {model!r} has a loss of its own; leave it out.")
        recipe = replace(recipe, loss=one_of("loss", loss, LOSSES))
    return recipe, changes
