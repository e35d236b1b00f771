"""diffusers' autoencoders behind one interface: the spaces that latent diffusion works in.

``multiple`` is the spatial reduction d, to multiples of which the caller pads a field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from xdeepr.errors import OptionError
from xdeepr.networks import diffusers_nets
from xdeepr.networks.building import before_loading, takes

MEMORY = 0.98
"""Weight of the past in the record of how often an entry of the codebook is used."""

DEAD = 0.1
"""An entry used less often than this, against an even use of all entries, is moved."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderOptions:
    """Keywords of both autoencoders, checked when made: widths, groups and blocks fit together.

    Parameters
    ----------
    latent_channels : int
        Channels of a latent; with a codebook, between the encoder and the codebook.
    block_out_channels : sequence of int
        Width of each level; each level but the last halves both sizes.
    layers_per_block : int
        Residual blocks in each level.
    down_block_types, up_block_types : sequence of str, optional
        diffusers' names of the blocks, one for each level. ``AttnDownEncoderBlock2D`` and
        ``AttnUpDecoderBlock2D`` have attention, by default no level has.
    norm_num_groups : int
        Groups of the group normalization; must divide every width.
    mid_block_add_attention : bool
        Attention in the lowest level. It lets every pixel depend on the whole tile, and its cost
        grows with the square of the tile's area. diffusers' own default is True: say so for
        weights that were trained with it.
    sample_size : int or sequence of int
        Size of the fields of the training; recorded only.
    """

    latent_channels: int = 4
    block_out_channels: Sequence[int] = (16, 32, 32)
    layers_per_block: int = 1
    down_block_types: Sequence[str] | None = None
    up_block_types: Sequence[str] | None = None
    norm_num_groups: int = 8
    act_fn: str = "silu"
    mid_block_add_attention: bool = False
    sample_size: int | Sequence[int] = 32

    def __post_init__(self) -> None:
        widths, groups = self.block_out_channels, self.norm_num_groups
        if not widths or any(width % groups for width in widths):
            raise OptionError(
                f"block_out_channels={list(widths)}: every width must be a multiple of"
                f" norm_num_groups={groups}, and one level is the least."
            )
        for option in ("down_block_types", "up_block_types"):
            blocks = getattr(self, option)
            if blocks and len(blocks) != len(widths):
                raise OptionError(
                    f"{option} names {len(blocks)} blocks for the {len(widths)} levels of"
                    f" block_out_channels={list(widths)}: give one for each level."
                )

    def keywords(self, channels: int) -> dict[str, Any]:
        """Return keywords of diffusers' classes, for fields of some channels."""
        levels = len(self.block_out_channels)
        return {
            **asdict(self),
            "in_channels": channels,
            "out_channels": channels,
            "block_out_channels": tuple(self.block_out_channels),
            "down_block_types": tuple(self.down_block_types or ["DownEncoderBlock2D"] * levels),
            "up_block_types": tuple(self.up_block_types or ["UpDecoderBlock2D"] * levels),
        }


@dataclass(frozen=True, kw_only=True)
class VQOptions(AutoencoderOptions):
    """Keywords of an autoencoder with a codebook, beside those of both.

    Parameters
    ----------
    num_vq_embeddings : int
        Entries of the codebook.
    vq_embed_dim : int, optional
        Channels of an entry, and so of a latent: the attribute ``latent_channels`` is this
        number. The keyword `latent_channels` by default.
    """

    num_vq_embeddings: int = 256
    vq_embed_dim: int | None = None


class _Autoencoder(nn.Module):
    """What the two autoencoders share; ``model`` is the one of diffusers."""

    def __init__(self, channels: int, kind: str, options: AutoencoderOptions) -> None:
        super().__init__()
        self.channels = channels
        self.latent_channels = options.latent_channels
        self.multiple = 2 ** (len(options.block_out_channels) - 1)
        self.model = diffusers_nets.build_autoencoder(kind, options.keywords(channels))

    def encode(self, fields: torch.Tensor) -> torch.Tensor:
        """Return the latent (N, latent_channels, H/d, W/d) of fields (N, channels, H, W)."""
        raise NotImplementedError

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Return the fields (N, channels, H, W) of a latent (N, latent_channels, H/d, W/d)."""
        return self.model.decode(latent).sample

    def forward(self, fields: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction (N, channels, H, W) of fields (N, channels, H, W)."""
        return self.decode(self.encode(fields))

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the latent of fields of the shape (N, channels, H, W)."""
        count, _, height, width = shape
        return count, self.latent_channels, height // self.multiple, width // self.multiple


class KLAutoencoder(_Autoencoder):
    """A variational autoencoder whose latents are drawn towards a standard normal distribution.

    Its keywords are `channels` and the fields of :class:`AutoencoderOptions`.

    References
    ----------
    Kingma and Welling, 2014, arXiv:1312.6114; Rombach et al., 2022, arXiv:2112.10752.
    """

    @takes(AutoencoderOptions)
    def __init__(self, channels: int, **keywords: Any) -> None:
        super().__init__(channels, "AutoencoderKL", AutoencoderOptions(**keywords))

    def encode(self, fields: torch.Tensor) -> torch.Tensor:
        """Return the mean (N, latent_channels, H/d, W/d) of the posterior distribution."""
        return self.model.encode(fields).latent_dist.mode()

    def reconstruction_terms(
        self, fields: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the reconstruction of a posterior draw, (N, channels, H, W), and a penalty (N,).

        The draw is made of standard normal `noise`, shape ``latent_shape(fields.shape)``. The
        penalty is the Kullback–Leibler divergence of the posterior from the standard normal
        distribution, summed over the latent and divided by the H · W pixels of the field, in
        nats. Objectives weight it lightly, by 1e-6 to 1e-3.
        """
        posterior = self.model.encode(fields).latent_dist
        reconstruction = self.decode(posterior.mean + posterior.std * noise)
        return reconstruction, posterior.kl() / (fields.shape[-2] * fields.shape[-1])


