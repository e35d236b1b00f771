"""diffusers' ``UNet2DConditionModel`` behind the common interface."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from xdeepr.errors import OptionError
from xdeepr.networks import block_types
from xdeepr.networks.time_labels import LABEL_SCALE, FourierFeatures, TimeLabels

MIDDLES = (
    "UNetMidBlock2DCrossAttn",
    "UNetMidBlock2DSimpleCrossAttn",
    "UNetMidBlock2D",
    None,
)
"""What may stand between the two halves."""

ADDITIONS = ("None", "text", "text_image", "text_time", "image", "image_hint")
"""What diffusers knows as ``addition_embed_type``; all but None embed texts or photographs."""

OCTAVES = 4
"""Wavelengths of a position: twice the window's edge, and each half of the one before."""

POSITION_CHANNELS = 4 * OCTAVES


def positions(like: torch.Tensor) -> torch.Tensor:
    """Return sines and cosines of the position in a window, the same for any resolution.

    Parameters
    ----------
    like : torch.Tensor
        Maps on the window, shape (N, C, height, width).

    Returns
    -------
    torch.Tensor
        Shape (N, POSITION_CHANNELS, height, width).
    """
    batch, _, height, width = like.shape
    waves = math.pi / 2 * 2.0 ** torch.arange(OCTAVES, device=like.device)
    maps = []
    for axis, cells in enumerate((height, width)):
        centres = (2 * torch.arange(cells, device=like.device) + 1) / cells - 1
        angles = waves[:, None] * centres
        features = torch.cat([angles.sin(), angles.cos()])
        shape = (-1, cells, 1) if axis == 0 else (-1, 1, cells)
        maps.append(features.reshape(shape).expand(-1, height, width))
    return torch.cat(maps).to(like.dtype).expand(batch, -1, -1, -1)


class ConditionTokens(nn.Module):
    """The tokens that pixels attend to: LR cells, and labels of the time.

    Parameters
    ----------
    dim : int
        Length of a token.
    lr_channels : int
        Predictors on the LR grid; 0 for none.
    time_labels : mapping of str to str, optional
        Labels of the time.
    """

    def __init__(self, dim: int, lr_channels: int, time_labels: Mapping[str, str] | None) -> None:
        super().__init__()
        self.cells = nn.Linear(lr_channels + POSITION_CHANNELS, dim) if lr_channels else None
        self.times = TimeLabels(time_labels, dim) if time_labels else None
        if self.cells is None and self.times is None:
            # attention needs something to attend to
            self.nothing = nn.Parameter(0.02 * torch.randn(1, 1, dim))

    def forward(
        self, inputs: torch.Tensor, labels: torch.Tensor | None, lr: torch.Tensor | None
    ) -> torch.Tensor:
        """Return tokens (N, T, dim): one for each LR cell, then one for each label."""
        tokens = []
        if self.cells is not None:
            given = None if lr is None else tuple(lr.shape)
            channels = self.cells.in_features - POSITION_CHANNELS
            if lr is None or lr.ndim != 4 or lr.shape[1] != channels:
                raise OptionError(
                    f"lr of shape {given}: the network was made with lr_channels={channels}; give"
                    f" the predictors on the LR grid, (N, {channels}, y, x)."
                )
            located = torch.cat([lr, positions(lr)], dim=1)
            tokens.append(self.cells(located.flatten(2).transpose(1, 2)))
        if self.times is not None:
            tokens.append(self.times.tokens(labels).to(inputs.dtype))
        if not tokens:
            return self.nothing.expand(inputs.shape[0], -1, -1)
        return torch.cat(tokens, dim=1)


