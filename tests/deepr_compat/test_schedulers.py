"""Schedulers of diffusers as noise levels and solver."""

from __future__ import annotations

import json
import math
from importlib import import_module

import numpy as np
import pytest

from xdeepr.deepr_compat.schedulers import read_diffusion, read_scheduler
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.sampling.diffusers_table import SOLVERS
from xdeepr.sampling.schedules import as_schedule

TABLE = [
    name
    for name, solver in SOLVERS.items()
    if solver.form in ("cumulative", "scaled", "exploding")
    and "cogvideox" not in solver.short  # a shift of its own moves its levels
    and solver.short != "dpm++-sde"  # needs a package that is not always there
]
"""Solvers with a table of betas."""


def saved(folder, name, **options):
    """Return the file that diffusers writes for a scheduler."""
    getattr(import_module("diffusers"), name)(**options).save_pretrained(folder)
    return folder / "scheduler_config.json"


@pytest.mark.parametrize("name", TABLE)
def test_files_that_diffusers_writes(name, tmp_path):
    diffusion = read_diffusion(saved(tmp_path, name))
    assert diffusion.sampler == name
    scheduler = getattr(import_module("diffusers"), name)()
    kept = np.asarray(scheduler.alphas_cumprod, dtype=np.float64)
    wanted = np.sqrt((1 - kept) / kept)
    assert diffusion.sigma_max == pytest.approx(wanted[-1], rel=2e-3)
    np.testing.assert_allclose(as_schedule(diffusion.schedule).sigmas, wanted, rtol=2e-3)
    # what goes into the card is JSON that any reader can read
    json.dumps(dict(diffusion.sampler_options), allow_nan=False)


def test_minus_infinity_is_the_default_and_left_out(tmp_path):
    file = saved(tmp_path, "DPMSolverMultistepScheduler")
    assert json.loads(file.read_text())["lambda_min_clipped"] == -math.inf
    assert "lambda_min_clipped" not in read_diffusion(file).sampler_options
    file = saved(tmp_path, "DPMSolverMultistepScheduler", lambda_min_clipped=-5.1)
    assert read_diffusion(file).sampler_options["lambda_min_clipped"] == -5.1


def test_other_infinities_are_refused(tmp_path):
    file = saved(tmp_path, "DPMSolverMultistepScheduler")
    for key, value in (("flow_shift", -math.inf), ("lambda_min_clipped", math.inf)):
        config = json.loads(file.read_text())
        (tmp_path / "other.json").write_text(json.dumps({**config, key: value}))
        with pytest.raises(CheckpointError, match=rf"{key}.* is -?inf.*finite"):
            read_diffusion(tmp_path / "other.json")


def test_options_that_are_not_stated_are_those_of_diffusers():
    """Files of old versions of diffusers lack what came later."""
    options = read_diffusion({"_class_name": "DDIMScheduler"}).sampler_options
    assert options == {"clip_sample": True, "timestep_spacing": "leading"}
    stated = {"timestep_spacing": "leading"}
    assert read_scheduler("DDIMScheduler", stated, "here").options == stated
    assert read_scheduler("DDIMScheduler", {}, "here").options == {}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"clip_sample": False, "clip_sample_range": 3.0}, {}),
        ({"clip_sample": True, "clip_sample_range": 1.0}, {"clip_sample": True}),
        ({"clip_sample": True, "clip_sample_range": 3.0},
         {"clip_sample": True, "clip_sample_range": 3.0}),
        ({"clip_sample": False, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 2.0}, {}),
    ],
)  # fmt: skip
def test_only_what_has_an_effect_goes_into_the_card(changes, wanted):
    config = {"_class_name": "DDPMScheduler", "timestep_spacing": "trailing", **changes}
    wanted = {"timestep_spacing": "trailing", **wanted}
    assert read_diffusion(config).sampler_options == wanted


def test_options_keep_the_order_of_the_file():
    """It goes into the card, whose digest names the model in every output."""
    stated = {"timestep_spacing": "trailing", "steps_offset": 0, "set_alpha_to_one": True}
    found = read_diffusion({"_class_name": "DDIMScheduler", "clip_sample": False, **stated})
    assert list(found.sampler_options) == list(stated)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"beta_strat": 0.1}, "here: beta_strat: unknown key. Nearest: 'beta_start'"),
        ({"timestep_spacing": "wide"}, "here: timestep_spacing: should be .*'trailing'.*'wide'"),
        ({"clip_sample": 1}, "here: clip_sample: should be a valid boolean"),
        ({"clip_sample_range": "far"}, "here: clip_sample_range: should be a valid number"),
        ({"eta": None}, "here: eta: should be a valid number"),
        ({"prediction_type": "flow"}, "here: prediction_type='flow' is not one of"),
        ({"beta_end": 2.0}, "here: schedule: each beta"),
    ],
)
def test_wrong_keywords(stated, words):
    with pytest.raises(OptionError, match=words):
        read_scheduler("DDIMScheduler", stated, "here")


def test_noise_of_pure_noise_is_softened():
    """Such a network says nothing at a signal of 0, so the last level stays just below."""
    stated = {"rescale_betas_zero_snr": True}
    soft = read_scheduler("DDIMScheduler", stated, "here")
    assert soft.softened
    assert not as_schedule(soft.schedule).zero_snr
    sample = read_scheduler("DDIMScheduler", {**stated, "prediction_type": "sample"}, "here")
    assert not sample.softened
    assert as_schedule(sample.schedule).zero_snr
    sigmas = [as_schedule(s.schedule).sigmas for s in (soft, sample)]
    np.testing.assert_allclose(*sigmas, rtol=1e-6)


def test_continuous_levels_state_their_range():
    found = read_scheduler("EDMEulerScheduler", {"sigma_max": 50.0, "rho": 5.0}, "here")
    assert found.fields() == {
        "sigma_max": 50.0, "prediction": "edm", "sampler": "EDMEulerScheduler",
        "sampler_options": {"rho": 5.0}, "steps": 10,
    }  # fmt: skip
