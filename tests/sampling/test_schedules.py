"""Discrete schedules: against diffusers, and what must hold for all of them."""

from __future__ import annotations

import numpy as np
import pytest

from xdeepr.errors import OptionError
from xdeepr.sampling.schedules import ZERO_SNR, DiscreteSchedule, as_schedule

KEYWORDS = {
    "default": {},
    "short": {"num_train_timesteps": 100, "beta_end": 0.2},
    "scaled": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "sigmoid": {"beta_schedule": "sigmoid"},
    "laplace": {"beta_schedule": "laplace"},
    "own betas": {"trained_betas": [0.1, 0.2, 0.3]},
    "zero snr": {"rescale_betas_zero_snr": True},
    "cosine, zero snr": {"beta_schedule": "squaredcos_cap_v2", "rescale_betas_zero_snr": True},
    "short, zero snr": {
        "num_train_timesteps": 20,
        "beta_end": 0.5,
        "rescale_betas_zero_snr": True,
    },
}
every_schedule = pytest.mark.parametrize("keywords", KEYWORDS.values(), ids=KEYWORDS.keys())


@every_schedule
def test_levels_are_those_of_diffusers(keywords):
    from diffusers import DDPMScheduler

    try:
        theirs = DDPMScheduler(**keywords)
    except NotImplementedError as error:
        pytest.skip(f"this diffusers is older: {error}")
    ours = DiscreteSchedule(**keywords)
    kept = theirs.alphas_cumprod.double().numpy()
    np.testing.assert_allclose(ours.alphas_cumprod, kept, rtol=0, atol=1e-6)
    # theirs are float32: where the noise is small, 1 - kept has lost digits
    some = (kept > 1e-3) & (kept < 1 - 1e-3)
    expected = np.sqrt((1 - kept[some]) / kept[some])
    np.testing.assert_allclose(ours.sigmas[some], expected, rtol=1e-3)


@every_schedule
def test_levels_ascend_and_are_finite(keywords):
    schedule = DiscreteSchedule(**keywords)
    assert np.isfinite(schedule.sigmas).all()
    assert (np.diff(schedule.sigmas) > 0).all()
    assert (schedule.sigma_min, schedule.sigma_max) == (schedule.sigmas[0], schedule.sigmas[-1])
    np.testing.assert_allclose(np.cumprod(1 - schedule.betas), schedule.alphas_cumprod, rtol=1e-9)


@every_schedule
def test_timestep_and_sigma_are_inverse(keywords):
    schedule = DiscreteSchedule(**keywords)
    nodes = np.arange(len(schedule))
    np.testing.assert_allclose(schedule.timestep(schedule.sigmas), nodes, rtol=0, atol=1e-9)
    np.testing.assert_allclose(schedule.sigma(nodes), schedule.sigmas, rtol=1e-12)
    between = np.linspace(0, len(schedule) - 1, 77)
    np.testing.assert_allclose(schedule.timestep(schedule.sigma(between)), between, atol=1e-6)


def test_between_timesteps_the_logarithm_is_linear():
    schedule = DiscreteSchedule()
    middle = np.sqrt(schedule.sigmas[400] * schedule.sigmas[401])
    assert schedule.timestep(float(middle)) == pytest.approx(400.5)
    assert schedule.sigma(400.5) == pytest.approx(middle)


def test_levels_beyond_the_ends_are_clipped():
    schedule = DiscreteSchedule(num_train_timesteps=50)
    found = schedule.timestep(np.array([0.0, 1e-9, 1e9, np.inf]))
    np.testing.assert_array_equal(found, [0, 0, 49, 49])
    assert schedule.sigma(-3.0) == pytest.approx(schedule.sigma_min)


def test_pure_noise_is_kept_finite():
    """2⁻²⁴ as in diffusers, or less where the level before is below that already."""
    few = DiscreteSchedule(**KEYWORDS["short, zero snr"])
    assert few.zero_snr
    assert few.alphas_cumprod[-1] == ZERO_SNR
    assert few.sigma_max == pytest.approx(4096)
    many = DiscreteSchedule(rescale_betas_zero_snr=True)
    assert many.alphas_cumprod[-2] < ZERO_SNR
    assert many.alphas_cumprod[-1] == many.alphas_cumprod[-2] / 4
    assert not DiscreteSchedule().zero_snr


def test_betas_make_the_same_schedule():
    """So that a scheduler that does not know a schedule's name can be given its betas."""
    first = DiscreteSchedule(beta_schedule="sigmoid")
    again = DiscreteSchedule(trained_betas=first.betas)
    np.testing.assert_allclose(again.sigmas, first.sigmas, rtol=1e-9)


def test_equal_keywords_give_the_same_object():
    first = as_schedule({"num_train_timesteps": 10, "beta_end": 0.5})
    assert as_schedule({"beta_end": 0.5, "num_train_timesteps": 10}) is first
    assert as_schedule(first) is first
    assert len(as_schedule(None)) == 1000
    assert as_schedule({"trained_betas": np.array([0.1, 0.2])}) is as_schedule(
        {"trained_betas": [0.1, 0.2]}
    )


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"beta_shedule": "linear"}, r"'beta_shedule' is not one of.*'beta_schedule'"),
        ({"beta_schedule": "cosine"}, r"'cosine' is not one of linear, scaled_linear"),
        ({"num_train_timesteps": 1}, "from 2 to 100000"),
        ({"num_train_timesteps": 10.5}, "whole number"),
        ({"num_train_timesteps": 4, "trained_betas": [0.1, 0.2]}, "has 2 values"),
        ({"trained_betas": [0.1, 1.2]}, "between 0 and 1"),
        ({"trained_betas": [0.1, np.nan]}, "between 0 and 1"),
        ({"beta_start": 0.0}, "between 0 and 1"),
    ],
)
def test_errors_name_the_cure(keywords, message):
    with pytest.raises(OptionError, match=message):
        DiscreteSchedule(**keywords)
