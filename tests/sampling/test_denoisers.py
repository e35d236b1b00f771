"""Parametrizations: one denoiser, whatever the network was trained to predict."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xdeepr.errors import OptionError
from xdeepr.sampling.denoisers import denoise, draw_sigma, loss_weight
from xdeepr.sampling.noise_levels import DISCRETE_PREDICTIONS as DISCRETE
from xdeepr.sampling.noise_levels import PREDICTIONS, NoiseLevels
from xdeepr.sampling.schedules import DiscreteSchedule

SCHEDULE = {"num_train_timesteps": 1000, "beta_schedule": "linear"}
DATA = 0.8
every_prediction = pytest.mark.parametrize("prediction", PREDICTIONS)


@pytest.fixture
def fields() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Clean fields, noise, and a noise level for each; double, so that algebra shows."""
    generator = torch.Generator().manual_seed(5)
    clean = torch.randn(4, 2, 8, 8, generator=generator, dtype=torch.float64)
    noise = torch.randn(4, 2, 8, 8, generator=generator, dtype=torch.float64)
    return clean, noise, torch.tensor([0.02, 0.5, 3.0, 100.0], dtype=torch.float64)


def column(sigma: torch.Tensor) -> torch.Tensor:
    return sigma.reshape(-1, 1, 1, 1)


def levels(prediction: str, **schedule: object) -> NoiseLevels:
    return NoiseLevels(DATA, prediction=prediction, schedule={**SCHEDULE, **schedule})


def perfect_output(prediction: str, clean: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor):
    """What a network that knows both would give, by the definition of its prediction."""
    level = column(sigma)
    if prediction == "edm":  # (clean - c_skip x) / c_out, Karras et al., 2022, eq. 8
        total = (level**2 + DATA**2).sqrt()
        return (clean - (DATA / total) ** 2 * (clean + level * noise)) * total / (level * DATA)
    return {
        "epsilon": noise,
        "v_prediction": (noise - level * clean) / (1 + level**2).sqrt(),
        "sample": clean,
    }[prediction]


@every_prediction
def test_a_network_that_hits_its_target_gives_the_clean_field(prediction, fields):
    clean, noise, sigma = fields
    output = perfect_output(prediction, clean, noise, sigma)
    x = clean + column(sigma) * noise
    result = denoise(lambda inputs, label: output, x, sigma, levels(prediction))
    torch.testing.assert_close(result, clean, rtol=1e-10, atol=1e-10)


@every_prediction
def test_weighted_error_of_the_denoiser_is_the_plain_error_of_the_network(prediction, fields):
    """For epsilon this is DeepR's loss: the mean squared error of the noise."""
    clean, noise, sigma = fields
    output = torch.sin(3 * clean) + noise**2
    x = clean + column(sigma) * noise
    result = denoise(lambda inputs, label: output, x, sigma, levels(prediction))
    weight = column(loss_weight(sigma, levels(prediction)))
    expected = (output - perfect_output(prediction, clean, noise, sigma)).square()
    torch.testing.assert_close(weight * (result - clean).square(), expected, rtol=1e-7, atol=1e-9)


