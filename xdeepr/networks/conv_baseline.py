"""DeepR's convolutional baseline, and the geometry of networks that fold the context in."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, TypeVar

import torch
from torch import nn

from xdeepr.errors import CheckpointError, OptionError, XdeeprError
from xdeepr.networks.lr_parts import (
    CovariateHead,
    Interpolation,
    baseline,
    batch_of_covariates,
    check_lr_network,
    zero_,
)


@dataclass(frozen=True)
class Folding:
    """How a convolution without padding leads from the LR cells to a size that doublings enlarge.

    Parameters
    ----------
    levels : int
        Doublings from there to the HR grid.
    kernel : (int, int)
        Size of the convolution along y and x.
    lr_shape : (int, int) or None
        Size of the LR input, context included, where the kernel belongs to one size.
    """

    levels: int
    kernel: tuple[int, int]
    lr_shape: tuple[int, int] | None


def whole_cells(factor: int) -> int:
    """Return what the LR cells of an input without context must be a multiple of.

    It is 1 for powers of two; above 1 the network belongs to one size of its input.
    """
    doubled = 1 << (factor - 1).bit_length()
    return doubled // gcd(factor, doubled)


def folding(factor: int, context: int, lr_shape: Sequence[int] | None) -> Folding:
    """Return the geometry of the first convolution.

    It maps y LR cells, context included, onto H / 2^k, where H is the HR size and k the number of
    doublings, ⌈log₂ factor⌉. If the factor is 2^k itself, this is y − 2 · context: the kernel
    folds the context in, and any size will do. Otherwise the kernel depends on y.

    Parameters
    ----------
    factor, context : int
        HR pixels along the edge of an LR cell; extra LR cells on each side.
    lr_shape : sequence of int, optional
        Size of the LR input along y and x, context included.

    Raises
    ------
    OptionError
        If the size is needed and missing, or does not lead to whole numbers.
    """
    levels = (factor - 1).bit_length()
    if factor == 2**levels:
        return Folding(levels, (2 * context + 1, 2 * context + 1), None)
    step = whole_cells(factor)
    if lr_shape is None:
        raise OptionError(
            f"factor={factor} is no power of two, so that the network belongs to one size of its"
            f" LR input: give lr_shape, {2 * context} cells of context and a multiple of {step}"
            " along y and x."
        )
    kernel = []
    for cells, axis in zip(lr_shape, "yx", strict=True):
        centre = cells - 2 * context
        if centre <= 0 or centre % step:
            near = max(step, round(centre / step) * step) + 2 * context
            raise OptionError(
                f"lr_shape={tuple(lr_shape)}: without the context of {context} cells on each side"
                f" there are {centre} cells along {axis}. With factor={factor} this must be a"
                f" multiple of {step}: take {near} in place of {cells}."
            )
        kernel.append(cells - centre * factor // 2**levels + 1)
    return Folding(levels, (kernel[0], kernel[1]), (int(lr_shape[0]), int(lr_shape[1])))


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


class ConvBaseline(nn.Module):
    """A few convolutions from the LR to the HR grid: DeepR's ``ConvBaseline``.

    Parameters
    ----------
    in_channels, out_channels : int
        Predictors and predictands.
    factor : int
        HR pixels along the edge of an LR cell, from 2.
    context : int, default: 0
        Extra LR cells on each side of the input, which the first convolution folds in.
    covariate_channels : int, default: 0
        HR covariates, merged by a :class:`~xdeepr.networks.lr_parts.CovariateHead`.
    lr_shape : (int, int), optional
        Size of the input along y and x, context included. Needed if the factor is no power of
        two: the network is then for this size only. Otherwise not used, and the attribute of
        this name is None.
    interpolation : {"bicubic", "bilinear", "nearest"}, optional
        Interpolate the first `out_channels` predictors and add them to the output. By default
        nothing is added.
    upblock_channels : (int, int), default: (64, 32)
        Widths inside each block that doubles the size.
    upblock_kernel_size : (int, int), default: (5, 3)
        Sizes of the two convolutions there, odd.

    Raises
    ------
    OptionError
        If the arguments do not fit together.
    """

    grid = "lr"
    whole_cells = staticmethod(whole_cells)
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
        upblock_channels: Sequence[int] = (64, 32),
        upblock_kernel_size: Sequence[int] = (5, 3),
    ) -> None:
        super().__init__()
        check_lr_network(in_channels, out_channels, factor, context, interpolation)
        for option, pair in (
            ("upblock_channels", upblock_channels),
            ("upblock_kernel_size", upblock_kernel_size),
        ):
            if len(pair) != 2 or min(pair) < 1:
                raise OptionError(f"{option}={list(pair)}: give two numbers from 1.")
        folded = folding(factor, context, lr_shape)
        self.factor, self.context = factor, context
        self.out_channels, self.covariate_channels = out_channels, covariate_channels
        self.interpolation = interpolation
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
        out = self.preprocess_model(lr)
        for block in self.cnns:
            out = block(out)
        if self.head is not None:
            out = self.head(out, batch_of_covariates(covariates, self.covariate_channels, out))
        if self.interpolation is not None:
            out = out + baseline(
                lr, self.context, self.factor, self.out_channels, self.interpolation
            )
        return out

    @classmethod
    def from_deepr(cls, config: Mapping[str, Any]) -> ConvBaseline:
        """Build the network of a published ``config.json``, with fresh weights.

        Parameters
        ----------
        config : mapping
            As DeepR's ``save_pretrained`` wrote it.

        Raises
        ------
        CheckpointError
            If it has unknown keys, or the sizes in it contradict each other.
        """
        return build_deepr(cls, cls.keywords_of_deepr(config))

    @staticmethod
    def keywords_of_deepr(config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keywords of the constructor for a published ``config.json``.

        Parameters
        ----------
        config : mapping
            As DeepR's ``save_pretrained`` wrote it. The class was called ConvBilinear at first,
            with the same tensors and without ``input_shape``, which was 44 by 60 cells.

        Raises
        ------
        CheckpointError
            As :meth:`from_deepr`.
        """
        if config.get("model_type") == "conv_bilineal":
            raise CheckpointError(
                "config.json is of the model type 'conv_bilineal', DeepR's first draft of its"
                " baseline: a network of other layers, which was never published and which xdeepr"
                " does not build. Train a 'conv-baseline' instead."
            )
        known = {"num_channels", "upscale", "input_shape", "image_size", "sample_size"}
        known |= {"interpolation_method", "upblock_channels", "upblock_kernel_size"}
        check_deepr_config(config, "convbilinear", known, {"upscale_power2"})
        factor = whole_number(config, "upscale", 1)
        lr_shape = pair_of(config, "input_shape") or (44, 60)
        hr_shape = pair_of(config, "sample_size")
        if hr_shape is None:
            centre = pair_of(config, "image_size")
            if centre is None:
                raise CheckpointError(
                    "config.json of a ConvBaseline has neither sample_size nor image_size: add"
                    " sample_size, height and width of the HR fields."
                )
            hr_shape = centre[0] * factor, centre[1] * factor
        channels = whole_number(config, "num_channels", 1)
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


