"""The scheduler of a folder draws the fields, with its own options, as a plain loop does."""

from __future__ import annotations

import json
from importlib import import_module

import numpy as np
import pytest

from tests.deepr_compat.checkpoints.folders import DDIM, lr_dataset, unet, write_diffusion
from tests.deepr_compat.checkpoints.loop import FACTS, assert_same, hours, plain_loop
from xdeepr.deepr_compat import from_deepr

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


@pytest.mark.filterwarnings("ignore:.*cuts fields off:UserWarning")
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


@pytest.mark.filterwarnings("ignore:.*cuts fields off:UserWarning")
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
