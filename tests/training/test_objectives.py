"""The objectives against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xdeepr.models.card import Diffusion
from xdeepr.networks.calling import Conditions
from xdeepr.normalization import Affine
from xdeepr.training.batches import Batch
from xdeepr.training.losses import three_term_loss
from xdeepr.training.objectives import (
    Denoising,
    LatentDenoising,
    Reconstruction,
    Regression,
)


class Constant(torch.nn.Module):
    """A network that always answers the same."""

    multiple = 1

    def __init__(self, value: float, channels: int = 1) -> None:
        super().__init__()
        self.value, self.channels = value, channels

    def forward(self, inputs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return torch.full_like(inputs[:, : self.channels], self.value)


class Blocks(torch.nn.Module):
    """An autoencoder that keeps block means."""

    multiple, latent_channels = 4, 1

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 4)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        return latent.repeat_interleave(4, -1).repeat_interleave(4, -2)

    def reconstruction_terms(self, x, noise):
        assert noise.shape == self.encode(x).shape
        return self.decode(self.encode(x)), torch.full((len(x),), 2.0)


@pytest.fixture
def batch(rng) -> Batch:
    target = torch.from_numpy(rng.standard_normal((8, 1, 64, 64), dtype=np.float32))
    return Batch(target, Conditions(torch.zeros(8, 1, 64, 64)), tuple(range(8)))


def test_noise_levels_are_log_normal_and_cover_each_batch(rng, batch):
    objective = Denoising(Diffusion(log_mean=-0.4, log_std=1.2))
    sigma, noise = objective.draw(rng, batch)
    quantile = torch.special.ndtr((sigma.log() + 0.4) / 1.2)
    assert sorted((quantile * 8).long().tolist()) == list(range(8))
    assert noise.shape == batch.target.shape
    assert float(noise.std()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("sigma", [0.01, 1.0, 50.0])
def test_the_loss_of_predicting_zero_is_one_at_every_level(sigma, batch, rng):
    """The preconditioning makes the network's target have variance 1 (Karras et al., eq. 8)."""
    objective = Denoising(Diffusion())
    _, noise = objective.draw(rng, batch)
    loss = objective.losses(Constant(0.0), batch, torch.full((8,), sigma), noise)
    assert loss.shape == (8,)
    assert float(loss.mean()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_a_network_that_says_zero_is_judged_by_what_it_should_have_said(prediction, batch, rng):
    """The mean square of noise, velocity and clean field is 1 for each."""
    objective = Denoising(Diffusion(prediction=prediction, schedule={"beta_schedule": "linear"}))
    sigma, noise = objective.draw(rng, batch)
    loss = objective.losses(Constant(0.0), batch, sigma, noise)
    np.testing.assert_allclose(loss.numpy(), 1, atol=0.1)


@pytest.mark.parametrize(
    ("name", "direct"),
    [
        ("l2", lambda t: t.square().mean((1, 2, 3))),
        ("l1", lambda t: t.abs().mean((1, 2, 3))),
        ("three-term", lambda t: three_term_loss(torch.zeros_like(t), t, 4)),
    ],
)
def test_regression_losses(name, direct, batch, rng):
    objective = Regression(name, 4)
    assert objective.draw(rng, batch) == ()
    torch.testing.assert_close(objective.losses(Constant(0.0), batch), direct(batch.target))


def test_reconstruction_weighs_the_regularizer(rng, batch):
    network = Blocks()
    objective = Reconstruction(0.5, 1, 4)
    drawn = objective.draw(rng, batch)
    smooth = Batch(network.decode(network.encode(batch.target)), batch.conditions, batch.times)
    torch.testing.assert_close(objective.losses(network, smooth, *drawn), torch.ones(8))
    assert (objective.losses(network, batch, *drawn) > 1.5).all()


def test_latent_denoising_sees_normalized_latents_and_coarse_conditions(rng, batch):
    """Latents of white noise have the deviation 1/4; normalized, predicting 0 costs 1."""
    seen = []

    class Watching(Constant):
        def forward(self, inputs, label):
            seen.append(inputs.shape)
            return super().forward(inputs, label)

    normalization = Affine(np.zeros(1), np.full(1, 0.25))
    objective = LatentDenoising(Diffusion(), Blocks(), normalization)
    sigma, noise = objective.draw(rng, batch)
    assert noise.shape == (8, 1, 16, 16)
    loss = objective.losses(Watching(0.0), batch, sigma, noise)
    assert seen == [(8, 2, 16, 16)]
    assert float(loss.mean()) == pytest.approx(1, abs=0.1)


def test_odd_sizes_are_padded_for_latents(rng):
    target = torch.ones(2, 1, 13, 18)
    batch = Batch(target, Conditions(torch.zeros(2, 1, 13, 18)), (0, 1))
    objective = Reconstruction(0.0, 1, 4)
    torch.testing.assert_close(
        objective.losses(Blocks(), batch, *objective.draw(rng, batch)), torch.zeros(2)
    )


def test_descriptions_differ():
    latent = LatentDenoising(Diffusion(), Blocks(), Affine([0.0], [1.0]))
    made = [
        Denoising(Diffusion()),
        Regression("l1", 4),
        Regression("l2", 4),
        Reconstruction(1.0, 1, 4),
        latent,
    ]
    assert len({objective.describe() for objective in made}) == 5
