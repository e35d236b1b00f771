"""The scheduler of a folder draws the fields, with its own options, as a plain loop does."""

from __future__ import annotations

import json
from importlib import import_module

import numpy as np
import pytest
import torch

from tests.deepr_compat.checkpoints.folders import DDIM, lr_dataset, unet, write_diffusion
from tests.deepr_compat.checkpoints.loop import FACTS, assert_same, hours, plain_loop
from xdeepr.deepr_compat import from_deepr
from xdeepr.deepr_compat.schedulers import read_diffusion
from xdeepr.sampling.denoisers import denoise
from xdeepr.sampling.noise_levels import NoiseLevels
from xdeepr.sampling.sample import sample
from xdeepr.sampling.samplers import Sampler
from xdeepr.sampling.schedules import as_schedule

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*cuts fields off:UserWarning", "ignore:.*its scheduler is:UserWarning"
)

TRAILING = {"timestep_spacing": "trailing", "clip_sample": False}


@pytest.fixture(scope="module")
def network():
    return unet()


@pytest.fixture(scope="module")
def lr():
    return lr_dataset()


@pytest.fixture
def load(network, lr, tmp_path):
    """Return a call that makes a model of a scheduler that diffusers has saved itself."""

    def load(scheduler):
        write_diffusion(tmp_path, network, scheduler=None)
        scheduler.save_pretrained(tmp_path)
        return from_deepr(tmp_path, lr_grid=lr, **FACTS)

    return load


def make(name, **options):
    return getattr(import_module("diffusers"), name)(**options)


