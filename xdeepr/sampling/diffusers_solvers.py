"""The schedulers of diffusers behind the signature of our own solvers.

A scheduler brings its own noise levels. At each of its steps it is asked for its level and scaling,
the denoiser is evaluated there, and the result is handed over in the form that the scheduler takes
for its network's output. A scheduler keeps state, so a new one is made for every call.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch

from xdeepr.checks import nearest
from xdeepr.errors import OptionError
from xdeepr.sampling.diffusers_doors import (
    begin_at_the_first_level,
    key_brownian,
    midpoint,
    scheduler_class,
    step_over,
    wuerstchen_signal,
)
from xdeepr.sampling.diffusers_table import Scheduler
from xdeepr.sampling.keyed_draws import KeyedRandn
from xdeepr.sampling.noise_levels import NoiseLevels
from xdeepr.sampling.samplers import Sampler
from xdeepr.sampling.schedules import KEYWORDS, as_schedule
from xdeepr.sampling.solvers import Denoiser, NoiseSource

PURE_NOISE = 2.0**20
"""Noise-to-signal ratio that stands for infinity. Some schedulers start at a signal of 0, where
diffusers itself has a ratio of 4096; but that is not beyond every schedule's last timestep."""


class SchedulerSolver:
    """One scheduler of diffusers as a :data:`~xdeepr.sampling.solvers.Solve`, for one call.

    Its `noise_levels` are those at which the steps begin, and 0; second-order schedulers may
    evaluate between them.
    """

    def __init__(self, sampler: Sampler, trained: NoiseLevels) -> None:
        self.scheduler, self.sampler = make_scheduler(sampler, trained), sampler
        self.form = _entry(sampler).form
        # Wuerstchen's list ends with the clean field itself
        count = len(self.scheduler.timesteps) - (self.form == "wuerstchen")
        self.states = [_state(self.scheduler, self.form, index) for index in range(count)]
        self.noise_levels = [*(_ratio(*state)[1] for state in self.states), 0.0]

    def __call__(
        self,
        denoiser: Denoiser,
        x: torch.Tensor,
        noise_levels: Sequence[float],
        noise: NoiseSource,
    ) -> torch.Tensor:
        """Integrate; see :data:`~xdeepr.sampling.solvers.Solve`."""
        if noise_levels != self.noise_levels:
            raise OptionError(
                f"sampler {self.sampler.name}: a scheduler of diffusers brings its own noise"
                " levels: choose them by its options."
            )
        scheduler = self.scheduler
        x = x * float(getattr(scheduler, "init_noise_sigma", 1.0))
        keyed = KeyedRandn(noise)
        key_brownian(scheduler, keyed)
        step = _Step(scheduler, self.sampler)
        for index, state in enumerate(self.states):
            if hasattr(scheduler, "scale_model_input"):
                # some schedulers insist on this call
                scheduler.scale_model_input(x, scheduler.timesteps[index])
            middle = midpoint(scheduler, index)
            alpha, sigma = _state(scheduler, self.form, index, middle) if middle else state
            signal, level = _ratio(alpha, sigma)
            clean = denoiser(x / signal, level)
            output = _as_prediction(scheduler, self.form, clean, x, alpha, sigma)
            with keyed:  # not around the denoiser: it slows every torch function down
                x = step(output, index, x)
        return x


def _entry(sampler: Sampler) -> Scheduler:
    """Return what the table knows of a sampler's scheduler."""
    assert isinstance(sampler.solver, Scheduler)  # who makes schedulers has looked
    return sampler.solver


def _ratio(alpha: float, sigma: float) -> tuple[float, float]:
    """Return what x is divided by to be clean + noise, and the level of that noise."""
    signal = max(alpha, sigma / PURE_NOISE)  # no division by 0
    return signal, sigma / signal


def make_scheduler(sampler: Sampler, trained: NoiseLevels) -> Any:
    """Return a fresh diffusers scheduler with its timesteps set.

    One with continuous levels gets the ends of `trained`, one with discrete levels its schedule.
    """
    cls, solver = scheduler_class(sampler.name), _entry(sampler)
    keywords = set(inspect.signature(cls.__init__).parameters) - {"self", *solver.hidden}
    beside = {*solver.step_options, *_set_options(cls)}
    for key in sampler.options:
        if key not in (known := keywords | beside):
            near = nearest(key, known, count=1) if known else []
            raise OptionError(
                f"sampler {sampler.name}: unknown option {key!r}. It knows"
                f" {', '.join(near + sorted(known - {*near})) or 'none'}."
            )
    try:
        scheduler = cls(**_constructor_options(sampler, trained, keywords))
        given = {key: sampler.options[key] for key in _set_options(cls) if key in sampler.options}
        # MiniMax counts the points of its grid, of which the last is the clean field
        points = sampler.levels + (sampler.name == "MiniMaxH3Scheduler")
        scheduler.set_timesteps(points, **given)
        if sampler.name == "ScoreSdeVeScheduler":
            scheduler.set_sigmas(points)
    except Exception as error:
        raise OptionError(f"sampler {sampler.describe()}: diffusers says: {error}") from error
    begin_at_the_first_level(scheduler)
    _check_ends(scheduler, sampler)
    return scheduler


