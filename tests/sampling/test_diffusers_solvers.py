"""Schedulers of diffusers against exact denoisers: for a Gaussian target the answer is known."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from xdeepr.errors import OptionError
from xdeepr.sampling.denoisers import denoise
from xdeepr.sampling.diffusers_solvers import SchedulerSolver, make_scheduler
from xdeepr.sampling.diffusers_table import REFUSED, REFUSED_OPTIONS, SOLVERS
from xdeepr.sampling.keyed_draws import KeyedRandn
from xdeepr.sampling.noise import NoiseKey, white_noise
from xdeepr.sampling.noise_levels import NoiseLevels
from xdeepr.sampling.sample import sample
from xdeepr.sampling.samplers import ALIASES, Sampler, SamplingOptions, as_sampler
from xdeepr.testing.gaussian import DEVIATION as STD
from xdeepr.testing.gaussian import MEAN
from xdeepr.testing.gaussian import pixel_denoiser as gaussian_denoiser

# diffusers uses functions of NumPy that NumPy 2 is about to change
pytestmark = [
    pytest.mark.usefixtures("torchsde"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
every_solver = pytest.mark.parametrize("name", SOLVERS)


def classes_of_diffusers() -> list[str]:
    """Names of all scheduler classes of the installed diffusers, also those that lack a package."""
    names = {*dir(diffusers), *dir(importlib.import_module("diffusers.schedulers"))}
    return sorted(n for n in names if n.endswith("Scheduler") and not n.startswith("Flax"))


def sampler_of(name: str, steps: int | None, options: Mapping[str, Any] | None = None) -> Sampler:
    """A sampler, or a skipped test where the installed diffusers is too old for it."""
    sampler = Sampler(name, steps, options or {})
    try:
        make_scheduler(sampler, NoiseLevels())
    except OptionError as error:
        if "does not have it" in str(error):
            pytest.skip(str(error))
        raise
    return sampler


def noise(stream: int, size: int = 160) -> torch.Tensor:
    return plane(1, stream, (0, 0), (size, size))


def small(stream: int) -> torch.Tensor:
    return noise(stream, 16)


def plane(
    member: int, stream: int, origin: tuple[int, int], shape: tuple[int, int]
) -> torch.Tensor:
    key = NoiseKey(1, member, 0, 0, stream)
    return torch.from_numpy(white_noise(key, origin, shape))[None, None]


def defaults_without_levels(name: str) -> dict[str, Any]:
    """Options that switch off a class's Karras levels, so that another kind can be asked for."""
    return {"use_karras_sigmas": False} if SOLVERS[name].defaults.get("use_karras_sigmas") else {}


# ---------------------------------------------------------------- which classes there are


@pytest.mark.parametrize("name", classes_of_diffusers())
def test_every_class_of_diffusers_is_supported_or_refused(name):
    """A class that is new in diffusers is refused until somebody has looked at it."""
    if name in SOLVERS:
        assert name not in REFUSED
        assert Sampler(name).name == name
        return
    with pytest.raises(OptionError) as caught:
        Sampler(name)
    if name in REFUSED:
        assert REFUSED[name] in str(caught.value)
        assert "Take for example" in str(caught.value)
    else:
        pytest.skip(
            f"{name} is new in diffusers {diffusers.__version__} and is refused: add it to"
            " SOLVERS or REFUSED in xdeepr/sampling/diffusers_table.py"
        )


def test_most_classes_are_supported():
    assert len([name for name in classes_of_diffusers() if name in SOLVERS]) >= 25


def test_short_names_are_one_to_one():
    short = [solver.short for solver in SOLVERS.values()]
    assert len(set(short)) == len(short)
    for name, solver in SOLVERS.items():
        for given in (solver.short, solver.short.upper(), name, name.removesuffix("Scheduler")):
            assert Sampler(given).name == name
    assert Sampler("euler_ancestral").name == "EulerAncestralDiscreteScheduler"
    assert set(ALIASES.values()) == set(SOLVERS)


# ---------------------------------------------------------------- right


