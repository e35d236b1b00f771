"""What networks on the LR grid share: their checks, their baseline, and HR covariates."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn

from xdeepr.errors import OptionError

Interpolation = Literal["bicubic", "bilinear", "nearest"]


class CovariateHead(nn.Module):
    """Correct HR fields with what covariates tell of each pixel and its neighbours.

    Parameters
    ----------
    channels : int
        Channels of the fields.
    covariate_channels : int
        Channels of the covariates.
    width : int, default: 32
        Channels between the two convolutions.
    """

    def __init__(self, channels: int, covariate_channels: int, width: int = 32) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels + covariate_channels, width, 3, padding=1)
        self.conv_out = nn.Conv2d(width, channels, 3, padding=1)
        # a fresh head changes nothing
        zero_(self.conv_out)

    def forward(self, fields: torch.Tensor, covariates: torch.Tensor) -> torch.Tensor:
        """Return fields (N, C, H, W), corrected with covariates (N, K, H, W)."""
        hidden = self.conv_in(torch.cat([fields, covariates], dim=1))
        return fields + self.conv_out(nn.functional.gelu(hidden))


def zero_(layer: nn.Module) -> None:
    """Set the weights of a layer to zero, so that a fresh network predicts 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def check_lr_network(
    in_channels: int, out_channels: int, factor: int, context: int, interpolation: str | None
) -> None:
    """Refuse arguments that no network on the LR grid can have.

    Raises
    ------
    OptionError
        Names the argument.
    """
    if factor < 2:
        raise OptionError(f"factor={factor}: a network on the LR grid needs a factor from 2.")
    if context < 0:
        raise OptionError(f"context={context}: give the number of extra LR cells, from 0.")
    if interpolation is None:
        return
    if interpolation not in get_args(Interpolation):
        raise OptionError(
            f"interpolation={interpolation!r} is not known: choose None, 'bicubic', 'bilinear' or"
            " 'nearest'."
        )
    if in_channels < out_channels:
        raise OptionError(
            f"interpolation={interpolation!r} needs a predictor for each predictand, and there are"
            f" {in_channels} for {out_channels}: leave interpolation out."
        )


def baseline(lr: torch.Tensor, context: int, factor: int, channels: int, mode: str) -> torch.Tensor:
    """Interpolate the first channels of the LR cells without their context.

    Parameters
    ----------
    lr : torch.Tensor
        Shape (N, in, y, x), with `context` extra cells on each side.
    context, factor : int
        Extra cells; HR pixels along the edge of a cell.
    channels : int
        How many channels, from the first.
    mode : {"bicubic", "bilinear", "nearest"}
        As torch's ``interpolate`` has it: cells are areas, and the edges of the centre repeat,
        also where the context knows better. This is DeepR's way.

    Returns
    -------
    torch.Tensor
        Shape (N, channels, (y − 2 · context) · factor, (x − 2 · context) · factor).
    """
    height, width = lr.shape[-2:]
    centre = lr[:, :channels, context : height - context, context : width - context]
    return nn.functional.interpolate(centre, scale_factor=factor, mode=mode)


def batch_of_covariates(
    covariates: torch.Tensor | None, channels: int, fields: torch.Tensor
) -> torch.Tensor:
    """Return covariates for each entry of a batch, one map being that of all entries.

    Parameters
    ----------
    covariates : torch.Tensor or None
        Shape (N, K, H, W) or (1, K, H, W).
    channels : int
        K.
    fields : torch.Tensor
        What they belong to, shape (N, C, H, W).

    Raises
    ------
    OptionError
        If they are missing or have another shape.
    """
    count, _, height, width = fields.shape
    shape = None if covariates is None else tuple(covariates.shape)
    if covariates is None or shape not in (
        (count, channels, height, width),
        (1, channels, height, width),
    ):
        raise OptionError(
            f"the network needs covariates of the shape {(count, channels, height, width)} and was"
            f" given {shape or 'none'}: give the {channels} maps it was built for, on the HR grid."
        )
    return covariates.expand(count, -1, -1, -1)