def _set_options(cls: Any) -> set[str]:
    """Return the options that go to ``set_timesteps``."""
    return {"mu"} & set(inspect.signature(cls.set_timesteps).parameters)


def _constructor_options(
    sampler: Sampler, trained: NoiseLevels, keywords: set[str]
) -> dict[str, Any]:
    """Return defaults, what the model asks for, and the user's options, which win."""
    solver, given = _entry(sampler), sampler.options
    options = dict(solver.defaults)
    if solver.form in ("edm", "sde-ve"):
        options.update(sigma_min=trained.sigma_min, sigma_max=trained.sigma_max)
    if solver.form == "edm":
        options["sigma_data"] = trained.sigma_data
    if solver.form == "sde-ve":
        # it rounds time down to a level's number; with its own end of 1e-5 rounding errors decide
        options["sampling_eps"] = 0.5 / sampler.levels
    own_levels = not trained.discrete or bool(set(KEYWORDS) & set(given))
    if not own_levels and "trained_betas" in keywords:
        # as betas, because not every scheduler knows every schedule by name
        options["trained_betas"] = as_schedule(trained.schedule).betas.tolist()
    options.update({key: value for key, value in given.items() if key in keywords})
    if options.get("trained_betas") is not None:
        options.setdefault("num_train_timesteps", 0)
        if "num_train_timesteps" not in given:
            options["num_train_timesteps"] = len(options["trained_betas"])
    elif solver.divides and "num_train_timesteps" not in given:
        # it steps by the rounded-down quotient of the two numbers: one must divide the other
        quotient = -(-1000 // sampler.levels)
        if given.get("skip_prk_steps") is False:
            quotient += quotient % 2  # Runge-Kutta halves it
        options["num_train_timesteps"] = sampler.levels * quotient
    if "original_inference_steps" in options and "original_inference_steps" not in given:
        options["original_inference_steps"] = options["num_train_timesteps"]
    return options


def _check_ends(scheduler: Any, sampler: Sampler) -> None:
    """Refuse to divide by a signal of 0 at the first level, or by noise of 0 at the last."""
    config = scheduler.config
    if (
        _entry(sampler).form == "cumulative"
        and config.prediction_type == "epsilon"
        and float(scheduler.alphas_cumprod[int(scheduler.timesteps[0])]) <= 0
    ):
        raise OptionError(
            f"sampler {sampler.name}: rescale_betas_zero_snr=True makes the first level pure noise,"
            " of which prediction_type='epsilon' says nothing: use 'sample' or 'v_prediction'."
        )
    for key, value in (("predict_x0", False), ("solver_type", "bh1")):  # both of UniPC
        if config.get(key) == value and float(scheduler.sigmas[-1]) == 0:
            raise OptionError(
                f"sampler {sampler.name}: {key}={value!r} does not work down to noise of 0: add"
                " final_sigmas_type='sigma_min'."
            )
    halves = sampler.options.get("skip_prk_steps") is False
    if halves and config.num_train_timesteps % (2 * sampler.levels):
        raise OptionError(
            f"sampler {sampler.name}: Runge-Kutta halves its steps: give half a divisor of"
            f" num_train_timesteps={config.num_train_timesteps} as steps, not {sampler.levels}."
        )


def _state(
    scheduler: Any, form: str, index: int, middle: float | None = None
) -> tuple[float, float]:
    """Return (alpha, sigma) of x = alpha · clean + sigma · noise at one evaluation."""
    if form == "cumulative":  # only cumulative products, variance preserving
        kept = float(scheduler.alphas_cumprod[int(scheduler.timesteps[index])])
        return kept**0.5, (1 - kept) ** 0.5
    if form == "wuerstchen":
        kept = wuerstchen_signal(scheduler, index)
        return kept**0.5, (1 - kept) ** 0.5
    if form == "sde-vp":
        time, config = float(scheduler.timesteps[index]), scheduler.config
        growth = 0.5 * time**2 * (config.beta_max - config.beta_min) + time * config.beta_min
        kept = math.exp(-growth)
        return kept**0.5, (1 - kept) ** 0.5
    if form == "sde-ve":
        last = len(scheduler.timesteps) - 1
        return 1.0, float(scheduler.discrete_sigmas[(scheduler.timesteps[index] * last).long()])
    if form == "ipndm":
        return float(scheduler.alphas[index]), float(scheduler.betas[index])
    sigma = middle or float(scheduler.sigmas[index])
    if form == "flow" or scheduler.config.get("use_flow_sigmas", False):
        return 1 - sigma, sigma
    if form == "scaled":
        alpha = 1 / (1 + sigma**2) ** 0.5
        return alpha, sigma * alpha
    return 1.0, sigma


_FIXED_PREDICTION = {
    "flow": "flow_prediction",
    "ipndm": "v_prediction",
    "wuerstchen": "epsilon",
    "sde-vp": "epsilon",
    "sde-ve": "score",
}


def _as_prediction(
    scheduler: Any, form: str, clean: torch.Tensor, x: torch.Tensor, alpha: float, sigma: float
) -> torch.Tensor:
    """Return what the scheduler takes as the network's output for this clean field."""
    kind = _FIXED_PREDICTION.get(form) or scheduler.config.prediction_type
    if form == "edm":
        # EDM schedulers precondition by themselves (Karras et al., 2022, eq. 7): undo it.
        data = scheduler.config.sigma_data
        skip = data**2 / (sigma**2 + data**2)
        scale = sigma * data / (sigma**2 + data**2) ** 0.5
        return (clean - skip * x) / (-scale if kind == "v_prediction" else scale)
    if kind == "epsilon":
        return (x - alpha * clean) / sigma
    if kind == "v_prediction":
        total = (alpha**2 + sigma**2) ** 0.5  # 1 where the variance is preserved
        return (alpha / total**2 * x - clean) / (sigma / total)
    if kind == "flow_prediction":  # noise - clean, where x is (1 - sigma) clean + sigma noise
        sign = -1 if type(scheduler).__name__ == "MiniMaxH3Scheduler" else 1
        return (x - clean) / (sign * sigma)
    if kind == "score":  # gradient of the logarithm of the density
        return (clean - x) / sigma**2
    return clean


class _Step:
    """One step of a scheduler, whatever its class wants to be given."""

    def __init__(self, scheduler: Any, sampler: Sampler) -> None:
        self.scheduler = scheduler
        solver = _entry(sampler)
        self.options = {k: v for k, v in sampler.options.items() if k in solver.step_options}
        if sampler.name == "TCDScheduler":
            self.options.setdefault("eta", 0.0)  # its own 0.3 is for distilled networks
        self.take = self.special.get(sampler.name) or self.special.get(solver.form, _Step.usual)
        self.before: torch.Tensor | None = None
        self.follows = sampler.options.get("skip_prk_steps") is not False and (
            # DDPM did so too in older versions of diffusers
            solver.divides or sampler.name in ("DDPMScheduler", "DDPMParallelScheduler")
        )

    def __call__(self, output: torch.Tensor, index: int, x: torch.Tensor) -> torch.Tensor:
        if self.follows:
            self.follow(index)
        return self.take(self, output, index, x)

    def timestep(self, index: int) -> torch.Tensor | None:
        """Return a timestep, None before the first and after the last."""
        inside = 0 <= index < len(self.scheduler.timesteps)
        return self.scheduler.timesteps[index] if inside else None

    def follow(self, index: int) -> None:
        """Let a step end at the next timestep, and not at a rounded quotient before this one.

        Where steps do not divide the timesteps of the training, diffusers would go less far at
        each step than its list of timesteps says, and leave noise in the field.
        """
        before, now, after = [-1, *self.scheduler.timesteps.tolist(), -1][index : index + 3]
        # PNDM comes to its second timestep twice, and goes back from there
        gap = now - after if now != after else before - now
        step_over(self.scheduler, gap)

    def usual(self, output: torch.Tensor, index: int, x: torch.Tensor) -> torch.Tensor:
        return self.scheduler.step(output, self.timestep(index), x, **self.options).prev_sample

    def unclip(self, output: torch.Tensor, index: int, x: torch.Tensor) -> torch.Tensor:
        # left to itself it takes the timestep before in training
        following = self.timestep(index + 1)
        return self.scheduler.step(output, self.timestep(index), x, following).prev_sample

    def wuerstchen(self, output: torch.Tensor, index: int, x: torch.Tensor) -> torch.Tensor:
        self.scheduler.timesteps = self.scheduler.timesteps.to(x.device)
        time = self.scheduler.timesteps[index].expand(x.shape[0])
        return self.scheduler.step(output, time, x).prev_sample

    def cogvideox(self, output: torch.Tensor, index: int, x: torch.Tensor) -> torch.Tensor:
        now, back = self.timestep(index), self.timestep(index - 1)
        x, self.before = self.scheduler.step(output, self.before, now, back, x)[:2]
        return x

    def ltx(self, output: torch.Tensor, index: int, x: torch.Tensor) -> torch.Tensor:
        self.scheduler.sigmas = self.scheduler.sigmas.to(x.device)
        return self.usual(output, index, x)

    def sde_ve(self, output: torch.Tensor, index: int, x: torch.Tensor) -> torch.Tensor:
        after = self.scheduler.step_pred(output, self.timestep(index), x)
        last = self.timestep(index + 1) is None
        return after.prev_sample_mean if last else after.prev_sample

    def sde_vp(self, output: torch.Tensor, index: int, x: torch.Tensor) -> torch.Tensor:
        time = self.scheduler.timesteps[index].to(x.device)
        after, mean = self.scheduler.step_pred(output, x, time)
        return mean if self.timestep(index + 1) is None else after

    special: ClassVar[dict[str, Callable[..., torch.Tensor]]] = {
        "UnCLIPScheduler": unclip,
        "CogVideoXDPMScheduler": cogvideox,
        "LTXEulerAncestralRFScheduler": ltx,
        "wuerstchen": wuerstchen,
        "sde-ve": sde_ve,
        "sde-vp": sde_vp,
    }
