"""The one door into diffusers' networks: builds them, and changes what they do not let be chosen.

`tests/networks/test_diffusers_private.py` holds what is relied on here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from xdeepr.errors import OptionError
from xdeepr.networks.building import zero_


def build_unet(name: str, keywords: Mapping[str, Any]) -> Any:
    """Build ``UNet2DModel`` or ``UNet2DConditionModel``, whose errors are made readable."""
    import diffusers

    try:
        return getattr(diffusers, name)(**keywords)
    except ValueError as error:
        raise OptionError(
            f"block_out_channels={list(keywords['block_out_channels'])},"
            f" norm_num_groups={keywords['norm_num_groups']}: diffusers refuses them ({error})."
            " Give widths that are multiples of norm_num_groups; with AttnSkip blocks multiples of"
            " 32, with Skip blocks multiples of 4, and of 32 above 64."
        ) from error
    except TypeError as error:
        raise OptionError(
            f"diffusers {diffusers.__version__} does not know an option ({error}): leave it out or"
            " update diffusers."
        ) from error


def build_autoencoder(name: str, keywords: Mapping[str, Any]) -> Any:
    """Build ``AutoencoderKL`` or ``VQModel``."""
    import diffusers

    try:
        return getattr(diffusers, name)(**keywords)
    except ValueError as error:  # diffusers' only word about a block or activation it lacks
        raise OptionError(
            f"diffusers cannot build {name} ({error}): compare down_block_types,"
            " up_block_types and act_fn with its documentation."
        ) from error


def set_heads(unet: nn.Module, width: int) -> None:
    """Give attention heads of `width` channels, or of the next wider that divide the level's.

    diffusers takes the number of heads for their width in some blocks and mirrors one but not the
    other in the up half. The weights are the same, so that it can be set afterwards.
    """
    from diffusers.models.attention_processor import Attention

    for module in unet.modules():
        if isinstance(module, Attention):
            module.heads = _divisor(module.inner_dim, module.inner_dim // width)
            module.scale = (module.inner_dim // module.heads) ** -0.5
            module.sliceable_head_dim = module.heads


def set_groups(unet: nn.Module) -> None:
    """Normalize K blocks in groups of about 32 channels, as diffusers does, but for any width."""
    from diffusers.models.normalization import AdaGroupNorm

    for module in unet.modules():
        if isinstance(module, AdaGroupNorm):
            width = module.linear.out_features // 2
            module.num_groups = _divisor(width, width // 32)


def set_skips(unet: Any, in_channels: int, out_channels: int) -> None:
    """Let skip blocks carry any number of channels; those of diffusers take images of 3."""
    for block in unet.down_blocks:
        if getattr(block, "skip_conv", None) is not None:
            block.skip_conv = nn.Conv2d(in_channels, block.skip_conv.out_channels, 1)
    for block in unet.up_blocks:
        if getattr(block, "skip_conv", None) is not None:
            block.skip_conv = nn.Conv2d(block.skip_conv.in_channels, out_channels, 3, padding=1)


def predict_zero(unet: Any) -> None:
    """Set the last layers to zero: EDM starts from there, so that D(x) is c_skip · x at first."""
    zero_(unet.conv_out)
    for block in unet.up_blocks:
        if getattr(block, "skip_conv", None) is not None:
            zero_(block.skip_conv)


def set_noise_embedding(unet: Any, features: nn.Module) -> None:
    """Replace the sines and cosines of the noise level; `features` maps (N,) to (N, width)."""
    unet.time_proj = features


def leave_out_middle(unet: Any) -> None:
    """Let nothing stand between the two halves."""
    unet.mid_block = NoMiddle()


def without_tokens(unet: nn.Module) -> None:
    """Remove the normalization of tokens from blocks that are given none."""
    for module in unet.modules():
        if getattr(module, "norm_cross", None) is not None:
            module.norm_cross = None  # type: ignore[assignment]


class NoMiddle(nn.Module):
    """Stands between the two halves of a U-Net and does nothing."""

    def forward(self, inputs: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return the inputs."""
        return inputs


def codebook(model: Any) -> nn.Parameter:
    """Return the entries of a ``VQModel``'s codebook, shape (entries, channels)."""
    weight: nn.Parameter = model.quantize.embedding.weight
    return weight


def quantize(model: Any, latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a latent (N, C, h, w) moved to its nearest entries, and their numbers (N · h · w).

    The gradient of the first skips the move.
    """
    quantized, _, (_, _, index) = model.quantize(latent)
    return quantized, index


def decode_entries(model: Any, quantized: torch.Tensor) -> torch.Tensor:
    """Return the fields of a latent that consists of entries of the codebook already."""
    return model.decode(quantized, force_not_quantize=True).sample


def weight_of_codebook(model: Any) -> float:
    """Return diffusers' weight of the part of the loss that moves the codebook, ``beta``."""
    return float(model.quantize.beta)


def _divisor(number: int, limit: int) -> int:
    """Return the greatest divisor of a number up to a limit, at least 1."""
    return next((d for d in range(max(limit, 1), 0, -1) if number % d == 0), 1)
