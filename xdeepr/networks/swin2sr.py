"""transformers' Swin2SR as a network on the LR grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from xdeepr.checks import one_of, whole_number
from xdeepr.errors import OptionError
from xdeepr.networks.building import apart, before_loading, takes
from xdeepr.networks.lr_parts import LRNetwork
from xdeepr.networks.padding import padded
from xdeepr.networks.transformers_swin import (
    DERIVED,
    build_swin,
    forget_mean_colour,
    has_newer_names,
    renamed,
)

UPSAMPLERS = ("pixelshuffle", "pixelshuffledirect", "nearest+conv", "pixelshuffle_aux")

FACTORS = (2, 3, 4, 8)
"""Enlargements that Swin2SR is made for; any power of two goes too."""


@dataclass(frozen=True, kw_only=True)
class SwinOptions:
    """Keywords of the transformer, by the names of transformers. Checked when made.

    Parameters
    ----------
    embed_dim : int
        Channels of a cell inside the transformer.
    depths, num_heads : sequence of int
        Layers and attention heads of each stage. Every second layer shifts its windows.
    window_size : int
        Edge of the window of attention in LR cells.
    patch_size : int
        LR cells along the edge of a token; must be 1.
    mlp_ratio : float
        Width of a hidden layer over `embed_dim`.
    hidden_dropout_prob, attention_probs_dropout_prob, drop_path_rate : float
        Dropout of channels, of attention and of whole layers, in training only. The last is
        reached in the last layer and grows evenly up to there.
    img_range : float
        The input is multiplied by it, the output divided.
    resi_connection : {"1conv", "3conv"}
        Convolutions at the end of a stage.
    upsampler : {"pixelshuffle", "pixelshuffledirect", "nearest+conv", "pixelshuffle_aux"}
        The way to the HR grid. The second is the cheapest, the first the most accurate at equal
        cost; the third is for factor 4, the last for exactly 3 channels in and out.
    """

    embed_dim: int = 60
    depths: Sequence[int] = (2, 2)
    num_heads: Sequence[int] = (6, 6)
    window_size: int = 5
    patch_size: int = 1
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    drop_path_rate: float = 0.1
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5
    img_range: float = 1.0
    resi_connection: str = "1conv"
    upsampler: str = "pixelshuffle"

    def __post_init__(self) -> None:
        if len(self.depths) != len(self.num_heads) or not self.depths:
            raise OptionError(
                f"depths={list(self.depths)} and num_heads={list(self.num_heads)} must name the"
                " same stages, one at least."
            )
        if any(heads < 1 or self.embed_dim % heads for heads in self.num_heads):
            raise OptionError(
                f"embed_dim={self.embed_dim} must be a multiple of each of"
                f" num_heads={list(self.num_heads)}."
            )
        if not 0 <= self.drop_path_rate < 1:
            raise OptionError(
                f"drop_path_rate={self.drop_path_rate}: give a share of the entries, from 0 to"
                " below 1."
            )
        whole_number("window_size", self.window_size, least=2)
        if self.patch_size != 1:
            raise OptionError(
                f"patch_size={self.patch_size} loses LR cells: for downscaling it must be 1."
            )
        one_of("upsampler", self.upsampler, UPSAMPLERS)
        one_of("resi_connection", self.resi_connection, ("1conv", "3conv"))

    def build(self, in_channels: int, out_channels: int, upscale: int) -> nn.Module:
        """Build the transformer, whose fresh output is zero; `upscale` is 3 or a power of two."""
        if self.upsampler == "pixelshuffle_aux" and (in_channels, out_channels) != (3, 3):
            raise OptionError(
                "upsampler='pixelshuffle_aux' needs exactly 3 channels in and out, and there are"
                f" {in_channels} and {out_channels}: take 'pixelshuffle'."
            )
        if self.upsampler == "nearest+conv" and upscale != 4:
            raise OptionError(
                f"upsampler='nearest+conv' can only enlarge by 4, not by {upscale}: take"
                " 'pixelshuffle'."
            )
        lists = {"depths": list(self.depths), "num_heads": list(self.num_heads)}
        return build_swin(in_channels, out_channels, upscale, {**asdict(self), **lists})


class SwinNetwork(LRNetwork):
    """A network that holds transformers' as ``swin`` and keeps the names of its tensors.

    The names are those of DeepR's checkpoints and of transformers 4. Newer versions of
    transformers have other ones; a checkpoint must not depend on which was there when it was
    written.
    """

    swin: Any

    def __init__(self, in_channels: int, out_channels: int, **keywords: Any) -> None:
        super().__init__(in_channels, out_channels, **keywords)
        before_loading(self, self._take)

    def run_swin(self, lr: torch.Tensor, *, any_size: bool) -> torch.Tensor:
        """Run the transformer on fields (N, in, y, x): (N, out, y · upscale, x · upscale).

        With `any_size`, pad to two windows along each axis at least. There are versions of
        transformers that stop shifting windows once they saw a single one, also in every later
        call, so that results would depend on what was computed before. A network that only ever
        has one size does not need it.
        """
        window, upscale = self.swin.config.window_size, self.swin.config.upscale
        height, width = lr.shape[-2:]
        least = 2 * window if any_size else window
        more = [max(-cells % window, least - cells) for cells in (height, width)]
        out = self.swin(pixel_values=padded(lr, *more)).reconstruction
        return out[..., : height * upscale, : width * upscale]

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the tensors under the names of DeepR's checkpoints."""
        state = super().state_dict(*args, **kwargs)
        if self._newer_names:
            start = f"{kwargs.get('prefix', args[1] if len(args) > 1 else '')}swin."
            for key in [key for key in state if key.startswith(start)]:
                state[renamed(key, 1, 0)] = state.pop(key)
        return state

    @staticmethod
    def _take(network: Any, tensors: dict[str, Any], prefix: str, *_: Any) -> None:
        """Give the tensors of a checkpoint the names of this version of transformers."""
        for key in [key for key in tensors if key.startswith(f"{prefix}swin.")]:
            value = tensors.pop(key)
            if not key.endswith(DERIVED):
                tensors[renamed(key, 0, 1) if network._newer_names else key] = value

    @cached_property
    def _newer_names(self) -> bool:
        return has_newer_names(self.swin)


class Swin2SR(SwinNetwork):
    """A transformer with shifted windows on the LR grid, and convolutions up to the HR grid.

    The transformer sees the context; the output is cut. Any size of the input will do. Keywords
    are those of every :class:`~xdeepr.networks.lr_parts.LRNetwork`, where `factor` is 2, 3, 4 or
    8, and the fields of :class:`SwinOptions`.

    References
    ----------
    Conde et al., 2022, arXiv:2209.11345.
    """

    @takes(LRNetwork, SwinOptions)
    def __init__(self, in_channels: int, out_channels: int, **keywords: Any) -> None:
        options, common = apart(SwinOptions, keywords)
        super().__init__(in_channels, out_channels, **common)
        if self.factor not in FACTORS:
            raise OptionError(
                f"factor={self.factor}: Swin2SR can only enlarge by 2, 3, 4 or 8. The network"
                " 'conv-swin2sr' takes any factor."
            )
        self.swin = options.build(in_channels, out_channels, self.factor)
        forget_mean_colour(self.swin)
        self.add_head()

    def enlarge(self, lr: torch.Tensor) -> torch.Tensor:
        """Return HR fields (N, out, H, W) of the LR cells alone."""
        out = self.run_swin(lr, any_size=True)
        edge = self.context * self.factor
        return out[..., edge : out.shape[-2] - edge, edge : out.shape[-1] - edge]
