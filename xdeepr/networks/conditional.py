"""diffusers' ``UNet2DConditionModel`` behind the common interface."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from xdeepr.checks import one_of
from xdeepr.errors import OptionError
from xdeepr.networks.building import takes
from xdeepr.networks.diffusers_nets import build_unet
from xdeepr.networks.time_labels import TimeLabels
from xdeepr.networks.unet import ACTIVATIONS, UNetOptions, prepare

ADDITIONS = ("None", "text", "text_image", "text_time", "image", "image_hint")
"""What diffusers knows as ``addition_embed_type``; all but None embed texts or photographs."""

OCTAVES = 4
"""Wavelengths of a position: twice the window's edge, and each half of the one before."""

POSITION_CHANNELS = 4 * OCTAVES


def positions(like: torch.Tensor) -> torch.Tensor:
    """Return sines and cosines of the position in a window, the same for any resolution.

    For maps (N, C, height, width) they are (N, POSITION_CHANNELS, height, width).
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
    """The tokens, `dim` long, that pixels attend to: LR cells, and labels of the time."""

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


@dataclass(frozen=True, kw_only=True)
class ConditionOptions(UNetOptions):
    """Keywords of ``UNet2DConditionModel``, beside those of both U-Nets.

    Parameters
    ----------
    attention_levels : sequence of int, optional
        Levels (0 is the finest) that attend to the tokens and to their own pixels. Default: the
        coarsest.
    cross_attention_dim : int
        Length of a token.
    transformer_layers_per_block : int
        Transformer layers after each residual block of a CrossAttn block.
    only_cross_attention : bool
        Pixels attend to the tokens and not to each other.
    use_linear_projection : bool
        Linear layers instead of 1 × 1 convolutions around the transformer layers.
    mid_block_type : str or None
        What stands between the two halves: "UNetMidBlock2DCrossAttn",
        "UNetMidBlock2DSimpleCrossAttn", "UNetMidBlock2D" (no attention), None (nothing).
    time_embedding_act_fn : {"silu", "swish", "mish", "gelu"}, optional
        Activation applied once to the vector of noise level and time, before all blocks.
    timestep_post_act : {"silu", "swish", "mish", "gelu"}, optional
        Activation after the two layers of the noise level's embedding.
    resnet_skip_time_act : bool
        Leave out the activation before the time enters ResnetDownsample and SimpleCrossAttn
        blocks; to be combined with `time_embedding_act_fn`.
    resnet_out_scale_factor : float
        Divisor of the outputs of those blocks.
    addition_embed_type : None
        Here because diffusers has it; its other values embed texts and photographs.
    """

    network: ClassVar[str] = "unet2d-condition"
    middles: ClassVar[tuple[str, ...]] = (
        "UNetMidBlock2DCrossAttn",
        "UNetMidBlock2DSimpleCrossAttn",
        "UNetMidBlock2D",
    )
    ours: ClassVar[frozenset[str]] = UNetOptions.ours | {"addition_embed_type"}

    attention_levels: Sequence[int] | None = None
    cross_attention_dim: int = 64
    transformer_layers_per_block: int = 1
    only_cross_attention: bool = False
    use_linear_projection: bool = False
    mid_block_type: str | None = "UNetMidBlock2DCrossAttn"
    time_embedding_act_fn: str | None = None
    timestep_post_act: str | None = None
    resnet_skip_time_act: bool = False
    resnet_out_scale_factor: float = 1.0
    addition_embed_type: None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _no_addition(self.addition_embed_type)
        for name in ("time_embedding_act_fn", "timestep_post_act"):
            if (value := getattr(self, name)) is not None:
                one_of(name, value, ACTIVATIONS[:-1])


class UNet2DCondition(nn.Module):
    """A U-Net whose pixels attend to the LR field as a whole and to the time.

    Each LR cell becomes a token: its predictors and its position in the window, through one
    linear layer. The network's inputs get the positions of their pixels, so that a pixel can ask
    for the cells near it. Each label of the time is one more token, and also enters all residual
    blocks. Without LR cells and labels there is a single learnt token. Keywords beside the
    channels are the fields of :class:`ConditionOptions`.

    References
    ----------
    Rombach et al., 2022, arXiv:2112.10752, section 3.3.
    """

    grid = "hr"
    uses_lr = True

    @takes(ConditionOptions)
    def __init__(self, in_channels: int, out_channels: int, **keywords: Any) -> None:
        super().__init__()
        options = ConditionOptions(**keywords)
        levels = options.arranged()
        self.located = options.lr_channels > 0
        self.multiple, self.label_scale = levels.multiple, options.label_scale
        self.time_labels = options.time_vectors(levels)
        self.tokens = ConditionTokens(
            options.cross_attention_dim, options.lr_channels, options.time_labels
        )
        channels = {
            "in_channels": in_channels + self.located * POSITION_CHANNELS,
            "out_channels": out_channels,
        }
        self.unet = build_unet("UNet2DConditionModel", {**channels, **options.keywords(levels)})
        prepare(self.unet, options, in_channels, out_channels)

    def forward(
        self,
        inputs: torch.Tensor,
        noise_label: torch.Tensor,
        labels: torch.Tensor | None = None,
        lr: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return (N, out, H, W); see :mod:`xdeepr.networks.registry` for the arguments."""
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
    cause = "is not one of diffusers'" if value not in ADDITIONS else "embeds texts or photographs"
    raise OptionError(
        f"addition_embed_type={value!r} {cause} (they are {known}). Leave it out or give None;"
        " hour and day of the year enter through time_labels."
    )
