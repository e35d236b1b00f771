"""Reverse diffusion: schedules and solvers as functions of a denoiser.

Four things are kept apart: the *schedule* (list of noise levels) and the *solver* (integrator)
come from a ``diffusers`` scheduler class; the *denoiser* D(x; sigma) is any function that maps
a noisy field and its noise level to the expected clean field; the *network* is behind it.

A scheduler object keeps state, so a new one is made for every call.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import math
from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar

import torch
from torch.overrides import TorchFunctionMode

from xdeepr.errors import OptionError
from xdeepr.sampling.diffusers_table import SOLVERS
from xdeepr.sampling.samplers import SCHEDULERS, NoiseRange, Sampler
from xdeepr.sampling.schedules import KEYWORDS, as_schedule

Denoiser = Callable[[torch.Tensor, float], torch.Tensor]
"""``D(x, sigma)``: x (N, V, H, W) with noise of standard deviation sigma -> E[clean | x]."""

NoiseSource = Callable[[int], torch.Tensor]
"""``noise(stream)``: standard normal noise (N, V, H, W); stream 0 starts, 1, 2, … follow."""

PURE_NOISE = 2.0**20
"""Noise-to-signal ratio that stands for infinity. Some schedulers start at a signal of 0, where
diffusers itself has a ratio of 4096; but that is not beyond every schedule's last timestep."""


def sample(
    denoiser: Denoiser,
    noise: NoiseSource,
    sampler: Sampler,
    levels: NoiseRange | None = None,
) -> torch.Tensor:
    """Draw samples by integrating from pure noise to a clean field.

    Parameters
    ----------
    denoiser : callable
        ``D(x, sigma)`` with x = clean + sigma · noise; called ``sampler.evaluations`` times.
    noise : callable
        ``noise(stream)`` gives standard normal noise; called in the order 0, 1, 2, …, which
        depends on the sampler alone.
    sampler : Sampler
        Schedule and solver.
    levels : NoiseRange, optional
        Noise levels the denoiser was trained for.

    Returns
    -------
    torch.Tensor
        Shape and dtype of ``noise(0)``.
    """
    levels = levels or NoiseRange()
    scheduler = make_scheduler(sampler, levels)
    form = SOLVERS[sampler.name].form
    x = noise(0) * float(getattr(scheduler, "init_noise_sigma", 1.0))
    keyed = KeyedRandn(noise)
    if hasattr(scheduler, "noise_sampler"):
        scheduler.noise_sampler = KeyedBrownian(keyed)
    step = _Step(scheduler, sampler)
    # Wuerstchen's list ends with the clean field itself
    timesteps = scheduler.timesteps[:-1] if form == "wuerstchen" else scheduler.timesteps
    for index, timestep in enumerate(timesteps):
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x, timestep)  # some schedulers insist on this call
        alpha, sigma = _noise_level(scheduler, form, index)
        signal = max(alpha, sigma / PURE_NOISE)  # no division by 0
        clean = denoiser(x / signal, sigma / signal)
        output = _as_prediction(scheduler, form, clean, x, alpha, sigma)
        with keyed:  # not around the denoiser: it slows every torch function down
            x = step(output, index, x)
    return x