class VQAutoencoder(_Autoencoder):
    """An autoencoder whose latent pixels are entries of a learnt codebook.

    Its keywords are `channels` and the fields of :class:`VQOptions`.

    The latent that :meth:`encode` returns, and that a diffusion model learns, is continuous:
    what the encoder says, before it is quantized. :meth:`decode` moves each of its pixels to the
    nearest entry of the codebook first, and so mends small errors of the diffusion.

    Notes
    -----
    In training, entries of the codebook that have lost all users are moved to where the latents
    are. The buffer ``usage`` keeps the count: 1 is an even use of all entries.

    References
    ----------
    van den Oord et al., 2017, arXiv:1711.00937.
    """

    usage: torch.Tensor

    @takes(VQOptions)
    def __init__(self, channels: int, **keywords: Any) -> None:
        options = VQOptions(**keywords)
        super().__init__(channels, "VQModel", options)
        self.latent_channels = options.vq_embed_dim or options.latent_channels
        self.register_buffer("usage", torch.zeros(options.num_vq_embeddings))
        before_loading(self, self._count_as_used)

    def encode(self, fields: torch.Tensor) -> torch.Tensor:
        """Return the latent (N, latent_channels, H/d, W/d), not yet quantized."""
        return self.model.encode(fields).latents

    def reconstruction_terms(
        self, fields: torch.Tensor, noise: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the reconstruction from the nearest entries, (N, channels, H, W), and a penalty.

        The gradient of the first skips the quantization (ibid., section 3.2). `noise` is not used,
        and here so that both autoencoders are called alike. The penalty, (N,), is the mean
        squared distance of the latent to its entries: the part that moves the latent with weight
        1, the part that moves the entries with diffusers' ``beta`` (0.25). This is the order of
        weights that DeepR's models were trained with; the paper has it the other way round (ibid.,
        equation 3).
        """
        latent = self.encode(fields)
        if self.training:
            self._revive(latent.detach())
        quantized, index = diffusers_nets.quantize(self.model, latent)
        count, _, height, width = latent.shape
        codebook = diffusers_nets.codebook(self.model)
        entries = nn.functional.embedding(index.reshape(count, height, width), codebook)
        entries = entries.permute(0, 3, 1, 2)
        commitment = (entries.detach() - latent).square().mean(dim=(1, 2, 3))
        attraction = (entries - latent.detach()).square().mean(dim=(1, 2, 3))
        reconstruction = diffusers_nets.decode_entries(self.model, quantized)
        weight = diffusers_nets.weight_of_codebook(self.model)
        return reconstruction, commitment + weight * attraction

    @torch.no_grad()
    def _revive(self, latent: torch.Tensor) -> None:
        """Move entries of the codebook that nothing is near to into the latents of a batch.

        An entry that is never the nearest one has no gradient and stays unused for ever. From
        diffusers' first codebook, all entries close to zero, this ends with a single entry in
        use and a constant reconstruction (Dhariwal et al., 2020, arXiv:2005.00341, section 3.1).
        The latents are taken at even distances, not drawn, so that training stays repeatable.
        """
        codebook = diffusers_nets.codebook(self.model)
        pixels = latent.permute(0, 2, 3, 1).flatten(0, 2).to(codebook)
        dead = torch.nonzero(self.usage < DEAD)[:, 0]
        if len(dead):
            place = torch.arange(len(dead), device=dead.device) * len(pixels) // len(dead)
            codebook[dead] = pixels[place]
            self.usage[dead] = 1  # time to find users
        nearest = torch.cdist(pixels, codebook).argmin(dim=1)
        share = torch.bincount(nearest, minlength=len(codebook)) * (len(codebook) / len(pixels))
        self.usage.lerp_(share.to(self.usage), 1 - MEMORY)

    @staticmethod
    def _count_as_used(network: Any, tensors: dict[str, Any], prefix: str, *_: Any) -> None:
        """Take weights that were trained without a record of use: all entries count as used."""
        tensors.setdefault(f"{prefix}usage", torch.ones_like(network.usage))