@every_solver
def test_every_solver_draws_from_a_gaussian_target(name):
    """Mean and standard deviation converge to the target's as steps are added."""
    fine = sample(gaussian_denoiser, lambda s: noise(s, 120), sampler_of(name, 300))
    assert float(fine.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(fine.std()) == pytest.approx(STD, rel=0.05)


@every_solver
@pytest.mark.parametrize("steps", [3, 4, 10, 21])
def test_evaluations_and_draws_are_counted(name, steps):
    """NFE is what is promised, and noise is asked for in the order 0, 1, 2, …"""
    sampler, calls, streams = sampler_of(name, steps), [], []

    def counted(x: torch.Tensor, sigma: float) -> torch.Tensor:
        calls.append(sigma)
        return gaussian_denoiser(x, sigma)

    def listed(stream: int) -> torch.Tensor:
        streams.append(stream)
        return small(stream)

    out = sample(counted, listed, sampler)
    assert torch.isfinite(out).all()
    assert len(calls) == sampler.evaluations
    assert streams == list(range(len(streams)))
    if SOLVERS[name].draws == "yes":
        assert len(streams) > steps / 2
    else:
        assert streams == [0]
    if name != "KDPM2AncestralDiscreteScheduler":  # it overshoots and adds noise
        assert calls == sorted(calls, reverse=True)


def test_fewest_steps_still_work():
    for name, solver in SOLVERS.items():
        sampler = sampler_of(name, solver.least)
        out = sample(gaussian_denoiser, small, sampler)
        assert torch.isfinite(out).all(), name
        if solver.least > 1:
            with pytest.raises(OptionError, match=f"at least {solver.least}"):
                Sampler(name, solver.least - 1)


def test_default_solver_is_good_with_ten_evaluations():
    calls = []

    def counted(x: torch.Tensor, sigma: float) -> torch.Tensor:
        calls.append(sigma)
        return gaussian_denoiser(x, sigma)

    out = sample(counted, noise, Sampler())
    assert len(calls) == Sampler().evaluations == 10
    assert calls == sorted(calls, reverse=True)
    assert float(out.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(out.std()) == pytest.approx(STD, rel=0.05)


@every_solver
def test_prediction_type_does_not_matter(name):
    """It is how denoiser and scheduler talk to each other; the denoiser is the same."""
    results = [
        sample(gaussian_denoiser, small, sampler_of(name, 20, {"prediction_type": prediction}))
        for prediction in SOLVERS[name].predictions
        if prediction != "flow_prediction"  # of straight paths: below
    ]
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "name",
    [name for name, solver in SOLVERS.items() if "flow_prediction" in solver.predictions],
)
def test_prediction_type_does_not_matter_on_straight_paths(name):
    results = [
        sample(
            gaussian_denoiser,
            small,
            sampler_of(
                name,
                20,
                {
                    **defaults_without_levels(name),
                    "use_flow_sigmas": True,
                    "prediction_type": prediction,
                },
            ),
        )
        for prediction in ("sample", "epsilon", "flow_prediction")
    ]
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=0, atol=1e-3)


