"""Noise levels: what a list of them must have, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdeepr.errors import OptionError
from xdeepr.sampling.noise_levels import DISCRETE_PREDICTIONS, NoiseLevels
from xdeepr.sampling.schedules import DiscreteSchedule


@given(
    steps=st.integers(1, 200),
    low=st.floats(1e-3, 1.0),
    width=st.floats(1.01, 1e4),
    rho=st.floats(1.0, 20.0),
)
def test_karras_levels_go_from_the_greatest_to_the_least_and_to_0(steps, low, width, rho):
    levels = NoiseLevels(sigma_min=low, sigma_max=low * width).descending(steps, rho=rho)
    assert len(levels) == steps + 1
    assert levels[-1] == 0
    assert levels[0] == pytest.approx(low * width)
    assert steps == 1 or levels[-2] == pytest.approx(low)
    assert all(np.diff(levels) < 0)


def test_karras_levels_are_even_in_their_root():
    levels = NoiseLevels().descending(12, rho=5, sigma_min=0.1, sigma_max=40)
    steps = np.diff(np.array(levels[:-1]) ** (1 / 5))
    np.testing.assert_allclose(steps, steps[0])
    assert (levels[0], levels[-2]) == (pytest.approx(40), pytest.approx(0.1))


def test_karras_levels_are_those_of_diffusers():
    from diffusers import EDMEulerScheduler

    theirs = EDMEulerScheduler(sigma_min=0.05, sigma_max=20.0)
    theirs.set_timesteps(10)
    np.testing.assert_allclose(NoiseLevels().descending(10), theirs.sigmas, rtol=1e-5)


def test_trained_levels_are_those_of_timesteps():
    trained = NoiseLevels(prediction="epsilon", schedule={"beta_schedule": "scaled_linear"})
    sigmas = DiscreteSchedule(beta_schedule="scaled_linear").sigmas
    all_of_them = trained.descending(1000, spacing="trained")
    np.testing.assert_array_equal(all_of_them, [*sigmas[::-1], 0])
    assert trained.descending(4, spacing="trained") == [*sigmas[[999, 749, 499, 249]], 0]


@pytest.mark.parametrize("prediction", DISCRETE_PREDICTIONS)
def test_discrete_predictions_have_timesteps(prediction):
    assert not NoiseLevels().discrete
    levels = NoiseLevels(prediction=prediction)
    assert levels.discrete
    assert len(levels.timesteps()) == 1000


@pytest.mark.parametrize(
    ("changes", "asked", "message"),
    [
        ({}, {"steps": 0}, "steps=0"),
        ({}, {"spacing": "linear"}, "'linear' is not one of karras, trained"),
        ({}, {"sigma_max": 0.01}, "the first less than the second"),
        ({}, {"sigma_min": -1.0}, "positive numbers"),
        ({}, {"rho": float("nan")}, "positive numbers"),
        ({}, {"spacing": "trained"}, "spacing='karras'"),
        ({"prediction": "sample"}, {"spacing": "trained", "steps": 1001}, "no more steps"),
        ({"prediction": "epsilom"}, {"spacing": "trained"}, "Did you mean 'epsilon'"),
    ],
)
def test_errors_name_the_cure(changes, asked, message):
    with pytest.raises(OptionError, match=message):
        NoiseLevels(**changes).descending(**{"steps": 5, **asked})