CASES = [
    ("DDIMScheduler", {}),
    ("DDIMScheduler", {"clip_sample": False}),
    ("DDIMScheduler", {"clip_sample_range": 2.0, "steps_offset": 1}),
    ("DDIMScheduler", {**TRAILING, "set_alpha_to_one": False}),
    ("DDIMScheduler", {**TRAILING, "thresholding": True, "sample_max_value": 1.5}),
    ("DDPMScheduler", {}),
    ("DDPMScheduler", {"timestep_spacing": "linspace", "clip_sample_range": 0.5}),
    ("DDPMScheduler", {**TRAILING, "variance_type": "fixed_large"}),
    ("DDPMScheduler", {"variance_type": "fixed_small_log"}),
    ("DDPMScheduler", {"thresholding": True, "dynamic_thresholding_ratio": 0.9}),
    ("DPMSolverMultistepScheduler", {}),
    ("DPMSolverMultistepScheduler", {"lambda_min_clipped": -2.0}),
    ("DPMSolverMultistepScheduler", {"timestep_spacing": "leading", "solver_order": 3}),
    ("DPMSolverMultistepScheduler", {"thresholding": True}),
    ("UniPCMultistepScheduler", {"timestep_spacing": "trailing"}),
    ("DEISMultistepScheduler", {}),
    ("EulerDiscreteScheduler", {}),
    ("EulerAncestralDiscreteScheduler", {}),
    ("HeunDiscreteScheduler", {"clip_sample": True}),
    ("LMSDiscreteScheduler", {"timestep_spacing": "leading"}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_folders_own_options_draw_the_fields(name, options, load, network, lr):
    kind = "epsilon" if "Ancestral" in name else "v_prediction"
    scheduler = make(name, prediction_type=kind, **options)
    out = lr.deepr.downscale(load(scheduler), steps=8, seed=7)
    assert_same(out, plain_loop(lr, network, scheduler, steps=8, labels=hours(lr)), tolerance=3e-4)


@pytest.mark.parametrize("skip", [True, False])
def test_pndm(skip, load, network, lr):
    scheduler = make("PNDMScheduler", skip_prk_steps=skip)
    out = lr.deepr.downscale(load(scheduler), steps=50, seed=7)
    assert_same(out, plain_loop(lr, network, scheduler, steps=50, labels=hours(lr)))


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("options", [{}, {**TRAILING}, {"clip_sample_range": 2.0}])
def test_recipe_of_the_guide_for_deeprs_own_sampling(kind, options, load, network, lr):
    """DeepR's pipeline draws with eta = 1; all else is the folder's."""
    scheduler = make("DDIMScheduler", prediction_type=kind, **options)
    model = load(scheduler)
    own = model.card.diffusion
    sampler = {"name": own.sampler, **own.sampler_options, "eta": 1.0}
    out = lr.deepr.downscale(model, sampler=sampler, steps=10, seed=7)
    wanted = plain_loop(lr, network, scheduler, steps=10, labels=hours(lr), eta=1.0)
    assert_same(out, wanted, tolerance=1e-3)


def test_diffusers_own_dpm_solver(load, lr, tmp_path):
    """It writes -Infinity, which is no JSON; the card has no such number and is read again."""
    model = load(make("DPMSolverMultistepScheduler"))
    assert "-Infinity" in (tmp_path / "scheduler_config.json").read_text()
    assert "Infinity" not in model.card.to_json()
    assert model.card.diffusion.sampler == "DPMSolverMultistepScheduler"
    model.save(tmp_path / "saved")
    fields = [lr.deepr.downscale(m, steps=3, seed=1).t2m for m in (model, str(tmp_path / "saved"))]
    np.testing.assert_array_equal(*fields)


def test_cutting_off_is_said(load, lr):
    """A normalized field goes beyond one deviation."""
    with pytest.warns(UserWarning, match=r"clip_sample.*cuts fields off.*sampler=.*clip_sample"):
        load(make("DDIMScheduler"))


def test_schedulers_that_deepr_does_not_train_with_are_said(load):
    """Its training does not divide the noisy field for them; its networks look undivided."""
    with pytest.warns(UserWarning, match=r"its scheduler is EulerDiscrete.*Train with another"):
        load(make("EulerDiscreteScheduler"))


def gaussian_loops(name, steps, **options):
    """Draw fields of N(1, 1/4) with an exact network: DeepR's loop, and xdeepr's sampler."""
    shape, centre, variance = (4, 1, 64, 64), 1.0, 0.25
    scheduler = make(name, **options)
    card = read_diffusion({"_class_name": name, **options})
    sigmas = as_schedule(card.schedule).sigmas

    def noise(stream):
        return torch.randn(shape, generator=torch.Generator().manual_seed(stream)).double()

    def network(inputs, timestep):
        noisy, condition = inputs.split(1, 1)
        time = float(torch.as_tensor(timestep).ravel()[0])
        sigma = np.exp(np.interp(time, np.arange(sigmas.size), np.log(sigmas)))
        kept = 1 / (1 + sigma**2)
        predicted = noisy - kept**0.5 * condition
        predicted = predicted * (1 - kept) ** 0.5 / (kept * variance + 1 - kept)
        if card.prediction == "epsilon":
            return predicted
        return (predicted - (1 - kept) ** 0.5 * noisy) / kept**0.5

    condition = torch.full(shape, centre).double()
    scheduler.set_timesteps(steps)
    x = noise(0) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(torch.cat([x, condition], 1), t)
        x = scheduler.step(network(scaled, t), t, x).prev_sample
    levels = NoiseLevels(
        sigma_min=card.sigma_min, sigma_max=card.sigma_max, prediction=card.prediction,
        schedule=card.schedule,
    )  # fmt: skip
    ours = sample(
        lambda x, sigma: denoise(
            lambda y, label: network(torch.cat([y, condition], 1), label), x, sigma, levels
        ),
        noise,
        Sampler(name, steps, card.sampler_options),
        levels,
    )
    return x, ours


@pytest.mark.parametrize(
    ("name", "options", "bias"),
    [
        ("EulerDiscreteScheduler", {}, 0.3),
        ("HeunDiscreteScheduler", {}, 0.3),
        ("LMSDiscreteScheduler", {}, 0.3),
        ("DDIMScheduler", {"timestep_spacing": "linspace", "clip_sample": False}, 0.01),
        ("PNDMScheduler", {"timestep_spacing": "linspace", "skip_prk_steps": True}, 0.02),
        ("PNDMScheduler", {"prediction_type": "v_prediction", "skip_prk_steps": True}, 0.04),
    ],
)
def test_who_is_right_where_deepr_draws_another_field(name, options, bias):
    """The table of the guide: the mean of the target is 1."""
    betas = {"beta_start": 0.0001, "beta_end": 0.02}
    steps = 20 if name == "PNDMScheduler" else 50
    theirs, ours = gaussian_loops(name, steps, **{**betas, **options})
    assert abs(float(ours.mean()) - 1) < 0.01
    assert 1 - float(theirs.mean()) > bias
    assert abs(float(ours.std()) - 0.5) < 0.035


@pytest.mark.parametrize(
    "name",
    ["DDPMScheduler", "DDIMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler",
     "DPMSolverMultistepScheduler"],
)  # fmt: skip
def test_keys_that_ddim_left_behind_change_nothing(name, network, lr, tmp_path):
    folder = write_diffusion(tmp_path / "m", network, scheduler={**DDIM, "_class_name": name})
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    assert model.card.diffusion.sampler == name
    out = lr.isel(time=[0]).deepr.downscale(model, steps=4, seed=1)
    assert np.isfinite(out.t2m).all()
    assert name in out.attrs["history"]
    assert json.loads(model.card.to_json())["diffusion"]["steps"] == model.card.diffusion.steps
