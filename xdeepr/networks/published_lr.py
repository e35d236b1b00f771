"""DeepR's networks on the LR grid as it trained them: the first row is the northernmost."""

from __future__ import annotations

import torch

from xdeepr.networks.conv_baseline import ConvBaseline
from xdeepr.networks.conv_swin2sr import ConvSwin2SR


class _NorthFirst:
    """Turns ascending rows round before a network, and its output back.

    The weights of a convolution could be turned instead, those of shifted windows could not.
    """

    def forward(self, lr: torch.Tensor, covariates: torch.Tensor | None = None) -> torch.Tensor:
        """Return HR fields (N, out, H, W) with ascending rows, like `lr` and `covariates`."""
        statics = None if covariates is None else covariates.flip(-2)
        forward = super().forward  # type: ignore[misc]
        out: torch.Tensor = forward(lr.flip(-2), statics)
        return out.flip(-2)


class PublishedConvSwin2SR(_NorthFirst, ConvSwin2SR):
    """:class:`~xdeepr.networks.conv_swin2sr.ConvSwin2SR` with DeepR's order of rows."""


class PublishedConvBaseline(_NorthFirst, ConvBaseline):
    """:class:`~xdeepr.networks.conv_baseline.ConvBaseline` with DeepR's order of rows."""
