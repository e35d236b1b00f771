"""Networks by name. To add one: write the class, add one line to :data:`NETWORKS`.

:func:`xdeepr.testing.check_network` then says whether it holds what is relied on.

A network is a ``torch.nn.Module`` whose constructor takes keywords that JSON can hold. There are
three kinds.

On the HR grid (``grid = "hr"``, the default)
    ``forward(inputs, noise_label, labels=None, lr=None)`` gives (N, out, H, W) for `inputs`, the
    noisy target and the conditions as channels, (N, in, H, W); `noise_label`, (N,); `labels`, hour
    and day of the year as the network's ``time_labels`` name them, (N, L); and `lr`, the
    predictors on the LR grid around the tile, (N, ``lr_channels``, y, x), for networks with
    ``uses_lr = True``. H and W are multiples of ``multiple``. Keywords begin with ``in_channels``
    and ``out_channels``.
From the LR to the HR grid (``grid = "lr"``)
    ``forward(lr, covariates=None)``: (N, in, y, x) to (N, out, (y - 2c) f, (x - 2c) f). Keywords
    begin with ``in_channels``, ``out_channels``, ``factor`` (f), ``context`` (c) and
    ``covariate_channels``.
Autoencoders
    ``encode``, ``decode`` and ``reconstruction_terms``, see :mod:`xdeepr.networks.autoencoder`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xdeepr.checks import one_of
from xdeepr.errors import CheckpointError

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
    """Return the class of a network; an unknown name raises with the nearest ones."""
    module, cls = NETWORKS[one_of("network", name, NETWORKS)].split(":")
    network: type[nn.Module] = getattr(import_module(module), cls)
    return network


def build(name: str, config: dict[str, Any]) -> nn.Module:
    """Build the network of a name in :data:`NETWORKS` with fresh weights, from its keywords.

    Raises
    ------
    CheckpointError
        If the keywords do not fit the network.
    """
    cls = network_class(name)
    try:
        return cls(**config)
    except TypeError as error:
        raise CheckpointError(
            f"network {name!r} cannot be built from its configuration ({error}): compare the"
            " keys with the network's documentation."
        ) from error
