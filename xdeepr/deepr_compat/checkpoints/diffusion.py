"""DeepR's diffusion models: a ``UNet2DModel`` that sees the noisy and the interpolated field."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BaseModel, BeforeValidator, Field, create_model

from xdeepr.deepr_compat.checkpoints.cards import find_scale, make_card, single, unscaled
from xdeepr.deepr_compat.checkpoints.given import Given
from xdeepr.deepr_compat.checkpoints.layouts import Layout
from xdeepr.deepr_compat.checkpoints.places import Place, find_place
from xdeepr.deepr_compat.checkpoints.reading import check_size, load_weights, unet_name
from xdeepr.deepr_compat.schedulers import read_diffusion
from xdeepr.deepr_compat.untrusted import Section, validated
from xdeepr.errors import CheckpointError
from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card_checks import MOST_CELLS
from xdeepr.networks.bounded import bounded
from xdeepr.networks.published_unet import PublishedUNet
from xdeepr.normalization import Affine

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler

Cells = Annotated[int, Field(strict=True, ge=1, le=MOST_CELLS)]
Size = Annotated[
    tuple[Cells, Cells],
    BeforeValidator(lambda size: (size, size) if isinstance(size, int) else size),
]
Channels = Annotated[int, Field(strict=True, ge=1, le=256)]
Width = Annotated[int, Field(strict=True, ge=1, le=4096)]


def diffusion_model(layout: Layout, base: Layout | None, given: Given, name: str) -> Downscaler:
    """Return a diffusion model.

    Parameters
    ----------
    layout : Layout
        Its files.
    base : Layout, optional
        The files of the network whose output it was conditioned on.
    given : Given
        What the files do not say.
    name : str
        Name of the model.

    Returns
    -------
    Downscaler

    Raises
    ------
    CheckpointError, OptionError, GridError
        As :func:`xdeepr.deepr_compat.checkpoints.from_deepr`.
    """
    from xdeepr.models.downscaler import Downscaler

    config = checked_config(layout)
    size = config["sample_size"]
    hr_shape = (size, size) if isinstance(size, int) else tuple(size)
    _require(layout, given, config)
    predictors = given.quantities(_conditions(config, layout.file))
    place = find_place(
        hr_shape,
        lr_grid=given.lr_grid,
        hr_grid=given.hr_grid,
        factor=given.factor,
        domain=given.facts.domain,
    )
    scheduler = given.scheduler if given.scheduler is not None else layout.scheduler
    assert scheduler is not None  # `_require` has looked
    hour = given.value("hour") or "none"
    time_features = {} if hour == "none" else {"hour": hour}
    card_config = {**config, "time_labels": time_features}
    parts = {} if base is None else {"base": _base_model(base, layout, given, name)}
    card = make_card(
        name,
        "diffusion",
        place=place,
        given=given,
        predictors=predictors,
        network={"name": "published-unet", "config": card_config},
        normalization=_normalization(layout, given, predictors, place, with_base=bool(parts)),
        diffusion=read_diffusion(scheduler),
        target=given.value("target"),
        channels=("base",) if parts else ("predictors",),
        time_features=time_features,
    )
    network = _network(card_config, layout)
    return Downscaler(card, network, covariate_arrays=_coordinates(place), parts=parts)


class _Config(BaseModel):
    """Sizes of a ``UNet2DModel``; its other keywords are diffusers' business."""

    sample_size: Size
    in_channels: Channels
    out_channels: Channels
    block_out_channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]
    layers_per_block: Annotated[int, Field(strict=True, ge=1, le=16)] = 2
    num_class_embeds: Width | None = None


def checked_config(layout: Layout) -> dict[str, Any]:
    """Return the keywords of the ``UNet2DModel``, checked.

    Raises
    ------
    CheckpointError
        For an unknown key, a missing one, or an absurd size.
    """
    from diffusers import UNet2DModel

    config = {k: v for k, v in layout.config.items() if not k.startswith("_")}
    others: dict[str, Any] = {
        key: (Any, None)
        for key in inspect.signature(UNet2DModel.__init__).parameters
        if key not in ("self", *_Config.model_fields)
    }
    known = create_model("UNet2DModel", __base__=(_Config, Section), **others)
    validated(known, config, layout.file)
    return config


