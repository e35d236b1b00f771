"""transformers' Swin2SR as a network on the LR grid.

transformers is imported when a network is built, since that takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from xdeepr.errors import OptionError
from xdeepr.networks.lr_parts import (
    CovariateHead,
    Interpolation,
    baseline,
    batch_of_covariates,
    check_lr_network,
    zero_,
)

UPSAMPLERS = ("pixelshuffle", "pixelshuffledirect", "nearest+conv", "pixelshuffle_aux")


class DropPath(nn.Module):
    """Leave a branch out for some entries of a batch, in training only.

    Parameters
    ----------
    rate : float
        Share of the entries. The others are enlarged, so that the mean stays.

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


_FRACTIONS = (
    "mlp_ratio", "hidden_dropout_prob", "attention_probs_dropout_prob", "drop_path_rate",
    "layer_norm_eps", "img_range",
)  # fmt: skip
"""Options for which transformers takes no whole number."""


@dataclass(frozen=True)
class SwinOptions:
    """Options of the transformer; see :class:`Swin2SR`. Checked when made."""

    embed_dim: int
    depths: Sequence[int]
    num_heads: Sequence[int]
    window_size: int
    patch_size: int
    mlp_ratio: float
    qkv_bias: bool
    hidden_dropout_prob: float
    attention_probs_dropout_prob: float
    drop_path_rate: float
    hidden_act: str
    layer_norm_eps: float
    img_range: float
    resi_connection: str
    upsampler: str

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
        if not isinstance(self.window_size, int) or self.window_size < 2:
            raise OptionError(f"window_size={self.window_size}: give a whole number from 2.")
        if self.patch_size != 1:
            raise OptionError(
                f"patch_size={self.patch_size} loses LR cells: for downscaling it must be 1."
            )
        if self.upsampler not in UPSAMPLERS:
            raise OptionError(
                f"upsampler={self.upsampler!r} is not known: choose of {', '.join(UPSAMPLERS)}."
            )
        if self.resi_connection not in ("1conv", "3conv"):
            raise OptionError(
                f"resi_connection={self.resi_connection!r} is not known: choose '1conv' or '3conv'."
            )

    def build(self, in_channels: int, out_channels: int, upscale: int) -> nn.Module:
        """Build transformers' network, whose fresh output is zero.

        Parameters
        ----------
        in_channels, out_channels : int
            Channels in and out.
        upscale : int
            2, 3, 4, 8 or a higher power of two.

        Raises
        ------
        OptionError
            If the upsampler does not suit the channels or the factor.
        """
        from huggingface_hub import errors
        from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution

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
        options = asdict(self)
        # newer versions of transformers check kinds strictly, with an error of their own
        refused = getattr(errors, "StrictDataclassError", ValueError)
        try:
            for name in _FRACTIONS:
                options[name] = float(options[name])
            options |= {"depths": list(self.depths), "num_heads": list(self.num_heads)}
            config = Swin2SRConfig(
                num_channels=in_channels,
                num_channels_out=out_channels,
                upscale=upscale,
                # windows are no wider than this, and only shifted if they are narrower
                image_size=2 * self.window_size,
                **options,
            )
            swin: Any = Swin2SRForImageSuperResolution(config)
        except (KeyError, TypeError, ValueError, refused) as error:
            raise OptionError(
                f"transformers cannot build Swin2SR from these options ({error}): compare them"
                " with the documentation of xdeepr.networks.swin2sr.Swin2SR."
            ) from error
        layers = [layer for stage in swin.swin2sr.encoder.stages for layer in stage.layers]
        for index, layer in enumerate(layers):
            # versions of transformers give every layer the full rate, or forget it
            layer.drop_path = DropPath(self.drop_path_rate * (index + 1) / len(layers))
        upsample = swin.upsample
        zero_(upsample.conv if hasattr(upsample, "conv") else upsample.final_convolution)
        return swin


class SwinNetwork(nn.Module):
    """A module that holds transformers' network as ``swin`` and keeps the names of its tensors.

    The names are those of DeepR's checkpoints and of transformers 4. Newer versions of
    transformers have other ones; a checkpoint must not depend on which was there when it was
    written.
    """

    swin: Any

    def run_swin(self, lr: torch.Tensor, *, any_size: bool) -> torch.Tensor:
        """Run the transformer on fields of any size.

        Parameters
        ----------
        lr : torch.Tensor
            Shape (N, in, y, x).
        any_size : bool
            Pad to two windows along each axis at least. There are versions of transformers that
            stop shifting windows once they saw a single one, also in every later call, so that
            results would depend on what was computed before. A network that only ever has one
            size does not need it.

        Returns
        -------
        torch.Tensor
            Shape (N, out, y · upscale, x · upscale).
        """
        window, upscale = self.swin.config.window_size, self.swin.config.upscale
        height, width = lr.shape[-2:]
        least = 2 * window if any_size else window
        pad_y = max(-height % window, least - height)
        pad_x = max(-width % window, least - width)
        if pad_y or pad_x:
            # reflection needs more cells than it adds; a smaller field repeats its edge
            mode = "reflect" if pad_y < height and pad_x < width else "replicate"
            lr = nn.functional.pad(lr, (0, pad_x, 0, pad_y), mode=mode)
        out = self.swin(pixel_values=lr).reconstruction
        return out[..., : height * upscale, : width * upscale]

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the tensors under the names of DeepR's checkpoints."""
        state = super().state_dict(*args, **kwargs)
        if self._newer_names:
            start = f"{kwargs.get('prefix', args[1] if len(args) > 1 else '')}swin."
            for key in [key for key in state if key.startswith(start)]:
                state[_renamed(key, 1, 0)] = state.pop(key)
        return state

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        for key in [key for key in state_dict if key.startswith(f"{prefix}swin.")]:
            value = state_dict.pop(key)
            # tables that some versions of transformers stored; they follow from the window's size
            if not key.endswith(("relative_coords_table", "relative_position_index")):
                state_dict[_renamed(key, 0, 1) if self._newer_names else key] = value
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    @cached_property
    def _newer_names(self) -> bool:
        return any(".q_proj." in name for name, _ in self.swin.named_parameters())


