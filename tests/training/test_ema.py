"""Averaged weights."""

from __future__ import annotations

import pytest
import torch

from xdeepr.training.ema import PowerEMA


@pytest.mark.parametrize("steps", [50, 400])
def test_average_of_a_ramp_has_the_known_lag(steps):
    """Weights proportional to t^gamma average a ramp to (gamma + 1)/(gamma + 2) of its end."""
    network = torch.nn.Linear(1, 1, bias=False)
    ema = PowerEMA(network)
    for step in range(1, steps + 1):
        torch.nn.init.constant_(network.weight, step)
        ema.update(network, step)
    gamma = ema.exponent
    expected = steps * (gamma + 1) / (gamma + 2)
    assert float(ema.weights["weight"]) == pytest.approx(expected, rel=0.02)


def test_the_first_step_replaces_the_initial_weights():
    network = torch.nn.Linear(2, 2)
    ema = PowerEMA(network)
    torch.nn.init.ones_(network.weight)
    ema.update(network, 1)
    assert (ema.weights["weight"] == 1).all()
