"""Networks by name. To add one: write the class, add one line to :data:`NETWORKS`.

A network is a ``torch.nn.Module`` with

* ``forward(inputs, noise_label)``: (N, in, H, W) and (N,) -> (N, out, H, W);
* ``multiple``: H and W must be multiples of this (2^(levels−1) for a U-Net);
* a constructor whose keywords are the JSON-able ``config`` of the card, beginning with
  ``in_channels`` and ``out_channels``.
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
}
"""Name in a card -> ``module:class``; imported when it is built."""


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
    if name not in NETWORKS:
        near = difflib.get_close_matches(name, NETWORKS, n=3, cutoff=0.0)
        raise OptionError(f"network {name!r} is not known. Nearest names: {', '.join(near)}.")
    module, cls = NETWORKS[name].split(":")
    try:
        return getattr(import_module(module), cls)(**config)
    except TypeError as error:
        raise CheckpointError(
            f"network {name!r} cannot be built from its configuration ({error}): compare the"
            " keys with the network's documentation."
        ) from error