def make_scheduler(sampler: Sampler, levels: NoiseRange) -> Any:
    """Return a fresh diffusers scheduler with its timesteps set.

    Parameters
    ----------
    sampler : Sampler
        What to make.
    levels : NoiseRange
        Noise levels for the schedulers with continuous levels, and the training's schedule for
        those with discrete levels.

    Raises
    ------
    OptionError
        If the installed diffusers lacks the scheduler, or the scheduler does not know one of the
        options or refuses its value.
    """
    cls = _scheduler_class(sampler.name)
    solver = SOLVERS[sampler.name]
    keywords = set(inspect.signature(cls.__init__).parameters) - {"self", *solver.hidden}
    beside = {*solver.step_options, *_set_options(cls)}
    for key in sampler.options:
        if key not in keywords | beside:
            near = difflib.get_close_matches(key, keywords | beside, n=1, cutoff=0.0)
            raise OptionError(
                f"sampler {sampler.name}: unknown option {key!r}. It knows"
                f" {', '.join(near + sorted((keywords | beside) - {*near})) or 'none'}."
            )
    try:
        scheduler = cls(**_constructor_options(sampler, levels, keywords))
        given = {key: sampler.options[key] for key in _set_options(cls) if key in sampler.options}
        # MiniMax counts the points of its grid, of which the last is the clean field
        points = sampler.levels + (sampler.name == "MiniMaxH3Scheduler")
        scheduler.set_timesteps(points, **given)
        if sampler.name == "ScoreSdeVeScheduler":
            scheduler.set_sigmas(points)
    except Exception as error:
        raise OptionError(f"sampler {sampler.describe()}: diffusers says: {error}") from error
    if hasattr(scheduler, "set_begin_index"):
        # two levels may round to one timestep, and diffusers would begin at the second of them
        scheduler.set_begin_index(0)
    _check_ends(scheduler, sampler)
    return scheduler


def _scheduler_class(name: str) -> Any:
    """Return a scheduler class of the installed diffusers."""
    # not `import diffusers`: the package replaces itself in sys.modules while it is imported, and
    # a thread that waits for another's import statement is given the object that was replaced
    diffusers = import_module("diffusers")
    cls = getattr(diffusers, name, None)
    if cls is None and name in _ELSEWHERE:
        with contextlib.suppress(ImportError):
            cls = getattr(import_module(_ELSEWHERE[name]), name, None)
    if cls is None:
        raise OptionError(
            f"sampler {name}: diffusers {diffusers.__version__} does not have it: install a newer"
            " diffusers, or take another sampler."
        )
    if backends := getattr(cls, "_backends", None):  # diffusers' stand-in for a class it lacks
        raise OptionError(
            f"sampler {name}: diffusers needs a package for it that is not installed:"
            f" pip install {' '.join(b for b in backends if b != 'torch')}."
        )
    return cls


_ELSEWHERE = {"ScoreSdeVpScheduler": "diffusers.schedulers.deprecated.scheduling_sde_vp"}
"""Classes that diffusers does not offer at its top."""


def _set_options(cls: Any) -> set[str]:
    """Return the options that go to ``set_timesteps``."""
    return {"mu"} & set(inspect.signature(cls.set_timesteps).parameters)


def _constructor_options(
    sampler: Sampler, levels: NoiseRange, keywords: set[str]
) -> dict[str, Any]:
    """Return defaults, what the model asks for, and the user's options, which win."""
    solver, given = SOLVERS[sampler.name], sampler.options
    options = dict(SCHEDULERS[sampler.name])
    if solver.form in ("edm", "sde-ve"):
        options.update(sigma_min=levels.sigma_min, sigma_max=levels.sigma_max)
    if solver.form == "edm":
        options["sigma_data"] = levels.sigma_data
    if solver.form == "sde-ve":
        # it rounds time down to a level's number; with its own end of 1e-5 rounding errors decide
        options["sampling_eps"] = 0.5 / sampler.levels
    own_levels = levels.schedule is None or bool(set(KEYWORDS) & set(given))
    if not own_levels and "trained_betas" in keywords:
        # as betas, because not every scheduler knows every schedule by name
        options["trained_betas"] = as_schedule(levels.schedule).betas.tolist()
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
        SOLVERS[sampler.name].form == "cumulative"
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


def _midpoint(scheduler: Any, index: int) -> float | None:
    """Return the noise level between two steps, where a second-order solver evaluates there."""
    if getattr(scheduler, "state_in_first_order", True):
        return None
    name = type(scheduler).__name__
    if name == "DPMSolverSDEScheduler":
        return float(scheduler.mid_point_sigma)
    if name in ("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"):
        return float(scheduler.sigmas_interpol[index - ("Ancestral" in name)])
    return None  # Heun evaluates at the next level itself