WITHOUT_EFFECT = frozenset(
    {"architectures", "dtype", "model_type", "torch_dtype", "transformers_version"}
    | {"_name_or_path", "hidden_size", "num_attention_heads", "num_hidden_layers", "num_layers"}
    | {"initializer_range", "out_channels", "patch_norm", "path_norm", "return_dict"}
    | {"chunk_size_feed_forward", "output_attentions", "output_hidden_states"}
)
"""Keys of a ``config.json`` that change no number of a network whose sizes are given."""


def check_deepr_config(
    config: Mapping[str, Any],
    model_type: str,
    known: Collection[str],
    without_effect: Collection[str] = (),
) -> None:
    """Refuse a published ``config.json`` that is of another model or says more than is known.

    Parameters
    ----------
    config : mapping
        The configuration.
    model_type : str
        What it must be of.
    known, without_effect : collection of str
        Keys that are read, and that change nothing, beside :data:`WITHOUT_EFFECT`.

    Raises
    ------
    CheckpointError
        Names the keys and the nearest known ones.
    """
    found = config.get("model_type", model_type)
    if found != model_type:
        raise CheckpointError(
            f"config.json is of the model type {found!r}, where {model_type!r} is needed: choose"
            " the network that it belongs to."
        )
    unknown = sorted(set(config) - set(known) - set(without_effect) - WITHOUT_EFFECT)
    if unknown:
        pairs = ", ".join(
            f"{key} (nearest: {difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.0)[0]})"
            for key in unknown
        )
        raise CheckpointError(
            f"config.json of a {model_type} has keys that are not known: {pairs}. They may change"
            " what the network does: correct them, or delete those that change nothing."
        )


Network = TypeVar("Network", bound=nn.Module)


def build_deepr(cls: type[Network], keywords: Mapping[str, Any]) -> Network:
    """Build a network from what a published ``config.json`` says.

    Raises
    ------
    OptionError
        If values do not fit together.
    CheckpointError
        If a value is of the wrong kind.
    """
    try:
        return cls(**keywords)
    except XdeeprError:
        raise
    except (TypeError, ValueError) as error:  # transformers checks kinds strictly
        raise CheckpointError(
            f"config.json has a value of the wrong kind ({error}): copy the checkpoint again."
        ) from error


def whole_number(config: Mapping[str, Any], key: str, default: int) -> int:
    """Return a whole number of a configuration; null counts as missing.

    Raises
    ------
    CheckpointError
        If it is something else, or negative.
    """
    value = default if config.get(key) is None else config[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise CheckpointError(f"config.json: {key} is {value!r}, where a whole number is due.")
    return value


def pair_of(config: Mapping[str, Any], key: str) -> tuple[int, int] | None:
    """Return height and width of a configuration; one number stands for both.

    Raises
    ------
    CheckpointError
        If it is something else.
    """
    value = config.get(key)
    if value is None:
        return None
    pair = [value, value] if isinstance(value, int) else list(value)
    if len(pair) != 2 or any(not isinstance(n, int) or n < 1 for n in pair):
        raise CheckpointError(f"config.json: {key} is {value!r}, where height and width are due.")
    return pair[0], pair[1]


def context_of(lr_shape: tuple[int, int], hr_shape: tuple[int, int], factor: int) -> int:
    """Return the LR cells around the HR fields on each side.

    Parameters
    ----------
    lr_shape, hr_shape : (int, int)
        Sizes of input and output.
    factor : int
        HR pixels along the edge of an LR cell.

    Raises
    ------
    CheckpointError
        If the sizes do not nest, or the four sides differ.
    """
    twice = {
        cells - pixels // factor if pixels % factor == 0 else -1
        for cells, pixels in zip(lr_shape, hr_shape, strict=True)
    }
    if len(twice) > 1 or min(twice) < 0 or min(twice) % 2:
        raise CheckpointError(
            f"config.json: {lr_shape[0]} by {lr_shape[1]} LR cells around {hr_shape[0]} by"
            f" {hr_shape[1]} HR pixels, {factor} to a cell, do not leave the same number of cells"
            " on all four sides, which xdeepr needs."
        )
    return twice.pop() // 2
