"""diffusers' ``UNet2DModel`` behind the common interface, and the keywords of both its U-Nets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from xdeepr.checks import one_of, whole_number
from xdeepr.networks import diffusers_nets
from xdeepr.networks.block_types import Arrangement, arrange
from xdeepr.networks.building import takes
from xdeepr.networks.time_labels import LABEL_SCALE, FourierFeatures, TimeLabels

ACTIVATIONS = ("silu", "swish", "mish", "gelu", "relu")


@dataclass(frozen=True, kw_only=True)
class UNetOptions:
    """Keywords of both U-Nets of diffusers. Checked when made.

    Parameters
    ----------
    block_out_channels : sequence of int
        Width of each level, from the finest; the number of levels.
    layers_per_block : int
        Residual blocks in each level.
    attention_levels : sequence of int, optional
        Levels (0 is the finest) with attention. Its cost grows with the fourth power of the
        tile's edge, so only coarse levels are sensible.
    attention_head_dim : int
        Channels of an attention head (32 is several times as fast as diffusers' 8). Unlike in
        diffusers it is the width in every block.
    dropout : float
        Dropout in the blocks, in training only.
    norm_num_groups : int
        Groups of the group normalization; must divide every width.
    down_block_types, up_block_types : sequence of str, optional
        Blocks of diffusers from the finest level to the coarsest and back, instead of
        `attention_levels`; see :data:`xdeepr.networks.block_types.BLOCKS`. One of the two is
        enough: the other then mirrors it.
    mid_block_type : str or None
        What stands between the two halves; None for nothing.
    mid_block_scale_factor : float
        Divisor of the middle block's output.
    time_embedding_type : {"positional", "fourier"}
        Noise level as sines and cosines at geometric or at random wavelengths.
    time_embedding_dim : int, optional
        Length of the vector that stands for noise level and time. Default: four times the width
        of the finest level.
    label_scale : float
        Factor of the noise label before its embedding, whose shortest wavelength is 2 pi.
    freq_shift : int
        1 if the longest wavelength of the positional embedding is to be reached.
    flip_sin_to_cos : bool
        Put the cosines first.
    resnet_time_scale_shift : {"default", "scale_shift"}
        Whether the time is added, or also scales the fields.
    downsample_padding : {1, 0}
        Pad all edges by one pixel when halving the resolution, or only the high ones.
    sample_size : int or sequence of int, optional
        Taken for the sake of diffusers' configurations and not used: sizes are free.
    time_labels : mapping of str to str, optional
        Hour and day of year as labels; see :class:`xdeepr.networks.time_labels.TimeLabels`.
    lr_channels : int
        Predictors on the LR grid, for a network that looks at them.
    """

    network: ClassVar[str] = "unet2d"
    middles: ClassVar[tuple[str, ...]] = ("UNetMidBlock2D",)
    ours: ClassVar[frozenset[str]] = frozenset(
        {"block_out_channels", "down_block_types", "up_block_types", "attention_levels"}
        | {"attention_head_dim", "time_embedding_type", "time_embedding_dim", "label_scale"}
        | {"sample_size", "time_labels", "lr_channels"}
    )

    block_out_channels: Sequence[int] = (32, 64, 96)
    layers_per_block: int = 2
    attention_levels: Sequence[int] | None = ()
    attention_head_dim: int = 32
    dropout: float = 0.1
    norm_num_groups: int = 8
    norm_eps: float = 1e-5
    down_block_types: Sequence[str] | None = None
    up_block_types: Sequence[str] | None = None
    mid_block_type: str | None = "UNetMidBlock2D"
    mid_block_scale_factor: float = 1.0
    time_embedding_type: str = "positional"
    time_embedding_dim: int | None = None
    label_scale: float = LABEL_SCALE
    freq_shift: int = 0
    flip_sin_to_cos: bool = True
    act_fn: str = "silu"
    resnet_time_scale_shift: str = "default"
    downsample_padding: int = 1
    sample_size: int | Sequence[int] | None = None
    time_labels: Mapping[str, str] | None = None
    lr_channels: int = 0

    def __post_init__(self) -> None:
        if self.mid_block_type is not None:
            one_of("mid_block_type", self.mid_block_type, self.middles)
        one_of("time_embedding_type", self.time_embedding_type, ("positional", "fourier"))
        one_of("act_fn", self.act_fn, ACTIVATIONS)
        shift = self.resnet_time_scale_shift
        one_of("resnet_time_scale_shift", shift, ("default", "scale_shift"))
        whole_number("downsample_padding", self.downsample_padding, least=0, most=1)

    def arranged(self) -> Arrangement:
        """Return the blocks of all levels, which are seen to run together."""
        return arrange(
            self.network,
            self.block_out_channels,
            self.down_block_types,
            self.up_block_types,
            self.attention_levels,
            self.layers_per_block,
            self.time_embedding_dim,
        )

    def keywords(self, levels: Arrangement) -> dict[str, Any]:
        """Return keywords of diffusers' class, but for the channels."""
        own = {name: value for name, value in vars(self).items() if name not in self.ours}
        embedding = "identity" if self.time_labels else None
        return {**own, "class_embed_type": embedding, **levels.settings()}

    def time_vectors(self, levels: Arrangement) -> TimeLabels | None:
        """Return the layers that embed the labels of the time."""
        return TimeLabels(self.time_labels, levels.time_dim) if self.time_labels else None


def prepare(unet: Any, options: UNetOptions, in_channels: int, out_channels: int) -> None:
    """Make a fresh U-Net of diffusers run on any channels and widths, and predict zero."""
    if options.time_embedding_type == "fourier":
        # diffusers' own takes the logarithm of the label, which is negative for half of ours
        features = FourierFeatures(options.block_out_channels[0])
        diffusers_nets.set_noise_embedding(unet, features)
    diffusers_nets.set_heads(unet, options.attention_head_dim)
    diffusers_nets.set_groups(unet)
    diffusers_nets.set_skips(unet, in_channels, out_channels)
    diffusers_nets.predict_zero(unet)


@dataclass(frozen=True, kw_only=True)
class PlainOptions(UNetOptions):
    """Keywords of ``UNet2DModel``, beside those of :class:`UNetOptions`.

    Parameters
    ----------
    add_attention : bool, optional
        Self-attention between the two halves. Default: if any other block has it.
    attn_norm_num_groups : int, optional
        Groups of the normalization before the middle block's attention.
    downsample_type, upsample_type : {"conv", "resnet"}
        How attention blocks change the resolution.
    """

    add_attention: bool | None = None
    attn_norm_num_groups: int | None = None
    downsample_type: str = "conv"
    upsample_type: str = "conv"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("downsample_type", self.downsample_type, ("conv", "resnet"))
        one_of("upsample_type", self.upsample_type, ("conv", "resnet"))

    def keywords(self, levels: Arrangement) -> dict[str, Any]:
        """Return keywords of diffusers' class, but for the channels."""
        keywords = super().keywords(levels)
        del keywords["mid_block_type"]  # UNet2DModel has one kind only
        if self.add_attention is None:
            keywords["add_attention"] = levels.attends
        return keywords


class UNet2D(nn.Module):
    """A U-Net of residual blocks, without attention unless asked.

    Keywords beside the channels are the fields of :class:`PlainOptions`. `lr_channels` is not
    used: this network sees the predictors as channels only.

    References
    ----------
    Ronneberger et al., 2015, arXiv:1505.04597; Ho et al., 2020, arXiv:2006.11239. Skip blocks:
    Song et al., 2021, arXiv:2011.13456.
    """

    grid = "hr"
    uses_lr = False

    @takes(PlainOptions)
    def __init__(self, in_channels: int, out_channels: int, **keywords: Any) -> None:
        super().__init__()
        options = PlainOptions(**keywords)
        levels = options.arranged()
        self.multiple, self.label_scale = levels.multiple, options.label_scale
        self.time_labels = options.time_vectors(levels)
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        self.unet = diffusers_nets.build_unet(
            "UNet2DModel", {**channels, **options.keywords(levels)}
        )
        prepare(self.unet, options, in_channels, out_channels)
        if options.mid_block_type is None:
            diffusers_nets.leave_out_middle(self.unet)
        diffusers_nets.without_tokens(self.unet)

    def forward(
        self,
        inputs: torch.Tensor,
        noise_label: torch.Tensor,
        labels: torch.Tensor | None = None,
        lr: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return (N, out, H, W); see :mod:`xdeepr.networks.registry` for the arguments."""
        vector = self.time_labels(labels) if self.time_labels is not None else None
        scaled = noise_label * self.label_scale
        return self.unet(inputs, scaled, class_labels=vector, return_dict=False)[0]