def test_edm_is_the_preconditioning_of_karras():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 1, 4, 4, generator=generator)
    sigma = torch.tensor([0.1, 1.0, 10.0])
    seen = {}

    def call(inputs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        seen.update(inputs=inputs, label=label)
        return torch.cos(inputs)

    found = denoise(call, x, sigma, levels("edm"))
    total = column(sigma) ** 2 + DATA**2
    assert torch.equal(seen["inputs"], x / total.sqrt())
    assert torch.equal(seen["label"], sigma.log() / 4)
    # the very arithmetic of the first release: its checkpoints keep their results to the bit
    skip, scale = DATA**2 / total, column(sigma) * DATA / total.sqrt()
    assert torch.equal(found, skip * x + scale * torch.cos(x / total.sqrt()))


@pytest.mark.parametrize("prediction", DISCRETE)
def test_discrete_networks_see_unit_variance_and_the_timestep(prediction):
    schedule = DiscreteSchedule(**SCHEDULE)
    timesteps = np.array([0, 1, 250, 998, 999])
    sigma = torch.from_numpy(schedule.sigmas[timesteps]).float()
    x = column(sigma) * torch.ones(5, 1, 2, 2)
    seen = []

    def call(inputs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        seen.append((inputs, label))
        return torch.zeros_like(inputs)

    denoise(call, x, sigma, levels(prediction))
    inputs, label = seen[0]
    assert label.dtype == x.dtype
    np.testing.assert_allclose(label.numpy(), timesteps, atol=1e-3)
    kept = torch.from_numpy(schedule.alphas_cumprod[timesteps]).float()
    torch.testing.assert_close(inputs[:, 0, 0, 0], (1 - kept).sqrt(), rtol=1e-5, atol=1e-6)


@every_prediction
def test_one_level_for_all_is_the_same_as_one_for_each(prediction, fields):
    clean, noise, _ = fields
    x = clean + 0.7 * noise

    def call(inputs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        assert label.shape == (4,)
        return inputs * column(label)

    one = denoise(call, x, 0.7, levels(prediction))
    each = denoise(call, x, torch.full((4,), 0.7, dtype=x.dtype), levels(prediction))
    torch.testing.assert_close(one, each, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("prediction", DISCRETE)
def test_beyond_the_last_timestep_errors_do_not_grow(prediction, fields):
    """A denoiser knows no more of 1000-fold noise than of its last level: it says the same."""
    _, noise, _ = fields
    last = DiscreteSchedule(**SCHEDULE).sigma_max

    def wrong(inputs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return 0.99 * inputs + 0.01

    at_last = denoise(wrong, last * noise, last, levels(prediction))
    beyond = denoise(wrong, 1000 * last * noise, 1000 * last, levels(prediction))
    torch.testing.assert_close(beyond, at_last, rtol=1e-3, atol=1e-3)


def test_half_precision_outputs_come_back_as_the_field():
    x = torch.ones(1, 1, 2, 2)
    for prediction in PREDICTIONS:
        found = denoise(lambda i, t: i.bfloat16(), x, 1.0, NoiseLevels(prediction=prediction))
        assert found.dtype == torch.float32


def test_edm_levels_are_stratified_and_log_normal(rng):
    sigma = draw_sigma(rng, 4096, levels("edm"))
    assert sigma.dtype == torch.float32
    assert sigma.shape == (4096,)
    log = sigma.double().log()
    assert float(log.mean()) == pytest.approx(-0.4, abs=0.01)
    assert float(log.std()) == pytest.approx(1.2, abs=0.01)
    # stratified: one in each sixteenth of the distribution
    few = torch.special.ndtr((draw_sigma(rng, 16, levels("edm")).double().log() + 0.4) / 1.2)
    assert sorted((few * 16).int().tolist()) == list(range(16))


@pytest.mark.parametrize("prediction", DISCRETE)
def test_discrete_levels_are_stratified_timesteps(prediction, rng):
    schedule = DiscreteSchedule(**SCHEDULE)
    sigma = draw_sigma(rng, 20, levels(prediction))
    timesteps = schedule.timestep(sigma.double().numpy())
    np.testing.assert_allclose(timesteps, timesteps.round(), atol=1e-2)
    assert sorted((timesteps.round() // 50).tolist()) == list(range(20))
    assert timesteps.tolist() != sorted(timesteps)  # shuffled
    all_of_them = draw_sigma(rng, 1000, levels(prediction)).sort().values
    np.testing.assert_allclose(all_of_them, schedule.sigmas, rtol=1e-6)


def test_draws_are_repeatable():
    for prediction in PREDICTIONS:
        first, second = (
            draw_sigma(np.random.default_rng(3), 5, levels(prediction)) for _ in range(2)
        )
        assert torch.equal(first, second)


def test_errors_name_the_cure(rng):
    x = torch.zeros(1, 1, 2, 2)
    wrong = "v_predicton"
    for act in (
        lambda: denoise(lambda i, t: i, x, 1.0, levels(wrong)),
        lambda: loss_weight(1.0, levels(wrong)),
        lambda: draw_sigma(rng, 2, levels(wrong)),
    ):
        with pytest.raises(OptionError, match=r"v_predicton.*Did you mean 'v_prediction'"):
            act()


def test_the_noise_in_pure_noise_cannot_be_learned(rng):
    with pytest.raises(OptionError, match="v_prediction"):
        draw_sigma(rng, 2, levels("epsilon", rescale_betas_zero_snr=True))
    sigma = draw_sigma(rng, 1000, levels("v_prediction", rescale_betas_zero_snr=True))
    assert torch.isfinite(sigma).all()
    assert torch.isfinite(loss_weight(sigma, levels("v_prediction"))).all()
