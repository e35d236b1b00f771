"""diffusers' ``UNet2DModel`` behind the common interface."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

LABEL_SCALE = 250.0
"""Noise labels are log(sigma)/4, about -1..1; the positional embedding wants hundreds."""


class UNet2D(nn.Module):
    """A U-Net of residual blocks, without attention unless asked.

    Parameters
    ----------
    in_channels, out_channels : int
        Noisy target plus conditions; predictands.
    block_out_channels : sequence of int
        Width of each level; the number of levels.
    layers_per_block : int
        Residual blocks in each level.
    attention_levels : sequence of int
        Levels (0 is the finest) with self-attention. Its cost grows with the fourth power of
        the tile's edge, so only coarse levels are sensible.
    attention_head_dim : int
        Channels of an attention head (32 is several times as fast as diffusers' 8).
    dropout : float
        Dropout in the residual blocks, in training only.
    norm_num_groups : int
        Groups of the group normalization; must divide every width.

    References
    ----------
    Ronneberger et al., 2015, arXiv:1505.04597; Ho et al., 2020, arXiv:2006.11239.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        block_out_channels: Sequence[int] = (32, 64, 96),
        layers_per_block: int = 2,
        attention_levels: Sequence[int] = (),
        attention_head_dim: int = 32,
        dropout: float = 0.1,
        norm_num_groups: int = 8,
    ) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        levels = len(block_out_channels)
        attends = [level in set(attention_levels) for level in range(levels)]
        self.multiple = 2 ** (levels - 1)
        self.unet = UNet2DModel(
            in_channels=in_channels,
            out_channels=out_channels,
            block_out_channels=tuple(block_out_channels),
            layers_per_block=layers_per_block,
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in attends[::-1]),
            add_attention=bool(attention_levels),
            attention_head_dim=attention_head_dim,
            dropout=dropout,
            norm_num_groups=norm_num_groups,
        )
        # EDM starts from the prediction 0, so that D(x) is c_skip · x at first
        nn.init.zeros_(self.unet.conv_out.weight)
        nn.init.zeros_(self.unet.conv_out.bias)

    def forward(self, inputs: torch.Tensor, noise_label: torch.Tensor) -> torch.Tensor:
        """Return the network's output (N, out, H, W) for inputs (N, in, H, W), labels (N,)."""
        return self.unet(inputs, noise_label * LABEL_SCALE, return_dict=False)[0]