def _require(layout: Layout, given: Given, config: dict[str, Any]) -> None:
    """Ask for everything that is missing at once."""
    names = ["lr_grid", "factor", "predictors", "target", "normalization"]
    if config.get("num_class_embeds") or config.get("class_embed_type"):
        names.append("hour")
    if layout.scheduler is None:
        names.append("scheduler")
    if given.value("normalization") == "scale" and layout.scale is None:
        names.append("scale")
    given.require(*names)


def _conditions(config: dict[str, Any], file: Path) -> int:
    """Return the number of condition channels, one for each predictand."""
    inputs, outputs = config["in_channels"], config["out_channels"]
    if inputs != 2 * outputs:
        raise CheckpointError(
            f"{file}: in_channels is {inputs} and out_channels is {outputs}: DeepR's diffusion"
            " models see each noisy field beside its coarse version, and nothing else, so there"
            " must be twice as many inputs."
        )
    return int(outputs)


def _base_model(base: Layout, layout: Layout, given: Given, name: str) -> Downscaler:
    """Return the network whose output takes the place of the interpolated predictors."""
    from xdeepr.deepr_compat.checkpoints.regression import regression_model

    if given.value("normalization") == "instance":
        raise CheckpointError(
            f"{given.where}: a diffusion model on the output of {base.kind} with"
            " normalization='instance' is not read: its numbers were made with the mean and"
            " deviation of this output. xdeepr reads 'scale' and 'none' here."
        )
    found = base if base.scale is not None else replace(base, scale=layout.scale)
    return regression_model(found, given, f"{name}-base")


def _normalization(
    layout: Layout,
    given: Given,
    predictors: tuple[Quantity, ...],
    place: Place,
    *,
    with_base: bool,
) -> dict[str, Affine]:
    """Return how the numbers were made that the network sees and draws."""
    count, scaling = len(predictors), given.value("normalization")
    if scaling == "instance":
        return {
            "predictors": Affine.instance(count),
            "target": Affine.instance(count),
            "covariates": unscaled(0),
        }
    if scaling == "none":
        found = {"predictors": unscaled(count), "target": unscaled(count)}
        return {**found, "base": unscaled(count), "covariates": unscaled(0)}
    single(predictors, "normalization='scale'")
    scale = find_scale(given, layout, lr_shape=place.lr.shape, hr_shape=place.hr.shape)
    target = scale.label
    if given.value("target") == "residual":
        if not with_base:
            raise CheckpointError(
                f"{given.where}: target='residual' with normalization='scale' is not read: DeepR"
                " subtracted a predictor scaled in one way from a predictand scaled in another."
                " xdeepr reads 'residual' with 'instance' or 'none', or with a base_model=."
            )
        target = Affine(target.mean * 0, target.std, target.method)
    return {
        "predictors": scale.features,
        "base": scale.label,
        "target": target,
        "covariates": unscaled(0),
    }


def _network(config: dict[str, Any], layout: Layout) -> PublishedUNet:
    """Return the network with its weights."""
    try:
        # an absurd configuration costs no memory, and little time
        size = layout.weights.stat().st_size
        with torch.device("meta"), bounded(tensors=size // 32, numbers=size // 2):
            check_size(layout.weights, PublishedUNet(**config).state_dict())
        network = PublishedUNet(**config)
    except CheckpointError:
        raise
    except Exception as error:  # diffusers refuses configurations with errors of many kinds
        raise CheckpointError(
            f"{layout.file}: diffusers cannot build a UNet2DModel from it ({error}): the file is"
            " damaged, or needs another version of diffusers."
        ) from None
    load_weights(network, layout.weights, rename=unet_name)
    return network


def _coordinates(place: Place) -> dict[str, Any]:
    """Return what a checkpoint keeps of the domain; there are no covariates."""
    import numpy as np

    blank = np.zeros((0, *place.hr.shape), dtype=np.float32)
    return {"values": blank, **place.coordinates()}
