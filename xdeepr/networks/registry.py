"""Networks by name. To add one: write the class, add one line to :data:`NETWORKS`.

A network is a ``torch.nn.Module`` whose constructor takes keywords that JSON can hold. There are
three kinds.

On the HR grid (``grid = "hr"``, the default)
    ``forward(inputs, noise_label, labels=None, lr=None)``: (N, in, H, W) and (N,) to
    (N, out, H, W). Keywords begin with ``in_channels`` and ``out_channels``, and there are
    ``time_labels`` and ``lr_channels`` where the network embeds the time itself or, with
    ``uses_lr = True``, attends to the LR fields. H and W are multiples of ``multiple``.
From the LR to the HR grid (``grid = "lr"``)
    ``forward(lr, covariates=None)``: (N, in, y, x) to (N, out, (y - 2c) f, (x - 2c) f). Keywords
    begin with ``in_channels``, ``out_channels``, ``factor`` (f), ``context`` (c) and
    ``covariate_channels``.
Autoencoders
    ``encode``, ``decode`` and ``reconstruction_terms``, see :mod:`xdeepr.networks.autoencoder`.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from xdeepr.errors import CheckpointError, OptionError

if TYPE_CHECKING:
    from torch import nn

NETWORKS: dict[str, str] = {
    "unet2d": "xdeepr.networks.unet:UNet2D",
    "unet2d-condition": "xdeepr.networks.conditional:UNet2DCondition",
    "unet": "xdeepr.networks.tailored:TailoredUNet",
    "published-unet": "xdeepr.networks.published_unet:PublishedUNet",
    "published-conv-swin2sr": "xdeepr.networks.published_lr:PublishedConvSwin2SR",
    "published-conv-baseline": "xdeepr.networks.published_lr:PublishedConvBaseline",
    "swin2sr": "xdeepr.networks.swin2sr:Swin2SR",
    "conv-swin2sr": "xdeepr.networks.conv_swin2sr:ConvSwin2SR",
    "conv-baseline": "xdeepr.networks.conv_baseline:ConvBaseline",
    "autoencoder-kl": "xdeepr.networks.autoencoder:KLAutoencoder",
    "vq": "xdeepr.networks.autoencoder:VQAutoencoder",
}
"""Name in a card -> ``module:class``; imported when it is built."""


def network_class(name: str) -> type[nn.Module]:
    """Return the class of a network.

    Parameters
    ----------
    name : str
        A key of :data:`NETWORKS`.

    Raises
    ------
    OptionError
        For an unknown name; names the nearest ones.
    """
    if name not in NETWORKS:
        near = difflib.get_close_matches(name, NETWORKS, n=3, cutoff=0.0)
        raise OptionError(f"network {name!r} is not known. Nearest names: {', '.join(near)}.")
    module, cls = NETWORKS[name].split(":")
    found: type[nn.Module] = getattr(import_module(module), cls)
    return found


def build(name: str, config: dict[str, Any]) -> nn.Module:
    """Build a network with fresh weights.

    Parameters
    ----------
    name : str
        A key of :data:`NETWORKS`.
    config : dict
        Keywords of the network's constructor.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    OptionError
        For an unknown name.
    CheckpointError
        If the configuration does not fit the network.
    """
    cls = network_class(name)
    try:
        return cls(**config)
    except TypeError as error:
        raise CheckpointError(
            f"network {name!r} cannot be built from its configuration ({error}): compare the"
            " keys with the network's documentation."
        ) from error
