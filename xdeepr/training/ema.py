"""Averaged weights."""

from __future__ import annotations

import torch
from torch import nn


class PowerEMA:
    r"""Average of the weights over a fixed fraction of the training so far.

    After step :math:`t` with the weights :math:`w_t`,

    .. math::

        \overline{w}_t = \beta_t\, \overline{w}_{t-1} + (1 - \beta_t)\, w_t, \qquad
        \beta_t = (1 - 1/t)^{\gamma + 1}. \qquad (1)

    The product of the :math:`\beta` after step :math:`s` is :math:`(s/t)^{\gamma+1}`, so that
    :math:`w_s` counts in proportion to :math:`s^\gamma`, whatever :math:`t` is: the window grows
    with the run, and the same setting suits runs of any length. Its width relative to the run is

    .. math::

        \sqrt{\frac{\gamma + 1}{(\gamma + 2)^2 (\gamma + 3)}} \qquad (2)

    (Karras et al., 2024, arXiv:2312.02696, section 3.1).

    Parameters
    ----------
    exponent : float, default: 6.94
        The power :math:`\gamma`; 6.94 has a width of 10 % of the run.
    """

    def __init__(self, network: nn.Module, exponent: float = 6.94) -> None:
        self.exponent = exponent
        self.weights = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Mix in the weights after a step, counted from 1."""
        keep = (1 - 1 / step) ** (self.exponent + 1)  # equation 1
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - keep)
            else:
                self.weights[name].copy_(value)
