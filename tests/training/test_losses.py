"""The denoising objective against what is known of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xdeepr.card import Diffusion
from xdeepr.downscaler import precondition
from xdeepr.training.losses import denoising_loss, draw_noise


class Constant(torch.nn.Module):
    """A network that always answers the same."""

    multiple = 1

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, inputs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return torch.full_like(inputs[:, :1], self.value)


def test_noise_levels_are_log_normal(rng):
    diffusion = Diffusion(log_mean=-0.4, log_std=1.2)
    logs = np.concatenate(
        [np.log(draw_noise(rng, (64, 1, 2, 2), diffusion)[0].numpy()) for _ in range(200)]
    )
    assert logs.mean() == pytest.approx(-0.4, abs=0.02)
    assert logs.std() == pytest.approx(1.2, abs=0.02)


def test_each_batch_covers_the_levels(rng):
    diffusion = Diffusion()
    sigma, noise = draw_noise(rng, (10, 1, 64, 64), diffusion)
    quantile = torch.special.ndtr((sigma.log() - diffusion.log_mean) / diffusion.log_std)
    assert sorted((quantile * 10).long().tolist()) == list(range(10))
    assert float(noise.std()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("sigma", [0.01, 1.0, 50.0])
def test_the_loss_of_predicting_zero_is_one_at_every_level(sigma):
    """The preconditioning makes the network's target have variance 1 (Karras et al., eq. 8)."""
    generator = torch.Generator().manual_seed(0)
    residual = torch.randn(8, 1, 64, 64, generator=generator)
    noise = torch.randn(8, 1, 64, 64, generator=generator)
    loss = denoising_loss(
        Constant(0.0), residual, torch.zeros(8, 0, 64, 64), torch.full((8,), sigma), noise, 1.0
    )
    assert loss.shape == (8,)
    assert float(loss.mean()) == pytest.approx(1, abs=0.03)


def test_precondition_limits():
    """Without noise the field comes back; in pure noise the network alone decides."""
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    conditions = torch.zeros(2, 0, 8, 8)
    torch.testing.assert_close(
        precondition(Constant(3.0), x, 1e-4, conditions, 1.0), x, atol=1e-3, rtol=1e-3
    )
    torch.testing.assert_close(
        precondition(Constant(3.0), x, 1e4, conditions, 1.0),
        torch.full_like(x, 3.0),
        atol=1e-3,
        rtol=1e-3,
    )
