"""Averaged weights."""

from __future__ import annotations

import torch
from torch import nn


class PowerEMA:
    """Average of the weights over a fixed fraction of the training so far.

    The averaging window grows in proportion to the number of steps, so the same setting suits
    runs of any length (Karras et al., 2024, arXiv:2312.02696, section 3.1).

    Parameters
    ----------
    network : torch.nn.Module
        The network whose weights are averaged.
    exponent : float, default: 6.94
        gamma of the power function; 6.94 has a relative width of 10 % of the run.
    """

    def __init__(self, network: nn.Module, exponent: float = 6.94) -> None:
        self.exponent = exponent
        self.weights = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Mix in the weights after a step, counted from 1."""
        keep = (1 - 1 / step) ** (self.exponent + 1)
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - keep)
            else:
                self.weights[name].copy_(value)
