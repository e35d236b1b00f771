"""Networks of DeepR by class name, and their keywords in the words of :mod:`xdeepr.networks`."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xdeepr.deepr_compat.configuration.training import NetworkConfiguration
from xdeepr.errors import OptionError

FROM_DATA = frozenset(
    {"in_channels", "out_channels", "image_channels", "num_channels", "num_channels_out"}
    | {"sample_size", "image_size", "input_shape", "upscale", "real_upscale"}
    | {"num_high_res_covars", "num_low_res_covars"}
)
"""Keywords that follow from the data here: checked against them, see :mod:`.agreement`."""

INTERPOLATION = "bicubic"
"""The interpolation whose residual is learnt."""

LABEL_KEYWORDS = ("num_class_embeds", "class_embed_type")
"""Keywords of diffusers that tell how a network is told of the hour."""


@dataclass(frozen=True)
class Architecture:
    """A class of network that a configuration may name.

    Parameters
    ----------
    model : str
        ``model=`` of :func:`xdeepr.fit`.
    network : str
        Name in :data:`xdeepr.networks.NETWORKS`.
    types : tuple of str
        Types of training it can be used with.
    translate : callable, optional
        Turns keywords that have another name or form here.
    without_effect : mapping of str to str
        Keywords that mean nothing here, and what is done instead.
    embeds_time : bool
        Whether the network turns numbers such as the hour into vectors.
    """

    model: str
    network: str
    types: tuple[str, ...]
    translate: Callable[[dict[str, Any]], dict[str, Any]] = dict
    without_effect: Mapping[str, str] = field(default_factory=dict)
    embeds_time: bool = False


@dataclass(frozen=True)
class Translated:
    """A network's part of a configuration in the words of :func:`xdeepr.fit`.

    Parameters
    ----------
    architecture : Architecture
        What the class name means.
    network : mapping
        ``network=``: the chosen keywords, and the ``name`` of the network.
    stated : mapping
        What the configuration says of channels and sizes, to be compared with the data.
    labels : mapping
        What it says of the embedding of the hour.
    interpolation : str or None
        The interpolation that the network adds to, where it is another than xdeepr's.
    notes : tuple of str
        Keywords without effect.
    """

    architecture: Architecture
    network: Mapping[str, Any]
    stated: Mapping[str, Any]
    labels: Mapping[str, Any]
    interpolation: str | None
    notes: tuple[str, ...]


def _swin(keywords: dict[str, Any]) -> dict[str, Any]:
    """Write a whole number as a fractional one where transformers takes no other."""
    if isinstance(keywords.get("img_range"), int):
        keywords["img_range"] = float(keywords["img_range"])
    return keywords


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

_DRAWS = ("diffusion", "latent")

_SWIN2SR = Architecture("swin2sr", "swin2sr", ("end2end",), _swin, _SWIN_NOTES)

#: Class name in small letters, without its library -> what it is here.
ARCHITECTURES: dict[str, Architecture] = {
    "unet": Architecture("unet", "unet", _DRAWS, dict, _UNET_NOTES, True),
    "unet2dmodel": Architecture("ddpm", "unet2d", (*_DRAWS, "end2end"), embeds_time=True),
    "unet2dconditionmodel": Architecture(
        "unet2d-condition", "unet2d-condition", _DRAWS, dict, _CONDITION_NOTES, True
    ),
    "convswin2sr": Architecture("conv-swin2sr", "conv-swin2sr", ("end2end",), _swin, _SWIN_NOTES),
    "swin2sr": Architecture("swin2sr", "swin2sr", ("end2end",), _swin, _SWIN_NOTES),
    "swin2srforimagesuperresolution": Architecture(
        "swin2sr", "swin2sr", ("end2end",), _swin, _SWIN_NOTES
    ),
    "convbaseline": Architecture("conv-baseline", "conv-baseline", ("end2end",)),
    "convbilinear": Architecture(
        "conv-baseline", "conv-baseline", ("end2end",), dict, _BILINEAR_NOTES
    ),
    "vqmodel": Architecture("autoencoder", "vq", ("autoencoder",)),
    "autoencoderkl": Architecture("autoencoder", "autoencoder-kl", ("autoencoder",)),
}

_SPELLINGS = (
    "UNet", "diffusers.UNet2DModel", "diffusers.UNet2DConditionModel", "ConvSwin2SR", "Swin2SR",
    "transformers.Swin2SRForImageSuperResolution", "ConvBaseline", "ConvBilinear",
    "diffusers.VQModel", "diffusers.AutoencoderKL",
)  # fmt: skip


def architecture_of(class_name: str, kind: str, path: str) -> Architecture:
    """Return the architecture that a class name means.

    Parameters
    ----------
    class_name : str
        With or without ``diffusers.`` or ``transformers.`` before it.
    kind : str
        Type of the training.
    path : str
        Where it stands, for messages.

    Raises
    ------
    OptionError
        If the name is unknown (with the nearest ones) or not for this type.
    """
    bare = class_name.split(".")[-1].lower()
    if bare not in ARCHITECTURES:
        near = difflib.get_close_matches(class_name, _SPELLINGS, n=2, cutoff=0.3) or _SPELLINGS
        raise OptionError(f"{path}: {class_name!r} is not known. Nearest: {', '.join(near)}")
    found = ARCHITECTURES[bare]
    if kind not in found.types:
        fitting = [s for s in _SPELLINGS if kind in ARCHITECTURES[s.split(".")[-1].lower()].types]
        raise OptionError(
            f"{path}: {class_name!r} is not for the type {kind!r}, but {', '.join(fitting)}"
        )
    return found


def translate(network: NetworkConfiguration, kind: str, path: str) -> Translated:
    """Return a network's part of a configuration in the words of :func:`xdeepr.fit`.

    Parameters
    ----------
    network : NetworkConfiguration
        Class name and keywords.
    kind : str
        Type of the training.
    path : str
        Where it stands, for messages.

    Returns
    -------
    Translated

    Raises
    ------
    OptionError
        For an unknown class, or an unknown keyword with the nearest one.
    """
    found = architecture_of(network.class_name, kind, f"{path}.class_name")
    given = found.translate(dict(network.kwargs))
    stated = {key: given.pop(key) for key in list(given) if key in FROM_DATA}
    labels = {key: given.pop(key) for key in LABEL_KEYWORDS if key in given}
    silent = {key: why for key, why in found.without_effect.items() if key in given}
    interpolation = given.pop("interpolation_method", None)
    if interpolation not in (None, INTERPOLATION):
        given["interpolation"] = interpolation
    notes = tuple(f"{path}.kwargs.{key} has no counterpart: {why}" for key, why in silent.items())
    keywords = {key: value for key, value in given.items() if key not in silent}
    _check_keywords(keywords, network, found, path)
    other = given.get("interpolation")
    return Translated(found, {"name": found.network, **keywords}, stated, labels, other, notes)


def _check_keywords(
    keywords: Mapping[str, Any],
    network: NetworkConfiguration,
    found: Architecture,
    path: str,
) -> None:
    """Refuse keywords that neither our network nor the data know."""
    ours = network_keywords(found.network)
    known = [*ours, *FROM_DATA, *LABEL_KEYWORDS, *found.without_effect, "interpolation_method"]
    for key in keywords:
        if key not in ours:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise OptionError(
                f"{path}.kwargs.{key}: unknown keyword of {network.class_name}. Nearest: {near[0]}"
                f" (known: {', '.join(sorted(ours))})"
            )


def network_keywords(name: str) -> tuple[str, ...]:
    """Return the keywords of a network's constructor that may be chosen.

    Parameters
    ----------
    name : str
        Key of :data:`xdeepr.networks.NETWORKS`.
    """
    from xdeepr.networks import network_class

    signature = inspect.signature(network_class(name).__init__)
    fixed = {"self", "in_channels", "out_channels", "channels", "factor", "context", "lr_shape"}
    fixed |= {"covariate_channels", "lr_channels", "time_labels", "label_scale"} | FROM_DATA
    return tuple(name for name in signature.parameters if name not in fixed)
