"""DeepR's convolutional baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from xdeepr.errors import CheckpointError, OptionError
from xdeepr.networks.building import takes, zero_
from xdeepr.networks.deepr_config import (
    check_config,
    context_of,
    hr_shape_of,
    pair_of,
    whole_number_of,
)
from xdeepr.networks.folding import folding, whole_cells
from xdeepr.networks.lr_parts import LRNetwork


class UpConvBlock(nn.Module):
    """Three convolutions, and a transposed one that doubles the size."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int],
        kernel_sizes: Sequence[int],
    ) -> None:
        super().__init__()
        first, second = widths
        self.conv1 = nn.Conv2d(in_channels, first, kernel_sizes[0], padding="same")
        self.conv2 = nn.Conv2d(first, second, kernel_sizes[1], padding="same")
        self.conv3 = nn.Conv2d(second, 4 * out_channels, 1)
        self.conv4 = nn.ConvTranspose2d(4 * out_channels, out_channels, 2, stride=2)

    def forward(self, fields: torch.Tensor) -> torch.Tensor:
        """Return (N, out, 2·y, 2·x) for (N, in, y, x)."""
        for layer in (self.conv1, self.conv2, self.conv3):
            fields = nn.functional.relu(layer(fields))
        return self.conv4(fields)


class ConvBaseline(LRNetwork):
    """A few convolutions from the LR to the HR grid: DeepR's ``ConvBaseline``.

    The first convolution folds the context in. If the factor is no power of two it belongs to one
    size of the input, and `lr_shape` is needed.

    Parameters
    ----------
    upblock_channels : (int, int), default: (64, 32)
        Widths inside each block that doubles the size.
    upblock_kernel_size : (int, int), default: (5, 3)
        Sizes of the two convolutions there, odd.
    **keywords : Any
        Of every :class:`~xdeepr.networks.lr_parts.LRNetwork`.
    """

    whole_cells = staticmethod(whole_cells)

    @takes(LRNetwork)
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        upblock_channels: Sequence[int] = (64, 32),
        upblock_kernel_size: Sequence[int] = (5, 3),
        **keywords: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, **keywords)
        for option, pair in (
            ("upblock_channels", upblock_channels),
            ("upblock_kernel_size", upblock_kernel_size),
        ):
            if len(pair) != 2 or min(pair) < 1:
                raise OptionError(f"{option}={list(pair)}: give two numbers from 1.")
        folded = folding(self.factor, self.context, keywords.get("lr_shape"))
        self.lr_shape = folded.lr_shape
        width = 4 * out_channels
        self.preprocess_model = nn.Conv2d(in_channels, width, folded.kernel)
        self.cnns = nn.ModuleList()
        for level in reversed(range(folded.levels)):
            after = out_channels * 4**level
            self.cnns.append(UpConvBlock(width, after, upblock_channels, upblock_kernel_size))
            width = after
        # a fresh network predicts 0 (beside the baseline, if there is one)
        zero_(self.cnns[-1].conv4)  # type: ignore[arg-type]
        self.add_head()

    def enlarge(self, lr: torch.Tensor) -> torch.Tensor:
        """Return HR fields (N, out, H, W) of the LR cells alone."""
        out = self.preprocess_model(lr)
        for block in self.cnns:
            out = block(out)
        return out

    @staticmethod
    def keywords_of_deepr(config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the constructor's keywords for a ``config.json`` of DeepR's ``save_pretrained``.

        The class was called ConvBilinear at first, with the same tensors and without
        ``input_shape``, which was 44 by 60 cells.
        """
        if config.get("model_type") == "conv_bilineal":
            raise CheckpointError(
                "config.json is of the model type 'conv_bilineal', DeepR's first draft of its"
                " baseline: a network of other layers, which was never published and which xdeepr"
                " does not build. Train a 'conv-baseline' instead."
            )
        known = {"num_channels", "upscale", "input_shape", "image_size", "sample_size"}
        known |= {"interpolation_method", "upblock_channels", "upblock_kernel_size"}
        check_config(config, "convbilinear", known, {"upscale_power2"})
        factor = whole_number_of(config, "upscale", 1)
        lr_shape = pair_of(config, "input_shape") or (44, 60)
        hr_shape = hr_shape_of(config, factor)
        if hr_shape is None:
            raise CheckpointError(
                "config.json of a ConvBaseline has neither sample_size nor image_size: add"
                " sample_size, height and width of the HR fields."
            )
        channels = whole_number_of(config, "num_channels", 1)
        # DeepR records upblock_kernel_size and does not use it: its kernels are always 5 and 3
        return {
            "in_channels": channels,
            "out_channels": channels,
            "factor": factor,
            "context": context_of(lr_shape, hr_shape, factor),
            "lr_shape": lr_shape,
            "interpolation": config.get("interpolation_method", "bicubic"),
            "upblock_channels": tuple(config.get("upblock_channels", (64, 32))),
        }