VARIANTS: dict[str, dict[str, Any]] = {
    "scaled linear": {"beta_schedule": "scaled_linear"},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "own betas": {"trained_betas": np.linspace(1e-4, 0.06, 400)},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "exponential edm": {"sigma_schedule": "exponential"},
    "lu": {"use_lu_lambdas": True},
    "flow": {"use_flow_sigmas": True},
    "leading": {"timestep_spacing": "leading"},
    "trailing": {"timestep_spacing": "trailing"},
    "linspace": {"timestep_spacing": "linspace"},
    "zero snr": {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
    "third order": {"solver_order": 3},
    "first order": {"solver_order": 1},
    "eta": {"eta": 0.7},
    "churn": {"s_churn": 5.0},
    "variance": {"variance_type": "fixed_small_log"},
    "runge-kutta": {"skip_prk_steps": False},
    "shift": {"shift": 2.0},
    "dynamic shift": {"use_dynamic_shifting": True, "mu": 0.5},
    "bh1": {"solver_type": "bh1", "final_sigmas_type": "sigma_min"},
    "predict noise": {"predict_x0": False, "final_sigmas_type": "sigma_min"},
    "noise prediction": {"algorithm_type": "noise_prediction"},
    "sde": {"algorithm_type": "sde-dpmsolver++"},
}
# Not for these, by their own code: one of the two.
ONLY = {
    "noise prediction": {"SASolverScheduler"},
    "bh1": {"UniPCMultistepScheduler"},
    "runge-kutta": {"PNDMScheduler"},
    "sde": {"EDMDPMSolverMultistepScheduler", "DPMSolverMultistepScheduler"},
    "dynamic shift": {"FlowMatchEulerDiscreteScheduler"},
    "third order": {"DPMSolverMultistepScheduler", "UniPCMultistepScheduler"},
    "variance": {"DDPMScheduler", "DDPMParallelScheduler"},
}


def takes(name: str, options: Mapping[str, Any]) -> bool:
    """Whether the installed class has all these options."""
    cls = getattr(diffusers, name, None)
    if cls is None or hasattr(cls, "_backends"):
        return False
    known = {*inspect.signature(cls.__init__).parameters} - {*SOLVERS[name].hidden}
    return {*options} <= {*known, *SOLVERS[name].step_options, "mu"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_options_keep_the_target(variant):
    """Each option on each class that has it: other levels, another order, the same result."""
    tried = []
    for name in SOLVERS:
        options = {**defaults_without_levels(name), **VARIANTS[variant]}
        if not takes(name, options) or name not in ONLY.get(variant, SOLVERS):
            continue
        sampler = sampler_of(name, 100, options)
        out = sample(gaussian_denoiser, lambda s: noise(s, 64), sampler)
        assert float(out.mean()) == pytest.approx(MEAN, abs=0.03), name
        assert float(out.std()) == pytest.approx(STD, rel=0.1), name
        tried.append(name)
    assert tried


@pytest.mark.parametrize(
    "name", ["DDPMScheduler", *(name for name, solver in SOLVERS.items() if solver.divides)]
)
@pytest.mark.parametrize("steps", [17, 300, 750])
def test_steps_need_not_divide_the_timesteps_of_the_training(name, steps):
    """diffusers goes 1000 // steps timesteps further: with 750 steps it would stay in the noise."""
    sampler = sampler_of(name, steps)
    levels = NoiseLevels(prediction="epsilon", schedule={"num_train_timesteps": 1000})
    assert len(make_scheduler(sampler, levels).alphas_cumprod) == 1000
    out = sample(gaussian_denoiser, lambda s: noise(s, 100), sampler, levels)
    even = sample(gaussian_denoiser, lambda s: noise(s, 100), sampler)
    assert float(out.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(out.std()) == pytest.approx(float(even.std()), rel=0.03)


@pytest.mark.parametrize("name", ["ddpm", "ddim", "ddpm-parallel", "ddim-parallel"])
def test_options_of_a_published_folder_act(name):
    """Cutting off at each level is what the user asks for, or the folder of a published model."""
    spaced = {"timestep_spacing": "leading", "steps_offset": 1}
    if name.startswith("ddpm"):
        spaced["variance_type"] = "fixed_small_log"
    free = sample(gaussian_denoiser, small, Sampler(name, 20, spaced))
    clipped = {**spaced, "clip_sample": True, "clip_sample_range": 0.6}
    scaled = {**spaced, "thresholding": True, "sample_max_value": 1.0}
    assert float(free.abs().max()) > 1.2
    for options, most in ((clipped, 0.6), (scaled, 1.0)):
        out = sample(gaussian_denoiser, small, Sampler(name, 20, options))
        assert most - 0.05 < float(out.max()) < most + 1e-4


def test_thresholding_needs_the_whole_field():
    """Its quantile is that of a block: where there are two there would be a seam."""
    options = SamplingOptions(0, Sampler("ddim", options={"thresholding": True}), 1)
    options.check_blocks(1)
    with pytest.raises(OptionError, match=r"2 blocks.*thresholding=False"):
        options.check_blocks(2)


def test_the_infinite_option_of_dpm_solver_is_its_default():
    options = {"use_karras_sigmas": False}
    infinite = {**options, "lambda_min_clipped": -np.inf}
    one, other = (
        sample(gaussian_denoiser, small, Sampler("dpm++-multistep", 5, o))
        for o in (options, infinite)
    )
    assert torch.equal(one, other)


def test_levels_are_the_schedulers_own():
    sampler = Sampler("dpm++", 6)
    solver = SchedulerSolver(sampler, NoiseLevels())
    np.testing.assert_allclose(solver.noise_levels, NoiseLevels().descending(6), rtol=1e-5)
    with pytest.raises(OptionError, match="brings its own noise levels"):
        solver(gaussian_denoiser, small(0), [20.0, 1.0, 0.0], small)


def test_ddim_eta_adds_noise():
    smooth = sample(gaussian_denoiser, noise, Sampler("ddim", 20, {"eta": 0.0}))
    rough = sample(gaussian_denoiser, noise, Sampler("ddim", 20, {"eta": 1.0}))
    again = sample(gaussian_denoiser, noise, Sampler("ddim", 20, {"eta": 1.0}))
    assert not torch.allclose(smooth, rough, atol=0.1)
    torch.testing.assert_close(rough, again, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["ddpm", "ddim", "ddim-cogvideox", "dpm-cogvideox", "tcd"])
@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_pure_noise_at_the_first_level_is_no_division_by_zero(name, prediction):
    options = {"rescale_betas_zero_snr": True, "prediction_type": prediction}
    levels = []

    def listed(x: torch.Tensor, sigma: float) -> torch.Tensor:
        levels.append(sigma)
        assert torch.isfinite(x).all()
        return gaussian_denoiser(x, sigma)

    sampler = sampler_of(name, 50, options)
    kept = make_scheduler(sampler, NoiseLevels()).alphas_cumprod
    assert float(kept[-1]) == 0
    out = sample(listed, noise, sampler)
    assert np.isfinite(levels).all()
    assert levels[0] > 1e4
    assert float(out.mean()) == pytest.approx(MEAN, abs=0.02)
    with pytest.raises(OptionError, match=r"pure\s+noise.*'v_prediction'"):
        make_scheduler(Sampler(name, 50, {**options, "prediction_type": "epsilon"}), NoiseLevels())


def test_two_levels_of_one_timestep_do_not_shift_the_others():
    """diffusers begins at the second of two equal timesteps, and would leave a level out."""
    sampler = Sampler("dpm++-multistep", 1000, {"beta_schedule": "scaled_linear"})
    scheduler = make_scheduler(sampler, NoiseLevels())
    assert int((scheduler.timesteps == scheduler.timesteps[0]).sum()) > 1
    levels = []

    def listed(x: torch.Tensor, sigma: float) -> torch.Tensor:
        levels.append(sigma)
        return gaussian_denoiser(x, sigma)

    out = sample(listed, small, sampler)
    np.testing.assert_allclose(levels, scheduler.sigmas[:-1].numpy(), rtol=1e-5)
    assert torch.isfinite(out).all()


# ---------------------------------------------------------------- repeatable


@every_solver
def test_the_result_depends_on_place_and_member_alone(name):
    """One sample alone, in a batch, and cut out of a larger domain: the same numbers."""
    sampler = sampler_of(name, 8)

    def alone(stream: int) -> torch.Tensor:
        return plane(1, stream, (0, 0), (40, 48))

    def batch(stream: int) -> torch.Tensor:
        return torch.cat([plane(member, stream, (0, 0), (40, 48)) for member in (0, 1, 2)])

    def window(stream: int) -> torch.Tensor:
        return plane(1, stream, (8, 5), (21, 30))

    whole = sample(gaussian_denoiser, alone, sampler)
    torch.manual_seed(123)  # must not matter
    many = sample(gaussian_denoiser, batch, sampler)
    part = sample(gaussian_denoiser, window, sampler)
    torch.testing.assert_close(many[1:2], whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(part, whole[..., 8:29, 5:35], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(many[0], many[1], atol=0.1)


@every_solver
def test_samplers_keep_precision_and_device(name):
    sampler = sampler_of(name, 5)
    out = sample(gaussian_denoiser, lambda s: small(s).double(), sampler)
    assert out.dtype == torch.float64
    assert torch.isfinite(out).all()
    # the device of no data stands for a GPU: a tensor of the CPU in a formula would show. These
    # three move their list of levels there, of which it then cannot be read:
    if name in ("DDPMWuerstchenScheduler", "ScoreSdeVeScheduler", "LTXEulerAncestralRFScheduler"):
        return
    elsewhere = sample(gaussian_denoiser, lambda s: small(s).to("meta"), sampler)
    assert elsewhere.device.type == "meta"


def test_schedulers_are_fresh_for_every_call():
    ours, theirs = (
        make_scheduler(Sampler(), NoiseLevels()),
        make_scheduler(Sampler(), NoiseLevels()),
    )
    assert ours is not theirs
    assert float(ours.sigmas[0]) == pytest.approx(NoiseLevels().sigma_max)


# ---------------------------------------------------------------- models of discrete timesteps

TRAINED = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}


def network(inputs: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """A made-up network: smooth in the field and in the timestep."""
    time = timestep.to(inputs).reshape(-1, 1, 1, 1) / 1000
    return torch.tanh(1.5 * inputs) * (0.3 + 0.6 * time) + 0.05 * torch.cos(5 * time)


def plain_loop(
    name: str, steps: int, options: Mapping[str, Any], source: Callable[[int], torch.Tensor]
) -> tuple[torch.Tensor, list[float]]:
    """What a script with diffusers would do, with the noise of `source`."""
    step = {key: value for key, value in options.items() if key == "eta"}
    keywords = {**SOLVERS[name].defaults, **TRAINED, "prediction_type": "epsilon", **options}
    keywords.pop("eta", None)
    scheduler = getattr(diffusers, name)(**keywords)
    scheduler.set_timesteps(steps)
    x = source(0) * float(scheduler.init_noise_sigma)
    keyed = KeyedRandn(source)
    for timestep in scheduler.timesteps:
        inputs = scheduler.scale_model_input(x, timestep)
        output = network(inputs, timestep.expand(x.shape[0]))
        with keyed:
            x = scheduler.step(output, timestep, x, **step).prev_sample
    return x, scheduler.timesteps.tolist()


@pytest.mark.parametrize(
    ("name", "steps", "options"),
    [
        ("ddpm", 1000, {}),
        ("ddpm", 40, {"timestep_spacing": "leading"}),
        ("ddim", 50, {}),
        ("ddim", 20, {"eta": 1.0}),
        ("lms", 10, {"use_karras_sigmas": False}),
        ("lms", 12, {}),
        ("euler", 10, {"use_karras_sigmas": False}),
        ("euler-ancestral", 20, {}),
        ("heun", 10, {"use_karras_sigmas": False}),
        ("dpm2", 10, {"use_karras_sigmas": False}),
        ("pndm", 20, {}),
        ("dpm++-multistep", 10, {"use_karras_sigmas": False}),
        ("dpm++-singlestep", 10, {"use_karras_sigmas": False}),
        ("unipc", 10, {"use_karras_sigmas": False}),
        ("deis", 10, {"use_karras_sigmas": False}),
        ("tcd", 10, {}),
    ],
)
def test_a_model_of_discrete_timesteps_is_sampled_as_diffusers_would(name, steps, options):
    """Its network is asked at the scheduler's very timesteps, and the fields are the same."""
    sampler = sampler_of(name, steps, options)
    labels = []

    def call(inputs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        labels.append(float(label[0]))
        return network(inputs, label)

    def denoiser(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return denoise(call, x, sigma, NoiseLevels(prediction="epsilon", schedule=TRAINED))

    def doubled(stream: int) -> torch.Tensor:
        return small(stream).double()

    ours = sample(denoiser, doubled, sampler, NoiseLevels(prediction="epsilon", schedule=TRAINED))
    given = {**options, "eta": 0.0} if name == "tcd" else options
    theirs, timesteps = plain_loop(sampler.name, steps, given, doubled)
    np.testing.assert_allclose(labels, timesteps, rtol=0, atol=1e-3)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_an_exponential_network_label_may_lie_between_two_timesteps():
    """With the solver of the EDM levels, which knows no timesteps."""
    labels = []

    def call(inputs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        labels.append(float(label[0]))
        return network(inputs, label)

    def denoiser(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return denoise(call, x, sigma, NoiseLevels(prediction="epsilon", schedule=TRAINED))

    levels = NoiseLevels(sigma_max=10.0, prediction="epsilon", schedule=TRAINED)
    assert torch.isfinite(sample(denoiser, small, Sampler(), levels)).all()
    assert labels == sorted(labels, reverse=True)
    assert any(abs(label - round(label)) > 0.1 for label in labels)


@pytest.mark.parametrize(
    "name", [n for n, s in SOLVERS.items() if s.form in ("scaled", "exploding", "cumulative")]
)
def test_the_schedule_of_the_training_is_that_of_the_solver(name):
    trained = {"num_train_timesteps": 500, "beta_schedule": "sigmoid", "beta_end": 0.03}
    sampler = sampler_of(name, 20)
    scheduler = make_scheduler(sampler, NoiseLevels(prediction="v_prediction", schedule=trained))
    if "trained_betas" not in scheduler.config:
        assert name == "UnCLIPScheduler"
        return
    expected = diffusers.DDPMScheduler(**trained).alphas_cumprod
    torch.testing.assert_close(scheduler.alphas_cumprod.float(), expected, rtol=1e-4, atol=1e-6)
    assert scheduler.config.num_train_timesteps == 500
    own = make_scheduler(
        Sampler(name, 20, {"beta_end": 0.01}),
        NoiseLevels(prediction="v_prediction", schedule=trained),
    )  # the user's word counts more
    assert own.config.trained_betas is None


def test_models_trained_to_pure_noise_are_asked_at_their_last_timestep():
    trained = {**TRAINED, "rescale_betas_zero_snr": True}
    for name in ("ddim", "ddpm", "euler", "dpm++-multistep", "flow-euler"):
        labels = []

        def call(
            inputs: torch.Tensor, label: torch.Tensor, labels: list[float] = labels
        ) -> torch.Tensor:
            labels.append(float(label[0]))
            return network(inputs, label)

        def denoiser(x: torch.Tensor, sigma: float, call: Any = call) -> torch.Tensor:
            return denoise(call, x, sigma, NoiseLevels(prediction="v_prediction", schedule=trained))

        out = sample(
            denoiser,
            small,
            Sampler(name, 10),
            NoiseLevels(prediction="v_prediction", schedule=trained),
        )
        assert torch.isfinite(out).all(), name
        assert labels[0] == pytest.approx(999, abs=1e-3), name


# ---------------------------------------------------------------- names and errors


@pytest.mark.parametrize(
    ("given", "name", "steps"),
    [
        (None, "EDMDPMSolverMultistepScheduler", 10),
        ("ddim", "DDIMScheduler", 50),
        ("DDPM", "DDPMScheduler", 1000),
        ("LMSDiscrete", "LMSDiscreteScheduler", 10),
        ("heun", "HeunDiscreteScheduler", 20),
        ({"name": "ddim", "eta": 0.5, "steps": 5}, "DDIMScheduler", 5),
    ],
)
def test_names(given, name, steps):
    sampler = as_sampler(given, None)
    assert (sampler.name, sampler.steps) == (name, steps)
    assert as_sampler(given, 3).steps == 3
    assert as_sampler(sampler, None) == sampler
    assert as_sampler(sampler, 3).steps == 3


@pytest.mark.parametrize(
    ("name", "steps", "evaluations"),
    [("dpm++", 10, 10), ("heun", 10, 19), ("pndm", 10, 11), ("flow-heun", 2, 3), ("unipc", 1, 1)],
)
def test_evaluations_of_a_sampler(name, steps, evaluations):
    assert Sampler(name, steps).evaluations == evaluations


def test_runge_kutta_evaluations():
    sampler, calls = Sampler("pndm", 20, {"skip_prk_steps": False}), []

    def counted(x: torch.Tensor, sigma: float) -> torch.Tensor:
        calls.append(sigma)
        return gaussian_denoiser(x, sigma)

    sample(counted, small, sampler)
    assert len(calls) == sampler.evaluations == 29


def test_errors_name_the_cure():
    with pytest.raises(OptionError, match=r"ddmp.*ddpm"):
        Sampler("ddmp")
    with pytest.raises(OptionError, match="steps=0"):
        Sampler("ddim", 0)
    with pytest.raises(OptionError, match="steps=0"):
        as_sampler(Sampler("ddim"), 0)
    with pytest.raises(OptionError, match=r"beta_shedule.*beta_schedule"):
        make_scheduler(Sampler("ddim", 5, {"beta_shedule": "linear"}), NoiseLevels())
    with pytest.raises(OptionError, match="name"):
        as_sampler({"eta": 1.0}, None)
    with pytest.raises(OptionError, match=r"distilled.*Take for example \w+Scheduler"):
        Sampler("lcm")
    with pytest.raises(OptionError, match=r"DDPMScheduler steps=2000: diffusers says"):
        make_scheduler(Sampler("ddpm", 2000), NoiseLevels())
    with pytest.raises(OptionError, match="diffusers says"):
        make_scheduler(Sampler("lms", 5, {"beta_schedule": "sigmoid"}), NoiseLevels())
    with pytest.raises(OptionError, match="final_sigmas_type='sigma_min'"):
        make_scheduler(Sampler("unipc", 5, {"predict_x0": False}), NoiseLevels())
    with pytest.raises(OptionError, match="half a divisor of num_train_timesteps=1000"):
        options = {"skip_prk_steps": False, "num_train_timesteps": 1000}
        make_scheduler(Sampler("pndm", 8, options), NoiseLevels())
    with pytest.raises(OptionError, match="eta"):  # of distilled networks
        make_scheduler(Sampler("tcd", 5, {"eta": 0.3}), NoiseLevels())
    with pytest.raises(OptionError, match="use_flow_sigmas=True"):
        Sampler("deis", 5, {"prediction_type": "flow_prediction"})
    with pytest.raises(OptionError, match=r"prediction_type='sample'.*epsilon, v_prediction"):
        Sampler("dpm2", 5, {"prediction_type": "sample"})


@pytest.mark.parametrize("option", REFUSED_OPTIONS)
def test_options_that_would_break_a_promise_are_refused(option):
    allowed, reason = REFUSED_OPTIONS[option]
    name = next((n for n in SOLVERS if takes(n, {option: None})), "ddim")
    with pytest.raises(OptionError) as caught:
        Sampler(name, 5, {option: "something else"})
    assert reason in str(caught.value)
    for value in allowed:
        assert Sampler(name, 5, {option: value}).options == {option: value}


@pytest.mark.parametrize("name", ["LCMScheduler", "FlowMatchLCMScheduler"])
def test_refused_for_too_little_variance(name, monkeypatch):
    """The reason is true: by the loop of the others their fields have less than it should be."""
    flows = name.startswith("Flow")
    like = SOLVERS["FlowMatchEulerDiscreteScheduler" if flows else "TCDScheduler"]
    if getattr(diffusers, name, None) is None:
        pytest.skip(f"this diffusers has no {name}")
    monkeypatch.delitem(REFUSED, name)
    monkeypatch.setitem(SOLVERS, name, like)
    out = sample(gaussian_denoiser, noise, Sampler(name, 200))
    assert float(out.std()) < 0.8 * STD


def test_history_names_the_options_but_not_long_lists():
    sampler = Sampler("ddim", 5, {"eta": 0.5, "trained_betas": [0.01] * 100})
    assert sampler.describe() == "DDIMScheduler steps=5 eta=0.5 trained_betas=<100 values>"


# ---------------------------------------------------------------- the page for analysts

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "samplers.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Cells of the table below the line that starts with this."""
    lines = iter(PAGE.splitlines())
    next(line for line in lines if line.startswith(heading))
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            return found
        found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


def test_the_page_has_the_table_of_solvers():
    words = {"no": "deterministic", "yes": "stochastic", "option": "by option"}
    assert [row[:6] for row in rows("| name |")] == [
        [f"`{s.short}`", f"`{name}`", s.note, words[s.draws], s.cost, str(s.steps)]
        for name, s in SOLVERS.items()
    ]


@every_solver
def test_the_page_is_right_about_the_spread(name):
    """To four percentage points: the table's numbers are measured, and stay true."""
    row = next(row for row in rows("| name |") if row[1] == f"`{name}`")
    for text, steps in ((row[6], 10), (row[7], SOLVERS[name].steps)):
        out = sample(gaussian_denoiser, lambda s: noise(s, 100), sampler_of(name, steps))
        percent = float(text.removesuffix(" %").replace("−", "-"))
        assert 100 * (float(out.std()) / STD - 1) == pytest.approx(percent, abs=4)


def test_the_page_says_what_is_refused_and_why():
    refused = {
        name: reason
        for classes, reason in rows("| diffusers class | reason")
        for name in re.findall(r"`(\w+)`", classes)
    }
    assert refused == REFUSED
    options = {
        option.strip("`"): (allowed, reason)
        for option, allowed, reason in rows("| option | allowed")
    }
    assert options == {
        option: (", ".join(f"`{value!r}`" for value in allowed), reason)
        for option, (allowed, reason) in REFUSED_OPTIONS.items()
    }


def test_options_of_the_page_exist():
    """Each option of the table is one of a class that is named beside it."""
    for option, of, _ in rows("| option | of"):
        names = [Sampler(name).name for name in re.findall(r"`([\w+-]+)`", of)] or [*SOLVERS]
        for key in re.findall(r"`(\w+)", option):
            assert any(takes(name, {key: None}) for name in names), (key, names)
