"""The one door into transformers: builds its Swin2SR, and mends what its versions do differently.

`tests/networks/test_transformers_private.py` holds what is relied on here. transformers is
imported when a network is built, since that takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from xdeepr.errors import OptionError
from xdeepr.networks.building import zero_

FRACTIONS = (
    "mlp_ratio", "hidden_dropout_prob", "attention_probs_dropout_prob", "drop_path_rate",
    "layer_norm_eps", "img_range",
)  # fmt: skip
"""Options for which transformers takes no whole number."""

NAMES = (
    (".attention.self.query.", ".attention.q_proj."),
    (".attention.self.key.", ".attention.k_proj."),
    (".attention.self.value.", ".attention.v_proj."),
    (".attention.output.dense.", ".attention.o_proj."),
    (".attention.self.logit_scale", ".attention.logit_scale"),
    (".attention.self.continuous_position", ".attention.continuous_position"),
    (".intermediate.dense.", ".mlp.fc1."),
    (".output.dense.", ".mlp.fc2."),
)
"""In a checkpoint -> in newer versions of transformers."""

DERIVED = ("relative_coords_table", "relative_position_index")
"""Tables that some versions store; they follow from the window's size."""


class DropPath(nn.Module):
    """Leave a branch out for a share of the entries of a batch, in training only.

    The other entries are enlarged, so that the mean stays.

    References
    ----------
    Huang et al., 2016, arXiv:1603.09382.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """Return the branch (N, ...), zero for some of its entries."""
        if not self.training or self.rate == 0:
            return branch
        kept = branch.new_empty(len(branch), *[1] * (branch.ndim - 1)).bernoulli_(1 - self.rate)
        return branch * kept / (1 - self.rate)


def build_swin(
    in_channels: int, out_channels: int, upscale: int, options: Mapping[str, Any]
) -> Any:
    """Build transformers' network, whose fresh output is zero; `upscale` is 3 or a power of two."""
    from huggingface_hub import errors
    from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution

    # newer versions of transformers check kinds strictly, with an error of their own
    refused = getattr(errors, "StrictDataclassError", ValueError)
    try:
        config = Swin2SRConfig(
            num_channels=in_channels,
            num_channels_out=out_channels,
            upscale=upscale,
            # windows are no wider than this, and only shifted if they are narrower
            image_size=2 * options["window_size"],
            **{**options, **{name: float(options[name]) for name in FRACTIONS}},
        )
        swin: Any = Swin2SRForImageSuperResolution(config)
    except (KeyError, TypeError, ValueError, refused) as error:
        raise OptionError(
            f"transformers cannot build Swin2SR from these options ({error}): compare them"
            " with the documentation of xdeepr.networks.swin2sr.SwinOptions."
        ) from error
    # layers are dropped at rates that grow up to the last; versions forget it, or use one rate
    layers = [layer for stage in swin.swin2sr.encoder.stages for layer in stage.layers]
    for number, layer in enumerate(layers, 1):
        layer.drop_path = DropPath(options["drop_path_rate"] * number / len(layers))
    zero_(last_layer(swin))
    return swin


def last_layer(swin: Any) -> nn.Module:
    """Return the convolution that gives the output; its name depends on the upsampler."""
    upsample = swin.upsample
    last: nn.Module = upsample.conv if hasattr(upsample, "conv") else upsample.final_convolution
    return last


def forget_mean_colour(swin: Any) -> None:
    """Let it subtract nothing; from three channels it takes the mean colour of photographs."""
    swin.swin2sr.mean.zero_()


def has_newer_names(swin: Any) -> bool:
    """Whether its tensors are called as in the second column of :data:`NAMES`."""
    return any(NAMES[0][1] in f"{name}." for name, _ in swin.named_parameters())


def renamed(key: str, old: int, new: int) -> str:
    """Return a tensor's name, from column `old` of :data:`NAMES` to column `new`."""
    for names in NAMES:
        if names[old] in key:
            return key.replace(names[old], names[new])
    return key
