"""DeepR's diffusion models: a ``UNet2DModel`` that sees the noisy and the interpolated field."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, Field, create_model

from xdeepr.checks import warn
from xdeepr.deepr_compat.checkpoints import cards
from xdeepr.deepr_compat.checkpoints.description import Description
from xdeepr.deepr_compat.checkpoints.layouts import Layout
from xdeepr.deepr_compat.checkpoints.weights import build, unet_name
from xdeepr.deepr_compat.schedulers import read_diffusion
from xdeepr.deepr_compat.untrusted import Section, validated
from xdeepr.errors import CheckpointError
from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card import Diffusion
from xdeepr.models.card_checks import MOST_CELLS
from xdeepr.networks.published_unet import PublishedUNet
from xdeepr.normalization import Affine
from xdeepr.sampling.diffusers_table import SOLVERS

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler

Cells = Annotated[int, Field(strict=True, ge=1, le=MOST_CELLS)]
Size = Annotated[
    tuple[Cells, Cells],
    BeforeValidator(lambda size: (size, size) if isinstance(size, int) else size),
]
Channels = Annotated[int, Field(strict=True, ge=1, le=256)]
Width = Annotated[int, Field(strict=True, ge=1, le=4096)]


class UNetConfig(BaseModel):
    """Sizes of a ``UNet2DModel``; its other keywords are diffusers' business."""

    sample_size: Size
    in_channels: Channels
    out_channels: Channels
    block_out_channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]
    layers_per_block: Annotated[int, Field(strict=True, ge=1, le=16)] = 2
    num_class_embeds: Width | None = None
    class_embed_type: str | None = None


def diffusion_model(
    layout: Layout, base: Layout | None, given: Description, name: str
) -> Downscaler:
    """Return a diffusion model; `base` is the network whose output it was conditioned on."""
    from xdeepr.models.downscaler import Downscaler

    keywords = {k: v for k, v in layout.config.items() if not k.startswith("_")}
    config = _checked(keywords, layout)
    _require(layout, given, config)
    predictors = given.quantities(config.out_channels)
    grids = cards.training_grids(given, config.sample_size, factor=given.factor)
    hour = given.value("hour") or "none"
    time_features = {} if hour == "none" else {"hour": hour}
    card_config = {**keywords, "time_labels": time_features}
    parts = {} if base is None else {"base": _base_model(base, layout, given, name)}
    diffusion = read_diffusion(given.scheduler or layout.scheduler or {})
    _warn_of_options(diffusion, given)
    card = cards.make_card(
        name,
        "diffusion",
        grids=grids,
        given=given,
        predictors=predictors,
        network={"name": "published-unet", "config": card_config},
        normalization=_normalization(layout, given, predictors, grids, with_base=bool(parts)),
        diffusion=diffusion,
        target=given.value("target"),
        channels=("base",) if parts else ("predictors",),
        time_features=time_features,
    )
    network = build(lambda: PublishedUNet(**card_config), layout, rename=unet_name)
    blank = np.zeros((0, *grids.hr.shape), dtype=np.float32)  # there are no covariates
    arrays = {"values": blank, **grids.coordinates()}
    return Downscaler(card, network, covariate_arrays=arrays, parts=parts)


def _checked(keywords: dict[str, Any], layout: Layout) -> UNetConfig:
    """Return the sizes of the U-Net, once no key is unknown and no number absurd."""
    from diffusers import UNet2DModel

    known = set(inspect.signature(UNet2DModel.__init__).parameters) - {"self"}
    others: dict[str, Any] = {key: (Any, None) for key in known - set(UNetConfig.model_fields)}
    kind: Any = create_model("UNet2DModel", __base__=(UNetConfig, Section), **others)
    config: UNetConfig = validated(kind, keywords, layout.file)
    if config.in_channels != 2 * config.out_channels:
        raise CheckpointError(
            f"{layout.file}: in_channels is {config.in_channels} and out_channels is"
            f" {config.out_channels}: DeepR's diffusion models see each noisy field beside its"
            " coarse version, and nothing else, so there must be twice as many inputs."
        )
    return config


def _require(layout: Layout, given: Description, config: UNetConfig) -> None:
    """Ask for everything that is missing at once."""
    names = ["lr_grid", "factor", "predictors", "target", "normalization"]
    if config.num_class_embeds or config.class_embed_type:
        names.append("hour")
    if layout.scheduler is None:
        names.append("scheduler")
    if given.value("normalization") == "scale" and layout.scale is None:
        names.append("scale")
    given.require(*names)


def _warn_of_options(diffusion: Diffusion, given: Description) -> None:
    """Say where the folder's scheduler cuts fields off, or may not be the one of the training."""
    name, options = diffusion.sampler, diffusion.sampler_options
    limits = {"clip_sample": "clip_sample_range", "thresholding": "sample_max_value"}
    for option, most in limits.items():
        if options.get(option):  # normalized fields go beyond one deviation
            warn(
                f"{given.where}: the folder's {name} has {option}=True, which cuts fields off at"
                f" {options.get(most, 1.0):g} deviations at every step, as in DeepR. To draw"
                f" without, give downscale sampler={{'name': {name!r}, {option!r}: False}}."
            )
    if SOLVERS[name].form == "exploding":
        warn(
            f"{given.where}: its scheduler is {name}. If DeepR trained the network with it, its"
            " fields come out far too rough here, as they do in DeepR: its training does not scale"
            " the noisy field as sampling does. Train with another scheduler, such as"
            " DDPMScheduler. A network that was trained so draws well with this one too."
        )


def _base_model(base: Layout, layout: Layout, given: Description, name: str) -> Downscaler:
    """Return the network whose output takes the place of the interpolated predictors."""
    from xdeepr.deepr_compat.checkpoints.regression import regression_model

    if given.value("normalization") == "instance":
        raise CheckpointError(
            f"{given.where}: a diffusion model on the output of {base.kind} with"
            " normalization='instance' is not read: its numbers were made with the mean and"
            " deviation of this output. xdeepr reads 'scale' and 'none' here."
        )
    scaled = base if base.scale is not None else replace(base, scale=layout.scale)
    return regression_model(scaled, given, f"{name}-base")


def _normalization(
    layout: Layout,
    given: Description,
    predictors: tuple[Quantity, ...],
    grids: cards.TrainingGrids,
    *,
    with_base: bool,
) -> dict[str, Affine]:
    """Return how the numbers were made that the network sees and draws."""
    count, scaling = len(predictors), given.value("normalization")
    none = {"covariates": cards.unscaled(0)}
    if scaling == "instance":
        return {role: Affine.instance(count) for role in ("predictors", "target")} | none
    if scaling == "none":
        return {role: cards.unscaled(count) for role in ("predictors", "target", "base")} | none
    scale = cards.find_scale(given, layout, predictors, grids)
    target = scale.label
    if given.value("target") == "residual":
        if not with_base:
            raise CheckpointError(
                f"{given.where}: target='residual' with normalization='scale' is not read: DeepR"
                " subtracted a predictor scaled in one way from a predictand scaled in another."
                " xdeepr reads 'residual' with 'instance' or 'none', or with a base_model=."
            )
        target = Affine(target.mean * 0, target.std, target.method)
    return {"predictors": scale.features, "base": scale.label, "target": target} | none
