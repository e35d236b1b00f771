"""Networks of DeepR by class name: their keywords here, and what they say of the data."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, log2
from typing import Any, NamedTuple

import xarray as xr

from xdeepr import cf
from xdeepr.checks import nearest
from xdeepr.deepr_compat.configuration.schema import NetworkConfiguration
from xdeepr.deepr_compat.configuration.section import note
from xdeepr.errors import OptionError
from xdeepr.grids import grid_of, relate

FROM_DATA = frozenset(
    {"in_channels", "out_channels", "image_channels", "num_channels", "num_channels_out"}
    | {"sample_size", "image_size", "input_shape", "upscale", "real_upscale"}
    | {"num_high_res_covars", "num_low_res_covars"}
)
"""Keywords that follow from the data here, and are compared with them."""

INTERPOLATION = "bicubic"
"""The interpolation whose residual is learnt."""

LABEL_KEYWORDS = ("num_class_embeds", "class_embed_type")
"""Keywords of diffusers that choose the embedding of the hour."""


@dataclass(frozen=True)
class Architecture:
    """A class of network that a configuration may name, for some types of training.

    `model` is the one of :func:`xdeepr.fit`, `network` a key of :data:`xdeepr.networks.NETWORKS`.
    A network of `any_size` is a U-Net, which also embeds numbers such as the hour.
    """

    spelling: str
    model: str
    network: str
    types: tuple[str, ...]
    without_effect: Mapping[str, str] = field(default_factory=dict)
    any_size: bool = False


_CONDITION_NOTES = {
    "addition_embed_type": "the hour enters as hour_embed_type says",
    "encoder_hid_dim": "the width of the tokens follows from cross_attention_dim",
}
_BILINEAR_NOTES = {
    key: "ConvBilinear is built as ConvBaseline; set upblock_channels and upblock_kernel_size"
    for key in (
        *("num_layers", "hidden_kernel", "hidden_ch"),
        *("conv_channels", "conv_kernel_size", "conv_stride", "conv_padding"),
    )
}
_SWIN_NOTES = {
    "use_absolute_embeddings": "places are embedded relative to each other",
    "initializer_range": "fresh weights are drawn as transformers does it",
}
_UNET_NOTES = {
    "conditioned_on_input": "the condition channels follow from the data",
    "flip_sin_to_cos": "the noise level is embedded as xdeepr does it",
    "freq_shift": "the noise level is embedded as xdeepr does it",
}
_DRAWS, _MAPS, _COMPRESSES = ("diffusion", "latent"), ("end2end",), ("autoencoder",)
_SWIN2SR = ("swin2sr", "swin2sr", _MAPS, _SWIN_NOTES)

_ALL = (
    Architecture("UNet", "unet", "unet", _DRAWS, _UNET_NOTES, True),
    Architecture("diffusers.UNet2DModel", "ddpm", "unet2d", (*_DRAWS, *_MAPS), {}, True),
    Architecture(
        "diffusers.UNet2DConditionModel",
        *("unet2d-condition", "unet2d-condition", _DRAWS, _CONDITION_NOTES, True),
    ),
    Architecture("ConvSwin2SR", "conv-swin2sr", "conv-swin2sr", _MAPS, _SWIN_NOTES),
    Architecture("Swin2SR", *_SWIN2SR),
    Architecture("transformers.Swin2SRForImageSuperResolution", *_SWIN2SR),
    Architecture("ConvBaseline", "conv-baseline", "conv-baseline", _MAPS),
    Architecture("ConvBilinear", "conv-baseline", "conv-baseline", _MAPS, _BILINEAR_NOTES),
    Architecture("diffusers.VQModel", "autoencoder", "vq", _COMPRESSES, {}, True),
    Architecture("diffusers.AutoencoderKL", "autoencoder", "autoencoder-kl", _COMPRESSES, {}, True),
)

ARCHITECTURES = {known.spelling.split(".")[-1].lower(): known for known in _ALL}
"""Class name in small letters, without its library -> what it is here."""


def architecture_of(class_name: str, kind: str, path: str) -> Architecture:
    """Return the architecture of a class name, with or without its library, for a type."""
    bare = class_name.split(".")[-1].lower()
    if bare not in ARCHITECTURES:
        near = nearest(class_name, [known.spelling for known in _ALL], count=2)
        raise OptionError(f"{path}: {class_name!r} is not known. Nearest: {', '.join(near)}")
    architecture = ARCHITECTURES[bare]
    if kind not in architecture.types:
        fitting = [known.spelling for known in _ALL if kind in known.types]
        raise OptionError(
            f"{path}: {class_name!r} is not for the type {kind!r}, but {', '.join(fitting)}"
        )
    return architecture


class Translated(NamedTuple):
    """A network's part of a configuration: its keywords here, and what they say of other things.

    It stands at `path`. `stated` are channels and sizes, to be compared with the data; `labels`
    choose the embedding of the hour; `interpolation` is the one that the network adds to, if it is
    another than xdeepr's.
    """

    architecture: Architecture
    network: Mapping[str, Any]
    stated: Mapping[str, Any]
    labels: Mapping[str, Any]
    interpolation: str | None
    path: str


def translate(network: NetworkConfiguration, kind: str, path: str) -> Translated:
    """Translate class name and keywords, all of them known; notes name those without effect."""
    architecture = architecture_of(network.class_name, kind, f"{path}.class_name")
    keywords = dict(network.kwargs)
    if isinstance(keywords.get("img_range"), int):
        keywords["img_range"] = float(keywords["img_range"])  # transformers takes no whole number
    stated = {key: keywords.pop(key) for key in list(keywords) if key in FROM_DATA}
    labels = {key: keywords.pop(key) for key in LABEL_KEYWORDS if key in keywords}
    interpolation = keywords.pop("interpolation_method", None)
    if interpolation not in (None, INTERPOLATION):
        keywords["interpolation"] = interpolation
    for key, reason in architecture.without_effect.items():
        if key in keywords:
            del keywords[key]
            note(f"{path}.kwargs.{key} has no counterpart: {reason}")
    ours = network_keywords(architecture.network)
    known = [*ours, *FROM_DATA, *LABEL_KEYWORDS, *architecture.without_effect]
    for key in keywords:
        if key not in ours:
            near = nearest(key, [*known, "interpolation_method"], count=1)[0]
            raise OptionError(
                f"{path}.kwargs.{key}: unknown keyword of {network.class_name}. Nearest: {near}"
                f" (known: {', '.join(sorted(ours))})"
            )
    named = {"name": architecture.network, **keywords}
    return Translated(architecture, named, stated, labels, keywords.get("interpolation"), path)


def network_keywords(name: str) -> tuple[str, ...]:
    """Return the keywords of the constructor of a network that may be chosen."""
    from xdeepr.networks import network_class

    signature = inspect.signature(network_class(name).__init__)
    fixed = {"self", "in_channels", "out_channels", "channels", "factor", "context", "lr_shape"}
    fixed |= {"covariate_channels", "lr_channels", "time_labels", "label_scale"} | FROM_DATA
    return tuple(name for name in signature.parameters if name not in fixed)


# --- agreement with the data --------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """One call of `fit`: its keywords, all of them plain data, and what has to suit its data.

    `stated` are channels and sizes that stand at `path`; `statics` are named as in `add_auxiliary`.
    """

    options: Mapping[str, Any]
    stated: Mapping[str, Any]
    path: str
    statics: tuple[str, ...] = ()
    any_size: bool = False


class Shapes(NamedTuple):
    """Channels of the data, HR cells in an LR cell, and cells of the domains along y and x."""

    features: int
    labels: int
    statics: int
    time_channels: int
    factor: int
    lr: tuple[int, int]
    hr: tuple[int, int]

    def __str__(self) -> str:
        return (
            f"{self.features} coarse and {self.labels} fine field(s), {self.statics} static,"
            f" {self.time_channels} of the time; {_text(self.lr)} coarse and {_text(self.hr)} fine"
            f" cells, factor {self.factor}"
        )


def shapes_of(lr: xr.Dataset, hr: xr.Dataset, stage: Stage) -> Shapes:
    """Return channels and sizes of the fields and labels of a stage."""
    lr_grid, hr_grid = grid_of(lr), grid_of(hr)
    encodings = list(stage.options.get("time_features", {}).values())
    return Shapes(
        len(cf.spatial_variables(lr, cf.find_axes(lr))),
        len(stage.options["variables"]),
        len(stage.statics),
        2 * encodings.count("cyclical") + encodings.count("field"),
        relate(lr_grid, hr_grid)[0],
        lr_grid.shape,
        hr_grid.shape,
    )


def check_agreement(stage: Stage, shapes: Shapes, latent_channels: int | None = None) -> None:
    """Refuse a configuration that contradicts its data.

    Channels may be counted as DeepR does, fields alone, or with all that xdeepr puts beside them.
    A network that takes any size may state another one, with a note.
    """
    allowed = _allowed(stage, shapes, latent_channels)
    for key, value in stage.stated.items():
        stated = tuple(value) if isinstance(value, list) else value
        fitting = allowed[key]
        if key == "upscale" and stage.stated.get("real_upscale") == shapes.factor:
            fitting = {shapes.factor, 2 ** ceil(log2(shapes.factor))}
        if stated in fitting:
            continue
        path = f"{stage.path}.kwargs.{key}"
        right = " or ".join(map(_text, sorted(fitting, key=str)))
        if key == "sample_size" and stage.any_size:
            note(
                f"{path} is {_text(stated)}, the data have {right}: it has no effect, because this"
                " network takes any size"
            )
            continue
        raise OptionError(
            f"{path} is {_text(stated)}, but the data make it {right} ({shapes}): leave {key} out,"
            " it follows from the data."
        )


def _allowed(stage: Stage, shapes: Shapes, latent_channels: int | None) -> dict[str, set[Any]]:
    """Return the values that each key may have."""
    drawn = shapes.labels if latent_channels is None else latent_channels
    conditions = {shapes.features, shapes.features + shapes.statics + shapes.time_channels}
    model = stage.options["model"]
    if model == "autoencoder":
        conditions = {shapes.labels}
    elif model in ("ddpm", "unet", "unet2d-condition", "latent"):
        conditions = {drawn + channels for channels in conditions}
    window = stage.options.get("window", shapes.hr)
    coarse = (shapes.hr[0] // shapes.factor, shapes.hr[1] // shapes.factor)
    return {
        "in_channels": conditions,
        "out_channels": {drawn},
        "image_channels": {drawn},
        "num_channels": {shapes.features, shapes.labels},
        "num_channels_out": {shapes.labels},
        "sample_size": {tuple(window), *_spellings(shapes.hr)},
        "image_size": _spellings(coarse),
        "input_shape": {shapes.lr},
        "upscale": {shapes.factor},
        "real_upscale": {shapes.factor},
        "num_high_res_covars": {shapes.statics},
        "num_low_res_covars": {0},
    }


def _spellings(size: tuple[int, int]) -> set[Any]:
    """Return a size, and its edge if it is a square."""
    return {size, size[0]} if size[0] == size[1] else {size}


def _text(value: Any) -> str:
    return " × ".join(map(str, value)) if isinstance(value, tuple) else str(value)
