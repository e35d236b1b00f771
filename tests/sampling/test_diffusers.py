"""The doors into diffusers that it does not document: whether they still lead where they did."""

from __future__ import annotations

import diffusers
import pytest
import torch

from xdeepr.errors import OptionError
from xdeepr.sampling import diffusers_doors as doors
from xdeepr.sampling.keyed_draws import KeyedBrownian, KeyedRandn
from xdeepr.testing.gaussian import keyed_noise

# diffusers uses functions of NumPy that NumPy 2 is about to change
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def made(name: str, steps: int = 10, **options: object):
    """A scheduler with its timesteps set."""
    scheduler = doors.scheduler_class(name)(**options)
    scheduler.set_timesteps(steps)
    return scheduler


def test_classes_are_found_at_the_top_and_below():
    assert doors.scheduler_class("DDIMScheduler") is diffusers.DDIMScheduler
    assert doors.scheduler_class("ScoreSdeVpScheduler").__name__ == "ScoreSdeVpScheduler"
    with pytest.raises(OptionError, match="install a newer"):
        doors.scheduler_class("TomorrowScheduler")


def test_a_package_that_is_missing_is_named(monkeypatch):
    lacking = type("DPMSolverSDEScheduler", (), {"_backends": ["torch", "torchsde"]})
    monkeypatch.setattr(diffusers, "DPMSolverSDEScheduler", lacking)
    with pytest.raises(OptionError, match="pip install torchsde"):
        doors.scheduler_class("DPMSolverSDEScheduler")


def test_brownian_solvers_keep_their_source_of_noise_in_an_attribute(torchsde):
    keyed = KeyedRandn(keyed_noise)
    for name in ("DPMSolverSDEScheduler", "CosineDPMSolverMultistepScheduler"):
        scheduler = made(name)
        doors.key_brownian(scheduler, keyed)
        assert isinstance(scheduler.noise_sampler, KeyedBrownian)
    plain = made("DDIMScheduler")
    doors.key_brownian(plain, keyed)
    assert not hasattr(plain, "noise_sampler")


def test_a_solver_begins_where_it_is_told():
    scheduler = made("DPMSolverMultistepScheduler", 1000, beta_schedule="scaled_linear",
                     use_karras_sigmas=True)  # fmt: skip
    assert scheduler.timesteps[0] == scheduler.timesteps[1]
    doors.begin_at_the_first_level(scheduler)
    x = keyed_noise(0, shape=(4, 4))
    scheduler.step(x, scheduler.timesteps[0], x)
    assert scheduler.step_index == 1


@pytest.mark.parametrize("name", ["DDIMScheduler", "PNDMScheduler", "CogVideoXDDIMScheduler"])
def test_a_step_goes_over_as_many_timesteps_as_asked_for(name):
    """By the very numbers of diffusers: the same step as of a scheduler with steps that divide."""
    options = {"skip_prk_steps": True} if name == "PNDMScheduler" else {}
    x = keyed_noise(0, shape=(4, 4))
    dividing, other = made(name, 10, **options), made(name, 7, **options)
    doors.step_over(other, 100)
    before, after = (s.step(0.1 * x, 900, x).prev_sample for s in (dividing, other))
    assert torch.equal(before, after)


@pytest.mark.parametrize("name", ["KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler",
                                  "DPMSolverSDEScheduler"])  # fmt: skip
def test_second_order_solvers_say_where_they_evaluate_between(name, torchsde):
    scheduler = made(name)
    doors.key_brownian(scheduler, KeyedRandn(lambda stream: keyed_noise(stream, shape=(4, 4))))
    assert doors.midpoint(scheduler, 0) is None
    x = scheduler.init_noise_sigma * keyed_noise(0, shape=(4, 4))
    with KeyedRandn(lambda stream: keyed_noise(stream, shape=(4, 4))):
        scheduler.step(0.1 * x, scheduler.timesteps[0], x)
    between = doors.midpoint(scheduler, 1)
    levels = scheduler.sigmas.unique(sorted=True).flip(0)
    assert between is not None
    assert float(levels[1]) < between < float(levels[0])


def test_wuerstchen_goes_from_noise_to_signal():
    scheduler = made("DDPMWuerstchenScheduler")
    signals = [doors.wuerstchen_signal(scheduler, index) for index in range(10)]
    assert signals == sorted(signals)
    assert 0 < signals[0] < 0.01
    assert 0.9 < signals[-1] <= 1
