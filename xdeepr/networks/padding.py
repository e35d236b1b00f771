"""Pad to the sizes a network can take, and cut the padding off again."""

from __future__ import annotations

import torch
from torch import nn


def padded_call(
    network: nn.Module, inputs: torch.Tensor, *labels: torch.Tensor | None
) -> torch.Tensor:
    """Call a network on fields of any size.

    Edges are reflected on the high side up to the next multiple of ``network.multiple`` and
    the padding is removed from the output.

    Parameters
    ----------
    network : torch.nn.Module
        Has the attribute ``multiple``.
    inputs : torch.Tensor
        Shape (N, C, H, W).
    *labels : torch.Tensor or None
        Further arguments of the network, which are handed on.

    Returns
    -------
    torch.Tensor
        Shape (N, out, H, W).
    """
    height, width = inputs.shape[-2:]
    multiple = int(network.multiple)  # type: ignore[arg-type]
    pad_y, pad_x = -height % multiple, -width % multiple
    if not (pad_y or pad_x):
        return network(inputs, *labels)
    # reflection needs more pixels than it adds; a sliver narrower than that repeats its edge
    mode = "reflect" if pad_y < height and pad_x < width else "replicate"
    inputs = nn.functional.pad(inputs, (0, pad_x, 0, pad_y), mode=mode)
    return network(inputs, *labels)[..., :height, :width]
