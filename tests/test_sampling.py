"""Solvers against exact denoisers: for a Gaussian target the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xdeepr.errors import OptionError
from xdeepr.noise import NoiseKey, white_noise
from xdeepr.sampling import KeyedRandn, make_scheduler, sample
from xdeepr.solvers import SCHEDULERS, NoiseRange, Sampler, as_sampler

MEAN, STD = 0.7, 0.5


def gaussian_denoiser(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """E[clean | x] for clean ~ N(MEAN, STD²)."""
    return (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)


def noise(stream: int, size: int = 160) -> torch.Tensor:
    return torch.from_numpy(white_noise(NoiseKey(1, 0, 0, 0, stream), (0, 0), (size, size)))[
        None, None
    ]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_solver_draws_from_a_gaussian_target(name):
    """Mean and standard deviation converge to the target's as steps are added."""
    fine = sample(gaussian_denoiser, noise, Sampler(name, 400))
    assert float(fine.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(fine.std()) == pytest.approx(STD, rel=0.05)


def test_default_solver_is_good_with_ten_evaluations():
    calls = []

    def counted(x: torch.Tensor, sigma: float) -> torch.Tensor:
        calls.append(sigma)
        return gaussian_denoiser(x, sigma)

    out = sample(counted, noise, Sampler())
    assert len(calls) == 10
    assert calls == sorted(calls, reverse=True)
    assert float(out.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(out.std()) == pytest.approx(STD, rel=0.05)


@pytest.mark.parametrize("name", ["DDPMScheduler", "EulerAncestralDiscreteScheduler"])
def test_stochastic_solvers_take_keyed_noise(name):
    """The solver's own draws depend on position alone: a window is a cut of the whole."""
    sampler = Sampler(name, 8)

    def window(stream: int) -> torch.Tensor:
        key = NoiseKey(1, 0, 0, 0, stream)
        return torch.from_numpy(white_noise(key, (40, 30), (50, 60)))[None, None]

    whole = sample(gaussian_denoiser, noise, sampler)
    torch.manual_seed(123)  # must not matter
    part = sample(gaussian_denoiser, window, sampler)
    torch.testing.assert_close(part, whole[..., 40:90, 30:90], rtol=1e-6, atol=1e-6)


def test_ddim_eta_adds_noise():
    smooth = sample(gaussian_denoiser, noise, Sampler("ddim", 20, {"eta": 0.0}))
    rough = sample(gaussian_denoiser, noise, Sampler("ddim", 20, {"eta": 1.0}))
    again = sample(gaussian_denoiser, noise, Sampler("ddim", 20, {"eta": 1.0}))
    assert not torch.allclose(smooth, rough, atol=0.1)
    torch.testing.assert_close(rough, again, rtol=0, atol=0)


def test_keyed_randn_leaves_other_functions_alone():
    with KeyedRandn(lambda stream: torch.full((2,), float(stream))):
        assert torch.randn((2,)).tolist() == [1.0, 1.0]
        assert torch.randn(2).tolist() == [2.0, 2.0]
        assert torch.zeros(2).tolist() == [0.0, 0.0]
        with pytest.raises(RuntimeError, match="shape"):
            torch.randn((3,))


def test_schedulers_are_fresh_for_every_call():
    ours, theirs = make_scheduler(Sampler(), NoiseRange()), make_scheduler(Sampler(), NoiseRange())
    assert ours is not theirs
    assert float(ours.sigmas[0]) == pytest.approx(NoiseRange().sigma_max)


@pytest.mark.parametrize(
    ("given", "name", "steps"),
    [
        (None, "EDMDPMSolverMultistepScheduler", 10),
        ("ddim", "DDIMScheduler", 50),
        ("DDPM", "DDPMScheduler", 1000),
        ("LMSDiscrete", "LMSDiscreteScheduler", 10),
        ({"name": "ddim", "eta": 0.5, "steps": 5}, "DDIMScheduler", 5),
    ],
)
def test_names(given, name, steps):
    sampler = as_sampler(given, None)
    assert (sampler.name, sampler.steps) == (name, steps)
    assert as_sampler(given, 3).steps == 3


def test_errors_name_the_cure():
    with pytest.raises(OptionError, match=r"ddmp.*ddpm"):
        Sampler("ddmp")
    with pytest.raises(OptionError, match="steps=0"):
        Sampler("ddim", 0)
    with pytest.raises(OptionError, match=r"beta_shedule.*beta_schedule"):
        make_scheduler(Sampler("ddim", 5, {"beta_shedule": "linear"}), NoiseRange())
    with pytest.raises(OptionError, match="name"):
        as_sampler({"eta": 1.0}, None)


def test_float64_is_kept():
    out = sample(gaussian_denoiser, lambda s: noise(s, 16).double(), Sampler("ddim", 5))
    assert out.dtype == torch.float64
    assert np.isfinite(out.numpy()).all()
