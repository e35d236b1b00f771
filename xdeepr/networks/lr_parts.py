"""What networks on the LR grid share: their keywords, their baseline, and HR covariates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from xdeepr.checks import one_of, whole_number
from xdeepr.errors import OptionError
from xdeepr.networks.building import zero_
from xdeepr.tiling.interpolation import METHODS
from xdeepr.tiling.interpolation import Method as Interpolation


class LRNetwork(nn.Module):
    """A network from the LR to the HR grid; a subclass says how the cells become pixels.

    Parameters
    ----------
    in_channels, out_channels : int
        Predictors and predictands.
    factor : int
        HR pixels along the edge of an LR cell, from 2.
    context : int, default: 0
        Extra LR cells on each side of the input.
    covariate_channels : int, default: 0
        HR covariates, merged by a :class:`CovariateHead`.
    lr_shape : (int, int), optional
        Size of the input along y and x, context included, for networks that belong to one size.
        The attribute of this name is None where any size will do.
    interpolation : {"bicubic", "bilinear", "nearest"}, optional
        Interpolate the first `out_channels` predictors and add them to the output. By default
        nothing is added.
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
        lr_shape: Sequence[int] | None = None,
        interpolation: Interpolation | None = None,
    ) -> None:
        super().__init__()
        whole_number("factor", factor, least=2)
        whole_number("context", context, least=0)
        if interpolation is not None:
            one_of("interpolation", interpolation, METHODS)
            if in_channels < out_channels:
                raise OptionError(
                    f"interpolation={interpolation!r} needs a predictor for each predictand, and"
                    f" there are {in_channels} for {out_channels}: leave interpolation out."
                )
        self.factor, self.context = factor, context
        self.out_channels, self.covariate_channels = out_channels, covariate_channels
        self.interpolation = interpolation
        self.lr_shape: tuple[int, int] | None = None
        self.head: CovariateHead | None = None

    def add_head(self) -> None:
        """Add what merges covariates, as the last of the layers."""
        if self.covariate_channels:
            self.head = CovariateHead(self.out_channels, self.covariate_channels)

    def enlarge(self, lr: torch.Tensor) -> torch.Tensor:
        """Return HR fields (N, out, H, W) of the LR cells alone."""
        raise NotImplementedError

    def merge(
        self, fields: torch.Tensor, base: torch.Tensor | None, covariates: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the output from enlarged fields, their baseline and covariates, if there are."""
        if self.head is not None and covariates is not None:
            fields = self.head(fields, covariates)
        return fields if base is None else fields + base

    def forward(self, lr: torch.Tensor, covariates: torch.Tensor | None = None) -> torch.Tensor:
        """Return HR fields (N, out, H, W), H = (y − 2 · context) · factor and W alike.

        Normalized predictors with their context are (N, in, y, x); normalized HR covariates are
        (N, K, H, W), or (1, K, H, W) for all entries.
        """
        fields, base = self.enlarge(lr), None
        if self.covariate_channels:
            covariates = batch_of_covariates(covariates, self.covariate_channels, fields)
        if self.interpolation is not None:
            channels, mode = self.out_channels, self.interpolation
            base = baseline(lr, self.context, self.factor, channels, mode)
        return self.merge(fields, base, covariates)


class CovariateHead(nn.Module):
    """Correct HR fields by the covariates of each pixel and its neighbours."""

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


def baseline(lr: torch.Tensor, context: int, factor: int, channels: int, mode: str) -> torch.Tensor:
    """Interpolate the first channels of the LR cells without their context to the HR grid.

    As torch's ``interpolate`` has it, cells are areas, and the edges of the centre repeat, also
    where the context knows better. This is DeepR's way.
    """
    height, width = lr.shape[-2:]
    centre = lr[:, :channels, context : height - context, context : width - context]
    return nn.functional.interpolate(centre, scale_factor=factor, mode=mode)


def batch_of_covariates(
    covariates: torch.Tensor | None, channels: int, fields: torch.Tensor
) -> torch.Tensor:
    """Return K covariates for each of N fields, (N, K, H, W), also where one map is given."""
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
