"""Losses of whole fields, for networks without a diffusion."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from xdeepr.errors import OptionError

Loss = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""Prediction (N, C, H, W), target, and pixels along an LR cell -> one number for each entry."""


def squared(prediction: torch.Tensor, target: torch.Tensor, factor: int = 1) -> torch.Tensor:
    """Return the mean squared error of each entry."""
    return (prediction - target).square().mean(dim=(1, 2, 3))


def absolute(prediction: torch.Tensor, target: torch.Tensor, factor: int = 1) -> torch.Tensor:
    """Return the mean absolute error of each entry."""
    return (prediction - target).abs().mean(dim=(1, 2, 3))


def three_term_loss(
    prediction: torch.Tensor, target: torch.Tensor, factor: int, *, kernel_size: int = 5
) -> torch.Tensor:
    r"""Return the sum of three mean absolute errors for each entry of a batch.

    With the difference :math:`d` of the fields, its means :math:`\overline{d}` over blocks of
    `factor` by `factor` pixels, which are what the LR field knows, and a Gaussian :math:`G`, which
    forgives a feature that is a pixel off,

    .. math::

        L = \langle |d| \rangle + \langle |\overline{d}| \rangle + \langle |G * d| \rangle.
        \qquad (1)

    Rows and columns that fill no whole block (at the high side) are left out of the second term.
    The Gaussian has an odd width of :math:`k` pixels, `kernel_size`.

    Notes
    -----
    DeepR, whose loss this is (arXiv:2410.12728), smooths with torchvision's ``GaussianBlur(5)``,
    which draws a new width of 0.1 to 2 pixels in every call: prediction and target are then
    smoothed by two different kernels, and equal fields have a loss above zero. Here the width is
    fixed at

    .. math::

        0.3 \left( \frac{k - 1}{2} - 1 \right) + 0.8, \qquad (2)

    the one that fills the kernel (1.1 pixels for 5, nearly the mean of torchvision's range), so the
    loss is deterministic, symmetric, and zero for equal fields only.
    """
    if prediction.shape != target.shape:
        raise OptionError(
            f"prediction and target have the shapes {tuple(prediction.shape)} and"
            f" {tuple(target.shape)}: they must be equal."
        )
    if factor < 1 or min(target.shape[-2:]) < factor:
        raise OptionError(
            f"factor={factor} makes blocks that do not fit into fields of"
            f" {target.shape[-2]} by {target.shape[-1]} pixels: give larger tiles."
        )
    # mean and smoothing are linear, so that each is done once, on the difference
    difference = prediction - target
    blocks = nn.functional.avg_pool2d(difference, factor)  # leaves incomplete blocks out
    terms = (difference, blocks, gaussian_blur(difference, kernel_size))
    return torch.stack([term.abs().mean(dim=(1, 2, 3)) for term in terms]).sum(dim=0)


def gaussian_blur(fields: torch.Tensor, kernel_size: int) -> torch.Tensor:
    """Smooth fields (N, C, H, W) with a Gaussian whose width follows from that of its kernel.

    Edges are reflected. The kernel has an odd width in pixels.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise OptionError(
            f"kernel_size={kernel_size} has no middle pixel: give an odd number from 1, such as 5."
        )
    half = kernel_size // 2
    sigma = 0.3 * (half - 1) + 0.8  # equation 2 of the three-term loss
    weights = [math.exp(-((i - half) ** 2) / (2 * sigma**2)) for i in range(kernel_size)]
    row = torch.tensor(weights, dtype=fields.dtype, device=fields.device) / sum(weights)
    # reflection needs more pixels than it adds; a sliver narrower than that repeats its edge
    mode = "reflect" if min(fields.shape[-2:]) > half else "replicate"
    padded = nn.functional.pad(fields, (half, half, half, half), mode=mode)
    flat = padded.flatten(0, 1)[:, None]  # every channel of every entry is a field of its own
    flat = nn.functional.conv2d(flat, row.reshape(1, 1, 1, -1))
    flat = nn.functional.conv2d(flat, row.reshape(1, 1, -1, 1))
    return flat.reshape(fields.shape)


LOSSES: dict[str, Loss] = {"l2": squared, "l1": absolute, "three-term": three_term_loss}
"""Losses of deterministic models by name."""