def _noise_level(scheduler: Any, form: str, index: int) -> tuple[float, float]:
    """Return (alpha, sigma) of x = alpha · clean + sigma · noise at one evaluation."""
    if form == "cumulative":  # only cumulative products, variance preserving
        kept = float(scheduler.alphas_cumprod[int(scheduler.timesteps[index])])
        return kept**0.5, (1 - kept) ** 0.5
    if form == "wuerstchen":
        time = scheduler.timesteps[index : index + 1]
        kept = float(scheduler._alpha_cumprod(time, time.device))
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
    sigma = _midpoint(scheduler, index) or float(scheduler.sigmas[index])
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
    """One step of a scheduler, whatever its class wants to be given.

    Parameters
    ----------
    scheduler : object
        The diffusers scheduler.
    sampler : Sampler
        With the options that go to the scheduler's ``step``.
    """

    def __init__(self, scheduler: Any, sampler: Sampler) -> None:
        self.scheduler = scheduler
        solver = SOLVERS[sampler.name]
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
        self.scheduler.num_inference_steps = 1
        self.scheduler.register_to_config(num_train_timesteps=gap)

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


_OTHER_DRAWS = {
    *(torch.rand, torch.rand_like, torch.randint, torch.randint_like, torch.randperm),
    *(torch.normal, torch.bernoulli, torch.multinomial, torch.poisson),
    *(torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.bernoulli_, torch.Tensor.random_),
}


class KeyedRandn(TorchFunctionMode):
    """Make a scheduler's own random draws come from a noise source.

    Some diffusers schedulers draw from ``torch.randn`` inside ``step`` and take no noise from
    outside. Inside this context (it holds for the current thread only) those draws are
    replaced by ``noise(1)``, ``noise(2)``, …, so that the result depends on position and seed
    and not on a stream's state. Any other draw is an error.
    """

    def __init__(self, noise: NoiseSource) -> None:
        super().__init__()
        self.noise = noise
        self.drawn = 0

    def draw(self) -> torch.Tensor:
        """Return the next noise."""
        self.drawn += 1
        return self.noise(self.drawn)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _OTHER_DRAWS:
            raise RuntimeError(
                f"a scheduler drew from {func.__name__}, which cannot be keyed: take another"
                " sampler, and please report this one."
            )
        if func is torch.randn:
            size = args or (kwargs["size"],)
            shape = tuple(size) if isinstance(size[0], int) else tuple(size[0])
        elif func is torch.randn_like:
            shape = tuple((args[0] if args else kwargs["input"]).shape)
        else:
            return func(*args, **kwargs)
        drawn = self.draw()
        if shape != tuple(drawn.shape):
            raise RuntimeError(f"a scheduler drew noise of shape {shape}, not {tuple(drawn.shape)}")
        return drawn


class KeyedBrownian:
    """Increments of one Brownian path over noise levels, in place of diffusers' Brownian tree.

    Parameters
    ----------
    keyed : KeyedRandn
        Gives one noise for each level that is new to the path.
    """

    def __init__(self, keyed: KeyedRandn) -> None:
        self.keyed = keyed
        self.path: list[tuple[float, torch.Tensor | float]] = []

    def __call__(
        self, sigma: float | torch.Tensor, sigma_next: float | torch.Tensor
    ) -> torch.Tensor:
        """Return the increment between two levels, divided by its standard deviation."""
        start, end = float(sigma), float(sigma_next)
        before = self._at(start)
        return torch.as_tensor(self._at(end) - before) / abs(start - end) ** 0.5

    def _at(self, sigma: float) -> torch.Tensor | float:
        """Return the path at a level: known already, or below all that are known."""
        if not self.path:
            self.path.append((sigma, 0.0))
        for known, value in self.path:
            if abs(known - sigma) <= 1e-5 * known:  # levels go through logarithms and back
                return value
        known, value = self.path[-1]
        if sigma > known:
            raise RuntimeError(f"a solver went back from noise level {known} to {sigma}")
        value = value + (known - sigma) ** 0.5 * self.keyed.draw()
        self.path = [*self.path[-2:], (sigma, value)]
        return value
