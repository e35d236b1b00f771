"""Pad to the sizes a network can take, and cut the padding off again."""

from __future__ import annotations

import torch
from torch import nn


def padded(inputs: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Return fields (N, C, H, W) with more rows and columns on the high sides, edges reflected."""
    if not (rows or columns):
        return inputs
    # reflection needs more pixels than it adds; a sliver narrower than that repeats its edge
    reflects = rows < inputs.shape[-2] and columns < inputs.shape[-1]
    mode = "reflect" if reflects else "replicate"
    return nn.functional.pad(inputs, (0, columns, 0, rows), mode=mode)


def padded_call(
    network: nn.Module, inputs: torch.Tensor, *labels: torch.Tensor | None
) -> torch.Tensor:
    """Call a network on fields (N, C, H, W) of any size, and return (N, out, H, W).

    Edges are reflected on the high side up to the next multiple of ``network.multiple`` and the
    padding is removed from the output. `labels`, its further arguments, are handed on.
    """
    height, width = inputs.shape[-2:]
    multiple = int(network.multiple)  # type: ignore[arg-type]
    inputs = padded(inputs, -height % multiple, -width % multiple)
    return network(inputs, *labels)[..., :height, :width]
