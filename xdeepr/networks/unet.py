"""diffusers' ``UNet2DModel`` behind the common interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from xdeepr.networks import block_types
from xdeepr.networks.time_labels import LABEL_SCALE, FourierFeatures, TimeLabels


class UNet2D(nn.Module):
    """A U-Net of residual blocks, without attention unless asked.

    Parameters
    ----------
    in_channels, out_channels : int
        Noisy target plus conditions; predictands.
    block_out_channels : sequence of int
        Width of each level, from the finest; the number of levels.
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
    down_block_types, up_block_types : sequence of str, optional
        Blocks of diffusers from the finest level to the coarsest and back, instead of
        `attention_levels`; see :data:`xdeepr.networks.block_types.BLOCKS`. One of the two is
        enough: the other then mirrors it.
    mid_block_type : {"UNetMidBlock2D"} or None
        What stands between the two halves; None for nothing.
    add_attention : bool, optional
        Self-attention between the two halves. Default: if any other block has it.
    time_embedding_type : {"positional", "fourier"}
        Noise level as sines and cosines at geometric or at random wavelengths.
    time_embedding_dim : int, optional
        Length of the vector that stands for noise level and time. Default: four times the width
        of the finest level.
    label_scale : float
        Factor of the noise label before its embedding, whose shortest wavelength is 2 pi.
    act_fn : {"silu", "swish", "mish", "gelu", "relu"}
        Activation in the blocks.
    resnet_time_scale_shift : {"default", "scale_shift"}
        Whether the time is added, or also scales the fields.
    downsample_type, upsample_type : {"conv", "resnet"}
        How attention blocks change the resolution.
    downsample_padding : {1, 0}
        Pad all edges by one pixel when halving the resolution, or only the high ones.
    mid_block_scale_factor : float
        Divisor of the middle block's output.
    attn_norm_num_groups : int, optional
        Groups of the normalization before the middle block's attention.
    norm_eps : float
        Smallest variance of the normalization.
    freq_shift : int
        1 if the longest wavelength of the positional embedding is to be reached.
    flip_sin_to_cos : bool
        Put the cosines first.
    sample_size : int or sequence of int, optional
        Taken for the sake of diffusers' configurations and not used: sizes are free.
    time_labels : mapping of str to str, optional
        Hour and day of year as labels; see :class:`xdeepr.networks.time_labels.TimeLabels`.
    lr_channels : int
        Not used: this network sees the predictors as channels only.

    Raises
    ------
    OptionError
        For an option that diffusers does not know, or blocks that do not run.

    References
    ----------
    Ronneberger et al., 2015, arXiv:1505.04597; Ho et al., 2020, arXiv:2006.11239. Skip blocks:
    Song et al., 2021, arXiv:2011.13456.
    """

    grid = "hr"
    uses_lr = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        block_out_channels: Sequence[int] = (32, 64, 96),
        layers_per_block: int = 2,
        attention_levels: Sequence[int] = (),
        attention_head_dim: int = 32,
        dropout: float = 0.1,
        norm_num_groups: int = 8,
        down_block_types: Sequence[str] | None = None,
        up_block_types: Sequence[str] | None = None,
        mid_block_type: str | None = "UNetMidBlock2D",
        add_attention: bool | None = None,
        time_embedding_type: str = "positional",
        time_embedding_dim: int | None = None,
        label_scale: float = LABEL_SCALE,
        act_fn: str = "silu",
        resnet_time_scale_shift: str = "default",
        downsample_type: str = "conv",
        upsample_type: str = "conv",
        downsample_padding: int = 1,
        mid_block_scale_factor: float = 1.0,
        attn_norm_num_groups: int | None = None,
        norm_eps: float = 1e-5,
        freq_shift: int = 0,
        flip_sin_to_cos: bool = True,
        sample_size: int | Sequence[int] | None = None,
        time_labels: Mapping[str, str] | None = None,
        lr_channels: int = 0,
    ) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        block_types.one_of("mid_block_type", mid_block_type, ("UNetMidBlock2D", None))
        options: dict[str, Any] = {
            "act_fn": act_fn,
            "resnet_time_scale_shift": resnet_time_scale_shift,
            "downsample_type": downsample_type,
            "upsample_type": upsample_type,
            "downsample_padding": downsample_padding,
        }
        block_types.check_choices(time_embedding_type=time_embedding_type, **options)
        levels = block_types.arrange(
            "unet2d",
            block_out_channels,
            down_block_types,
            up_block_types,
            attention_levels,
            layers_per_block,
            time_embedding_dim,
        )
        options |= {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "layers_per_block": layers_per_block,
            "add_attention": levels.attends if add_attention is None else add_attention,
            "mid_block_scale_factor": mid_block_scale_factor,
            "dropout": dropout,
            "norm_num_groups": norm_num_groups,
            "attn_norm_num_groups": attn_norm_num_groups,
            "norm_eps": norm_eps,
            "freq_shift": freq_shift,
            "flip_sin_to_cos": flip_sin_to_cos,
            "class_embed_type": "identity" if time_labels else None,
        }
        self.multiple = levels.multiple
        self.label_scale = label_scale
        self.time_labels = TimeLabels(time_labels, levels.time_dim) if time_labels else None
        self.unet = block_types.construct(UNet2DModel, {**options, **levels.settings()})
        if time_embedding_type == "fourier":
            # diffusers' own takes the logarithm of the label, which is negative for half of ours
            self.unet.time_proj = FourierFeatures(levels.widths[0])
        if mid_block_type is None:
            self.unet.mid_block = block_types.NoMiddle()
        block_types.adapt(self.unet, in_channels, out_channels, attention_head_dim)
        block_types.without_tokens(self.unet)

    def forward(
        self,
        inputs: torch.Tensor,
        noise_label: torch.Tensor,
        labels: torch.Tensor | None = None,
        lr: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Evaluate the network.

        Parameters
        ----------
        inputs : torch.Tensor
            Noisy target and conditions, shape (N, in_channels, H, W).
        noise_label : torch.Tensor
            Shape (N,).
        labels : torch.Tensor, optional
            Hour and day of year as the network's `time_labels` name them, shape (N, L).
        lr : torch.Tensor, optional
            Not used.

        Returns
        -------
        torch.Tensor
            Shape (N, out_channels, H, W).

        Raises
        ------
        OptionError
            If labels are missing.
        """
        vector = self.time_labels(labels) if self.time_labels is not None else None
        scaled = noise_label * self.label_scale
        return self.unet(inputs, scaled, class_labels=vector, return_dict=False)[0]