class UNet2DCondition(nn.Module):
    """A U-Net whose pixels attend to the LR field as a whole and to the time.

    Each LR cell becomes a token: its predictors and its position in the window, through one
    linear layer. The network's inputs get the positions of their pixels, so that a pixel can ask
    for the cells near it. Each label of the time is one more token, and also enters all residual
    blocks. Without LR cells and labels there is a single learnt token.

    Parameters
    ----------
    in_channels, out_channels : int
        Noisy target plus conditions; predictands.
    block_out_channels : sequence of int
        Width of each level, from the finest; the number of levels.
    layers_per_block : int
        Residual blocks in each level.
    attention_levels : sequence of int, optional
        Levels (0 is the finest) that attend to the tokens and to their own pixels. The latter
        grows with the fourth power of the tile's edge. Default: the coarsest.
    attention_head_dim : int
        Channels of an attention head. Unlike in diffusers it is the width in every block.
    cross_attention_dim : int
        Length of a token.
    transformer_layers_per_block : int
        Transformer layers after each residual block of a CrossAttn block.
    only_cross_attention : bool
        Pixels attend to the tokens and not to each other.
    use_linear_projection : bool
        Linear layers instead of 1 × 1 convolutions around the transformer layers.
    dropout : float
        Dropout in residual and transformer blocks, in training only.
    norm_num_groups : int
        Groups of the group normalization; must divide every width.
    down_block_types, up_block_types : sequence of str, optional
        Blocks of diffusers from the finest level to the coarsest and back, instead of
        `attention_levels`; see :data:`xdeepr.networks.block_types.BLOCKS`. One of the two is
        enough: the other then mirrors it.
    mid_block_type : str or None
        What stands between the two halves: "UNetMidBlock2DCrossAttn",
        "UNetMidBlock2DSimpleCrossAttn", "UNetMidBlock2D" (no attention), None (nothing).
    time_embedding_type : {"positional", "fourier"}
        Noise level as sines and cosines at geometric or at random wavelengths.
    time_embedding_dim : int, optional
        Length of the vector that stands for noise level and time. Default: four times the width
        of the finest level.
    time_embedding_act_fn : {"silu", "swish", "mish", "gelu"}, optional
        Activation applied once to that vector before all blocks.
    timestep_post_act : {"silu", "swish", "mish", "gelu"}, optional
        Activation after the two layers of the noise level's embedding.
    addition_embed_type : None
        Here because diffusers has it; its other values embed texts and photographs.
    label_scale : float
        Factor of the noise label before its embedding, whose shortest wavelength is 2 pi.
    act_fn : {"silu", "swish", "mish", "gelu", "relu"}
        Activation in the blocks.
    resnet_time_scale_shift : {"default", "scale_shift"}
        Whether the time is added, or also scales the fields.
    resnet_skip_time_act : bool
        Leave out the activation before the time enters ResnetDownsample and SimpleCrossAttn
        blocks; to be combined with `time_embedding_act_fn`.
    resnet_out_scale_factor, mid_block_scale_factor, norm_eps : float
        Divisors of the outputs of those blocks and of the middle block; the normalization's
        smallest variance.
    downsample_padding : {1, 0}
        Pad all edges by one pixel when halving the resolution, or only the high ones.
    freq_shift : int
        1 if the longest wavelength of the positional embedding is to be reached.
    flip_sin_to_cos : bool
        Put the cosines first.
    sample_size : int or sequence of int, optional
        Taken for the sake of diffusers' configurations and not used: sizes are free.
    time_labels : mapping of str to str, optional
        Hour and day of year as labels; see :class:`xdeepr.networks.time_labels.TimeLabels`.
    lr_channels : int
        Number of predictors on the LR grid.

    Raises
    ------
    OptionError
        For an option that diffusers does not know, or blocks that do not run.

    References
    ----------
    Rombach et al., 2022, arXiv:2112.10752, section 3.3.
    """

    grid = "hr"
    uses_lr = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        block_out_channels: Sequence[int] = (32, 64, 96),
        layers_per_block: int = 2,
        attention_levels: Sequence[int] | None = None,
        attention_head_dim: int = 32,
        cross_attention_dim: int = 64,
        transformer_layers_per_block: int = 1,
        only_cross_attention: bool = False,
        use_linear_projection: bool = False,
        dropout: float = 0.1,
        norm_num_groups: int = 8,
        down_block_types: Sequence[str] | None = None,
        up_block_types: Sequence[str] | None = None,
        mid_block_type: str | None = "UNetMidBlock2DCrossAttn",
        time_embedding_type: str = "positional",
        time_embedding_dim: int | None = None,
        time_embedding_act_fn: str | None = None,
        timestep_post_act: str | None = None,
        addition_embed_type: None = None,
        label_scale: float = LABEL_SCALE,
        act_fn: str = "silu",
        resnet_time_scale_shift: str = "default",
        resnet_skip_time_act: bool = False,
        resnet_out_scale_factor: float = 1.0,
        mid_block_scale_factor: float = 1.0,
        norm_eps: float = 1e-5,
        downsample_padding: int = 1,
        freq_shift: int = 0,
        flip_sin_to_cos: bool = True,
        sample_size: int | Sequence[int] | None = None,
        time_labels: Mapping[str, str] | None = None,
        lr_channels: int = 0,
    ) -> None:
        super().__init__()
        from diffusers import UNet2DConditionModel

        _no_addition(addition_embed_type)
        block_types.one_of("mid_block_type", mid_block_type, MIDDLES)
        options: dict[str, Any] = {
            "act_fn": act_fn,
            "resnet_time_scale_shift": resnet_time_scale_shift,
            "time_embedding_act_fn": time_embedding_act_fn,
            "timestep_post_act": timestep_post_act,
            "downsample_padding": downsample_padding,
        }
        block_types.check_choices(time_embedding_type=time_embedding_type, **options)
        levels = block_types.arrange(
            "unet2d-condition",
            block_out_channels,
            down_block_types,
            up_block_types,
            attention_levels,
            layers_per_block,
            time_embedding_dim,
        )
        self.located = lr_channels > 0
        options |= {
            "in_channels": in_channels + self.located * POSITION_CHANNELS,
            "out_channels": out_channels,
            "layers_per_block": layers_per_block,
            "cross_attention_dim": cross_attention_dim,
            "transformer_layers_per_block": transformer_layers_per_block,
            "only_cross_attention": only_cross_attention,
            "use_linear_projection": use_linear_projection,
            "dropout": dropout,
            "norm_num_groups": norm_num_groups,
            "mid_block_type": mid_block_type,
            "resnet_skip_time_act": resnet_skip_time_act,
            "resnet_out_scale_factor": resnet_out_scale_factor,
            "mid_block_scale_factor": mid_block_scale_factor,
            "norm_eps": norm_eps,
            "freq_shift": freq_shift,
            "flip_sin_to_cos": flip_sin_to_cos,
            "class_embed_type": "identity" if time_labels else None,
        }
        self.multiple = levels.multiple
        self.label_scale = label_scale
        self.time_labels = TimeLabels(time_labels, levels.time_dim) if time_labels else None
        self.tokens = ConditionTokens(cross_attention_dim, lr_channels, time_labels)
        self.unet = block_types.construct(UNet2DConditionModel, {**options, **levels.settings()})
        if time_embedding_type == "fourier":
            self.unet.time_proj = FourierFeatures(levels.widths[0])
        block_types.adapt(self.unet, in_channels, out_channels, attention_head_dim)

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
            Predictors on the LR grid around the tile, shape (N, lr_channels, y, x); y and x are
            free.

        Returns
        -------
        torch.Tensor
            Shape (N, out_channels, H, W).

        Raises
        ------
        OptionError
            If labels or predictors are missing.
        """
        vector = self.time_labels(labels) if self.time_labels is not None else None
        tokens = self.tokens(inputs, labels, lr)
        if self.located:
            inputs = torch.cat([inputs, positions(inputs)], dim=1)
        scaled = noise_label * self.label_scale
        return self.unet(inputs, scaled, tokens, class_labels=vector, return_dict=False)[0]


def _no_addition(value: str | None) -> None:
    """Refuse everything but None, and say why."""
    if value is None:
        return
    known = ", ".join(ADDITIONS)
    found = "is not one of diffusers'" if value not in ADDITIONS else "embeds texts or photographs"
    raise OptionError(
        f"addition_embed_type={value!r} {found} (they are {known}). Leave it out or give None;"
        " time_labels tell the network of hour and day."
    )