_NAMES = (
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


def _renamed(key: str, old: int, new: int) -> str:
    """Return a tensor's name, from column `old` of :data:`_NAMES` to column `new`."""
    for names in _NAMES:
        if names[old] in key:
            return key.replace(names[old], names[new])
    return key


class Swin2SR(SwinNetwork):
    """A transformer with shifted windows on the LR grid, and convolutions up to the HR grid.

    Parameters
    ----------
    in_channels, out_channels : int
        Predictors and predictands.
    factor : {2, 3, 4, 8}
        HR pixels along the edge of an LR cell.
    context : int, default: 0
        Extra LR cells on each side of the input. The transformer sees them; the output is cut.
    covariate_channels : int, default: 0
        HR covariates, merged by a :class:`~xdeepr.networks.lr_parts.CovariateHead`.
    lr_shape : (int, int), optional
        Not used: any size will do. The attribute of this name is None.
    interpolation : {"bicubic", "bilinear", "nearest"}, optional
        Interpolate the first `out_channels` predictors and add them to the output. By default
        nothing is added.
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
    qkv_bias : bool
        Biases in the attention.
    hidden_dropout_prob, attention_probs_dropout_prob, drop_path_rate : float
        Dropout of channels, of attention and of whole layers, in training only. The last is
        reached in the last layer and grows evenly up to there.
    hidden_act : str
        Activation.
    layer_norm_eps : float
        Added to the variance in normalizations.
    img_range : float
        The input is multiplied by it, the output divided.
    resi_connection : {"1conv", "3conv"}
        Convolutions at the end of a stage.
    upsampler : {"pixelshuffle", "pixelshuffledirect", "nearest+conv", "pixelshuffle_aux"}
        The way to the HR grid. The second is the cheapest, the first the most accurate at equal
        cost; the third is for factor 4, the last for exactly 3 channels in and out.

    Raises
    ------
    OptionError
        For another factor or options that do not fit together.

    References
    ----------
    Conde et al., 2022, arXiv:2209.11345.
    """

    grid = "lr"
    multiple = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        factor: int,
        context: int = 0,
        covariate_channels: int = 0,
        lr_shape: tuple[int, int] | None = None,
        interpolation: Interpolation | None = None,
        embed_dim: int = 60,
        depths: Sequence[int] = (2, 2),
        num_heads: Sequence[int] = (6, 6),
        window_size: int = 5,
        patch_size: int = 1,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        hidden_dropout_prob: float = 0.0,
        attention_probs_dropout_prob: float = 0.0,
        drop_path_rate: float = 0.1,
        hidden_act: str = "gelu",
        layer_norm_eps: float = 1e-5,
        img_range: float = 1.0,
        resi_connection: str = "1conv",
        upsampler: str = "pixelshuffle",
    ) -> None:
        super().__init__()
        check_lr_network(in_channels, out_channels, factor, context, interpolation)
        if factor not in (2, 3, 4, 8):
            raise OptionError(
                f"factor={factor}: Swin2SR can only enlarge by 2, 3, 4 or 8. The network"
                " 'conv-swin2sr' takes any factor."
            )
        self.factor, self.context = factor, context
        self.out_channels, self.covariate_channels = out_channels, covariate_channels
        self.interpolation = interpolation
        self.lr_shape: tuple[int, int] | None = None
        options = SwinOptions(
            embed_dim, depths, num_heads, window_size, patch_size, mlp_ratio, qkv_bias,
            hidden_dropout_prob, attention_probs_dropout_prob, drop_path_rate, hidden_act,
            layer_norm_eps, img_range, resi_connection, upsampler,
        )  # fmt: skip
        self.swin = options.build(in_channels, out_channels, factor)
        # transformers subtracts the mean colour of photographs from three channels
        self.swin.swin2sr.mean.zero_()
        self.head = CovariateHead(out_channels, covariate_channels) if covariate_channels else None

    def forward(self, lr: torch.Tensor, covariates: torch.Tensor | None = None) -> torch.Tensor:
        """Return HR fields.

        Parameters
        ----------
        lr : torch.Tensor
            Normalized predictors with their context, shape (N, in, y, x).
        covariates : torch.Tensor, optional
            Normalized HR covariates, shape (N, K, H, W).

        Returns
        -------
        torch.Tensor
            Shape (N, out, H, W) with H = (y − 2 · context) · factor, W alike.
        """
        out = self.run_swin(lr, any_size=True)
        edge = self.context * self.factor
        out = out[..., edge : out.shape[-2] - edge, edge : out.shape[-1] - edge]
        if self.head is not None:
            out = self.head(out, batch_of_covariates(covariates, self.covariate_channels, out))
        if self.interpolation is not None:
            out = out + baseline(
                lr, self.context, self.factor, self.out_channels, self.interpolation
            )
        return out
