"""Names of schedules and solvers, and their options. Plain data: no torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xdeepr.errors import OptionError
from xdeepr.sampling.diffusers_table import REFUSED, REFUSED_OPTIONS, SOLVERS

#: diffusers class -> constructor keywords that suit physical fields
SCHEDULERS: dict[str, dict[str, Any]] = {
    name: dict(solver.defaults) for name, solver in SOLVERS.items()
}

ALIASES = {
    **{solver.short: name for name, solver in SOLVERS.items()},
    "dpmsolver++": "EDMDPMSolverMultistepScheduler",
    "edm": "EDMDPMSolverMultistepScheduler",
}

DEFAULT_STEPS = {name: solver.steps for name, solver in SOLVERS.items()}


@dataclass(frozen=True)
class NoiseRange:
    """Noise levels a denoiser was trained for, in units of the normalized residual.

    Parameters
    ----------
    sigma_min, sigma_max : float
        Smallest and greatest noise level that sampling visits.
    sigma_data : float
        Standard deviation of the clean field.
    schedule : mapping, optional
        Keywords of the :class:`~xdeepr.sampling.schedules.DiscreteSchedule` of its training.
        Schedulers with discrete levels then have these, and so visit its very timesteps.
    """

    sigma_min: float = 0.05
    sigma_max: float = 20.0
    sigma_data: float = 1.0
    schedule: Mapping[str, Any] | None = None


def noise_range(diffusion: Any) -> NoiseRange:
    """Return the noise levels that a model can be asked for.

    Parameters
    ----------
    diffusion : Diffusion
        What its card says.
    """
    discrete = diffusion.prediction != "edm"
    return NoiseRange(
        diffusion.sigma_min,
        diffusion.sigma_max,
        diffusion.sigma_data,
        diffusion.schedule if discrete else None,
    )


@dataclass(frozen=True)
class Sampler:
    """A solver by name, its number of steps and its options.

    Parameters
    ----------
    name : str, default: "EDMDPMSolverMultistepScheduler"
        A diffusers scheduler class (the ending ``Scheduler`` may be left out) or a short name of
        :doc:`/howto/samplers`, for example "dpm++" (second-order multistep DPM-Solver++ on
        Karras levels; Lu et al., 2022, arXiv:2211.01095), "ddpm", "ddim", "lms", "heun".
    steps : int, optional
        Steps of the solver. Default: that of the solver, 10 for "dpm++".
    options : mapping, optional
        Keywords of the scheduler's constructor, and those of its ``step`` that the solver knows
        (``eta`` for DDIM, ``s_churn`` for Euler, …).

    Raises
    ------
    OptionError
        For an unknown or refused name (with the nearest ones), too few steps, or an option that
        would make the result depend on more than seed, member, time and place.
    """

    name: str = "EDMDPMSolverMultistepScheduler"
    steps: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _scheduler_name(self.name))
        solver = SOLVERS[self.name]
        steps = solver.steps if self.steps is None else self.steps
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < solver.least:
            raise OptionError(
                f"steps={self.steps!r}: give a whole number of at least {solver.least}"
                f" for {self.name}."
            )
        object.__setattr__(self, "steps", steps)
        _check_options(self.name, self.options)

    @property
    def levels(self) -> int:
        """Number of steps, always known."""
        assert self.steps is not None  # set in __post_init__
        return self.steps

    @property
    def evaluations(self) -> int:
        """Number of network evaluations (NFE) for one realization."""
        if self.name == "PNDMScheduler" and self.options.get("skip_prk_steps") is False:
            return self.levels + 9  # three Runge–Kutta steps of four evaluations, the rest of one
        count = {"N": self.levels, "N + 1": self.levels + 1, "2N − 1": 2 * self.levels - 1}
        return count[SOLVERS[self.name].cost] if self.levels > 1 else 1

    def describe(self) -> str:
        """Return name, steps and options in one line, for the history attribute."""
        options = "".join(f" {k}={_short(v)}" for k, v in sorted(self.options.items()))
        return f"{self.name} steps={self.steps}{options}"


def _short(value: Any) -> str:
    """Return a value as text; of a long list its length."""
    long = not isinstance(value, str) and hasattr(value, "__len__") and len(value) > 8
    return f"<{len(value)} values>" if long else str(value)


@dataclass(frozen=True)
class SamplingOptions:
    """How a field is computed; nothing here but the seed and the sampler changes the answer.

    Parameters
    ----------
    seed : int
        Seed of the noise.
    sampler : Sampler
        Schedule and solver.
    batch_size : int
        Tiles in one network call.
    """

    seed: int
    sampler: Sampler
    batch_size: int


def as_sampler(sampler: Sampler | str | Mapping[str, Any] | None, steps: int | None) -> Sampler:
    """Make a :class:`Sampler` of what the user gave.

    Parameters
    ----------
    sampler : Sampler, str, mapping or None
        A mapping has the key ``name``; other keys are options of the scheduler.
    steps : int, optional
        Takes precedence over the sampler's own number.

    Returns
    -------
    Sampler

    Raises
    ------
    OptionError
        For an unknown name or a mapping without a name.
    """
    if isinstance(sampler, Sampler):
        return Sampler(sampler.name, sampler.steps if steps is None else steps, sampler.options)
    if isinstance(sampler, Mapping):
        options = dict(sampler)
        if "name" not in options:
            raise OptionError(
                f"sampler={dict(sampler)!r} has no 'name': add for example name='ddim'."
            )
        name, own_steps = options.pop("name"), options.pop("steps", None)
        return Sampler(name, steps if steps is not None else own_steps, options)
    return Sampler(sampler if sampler is not None else Sampler.name, steps)


def _scheduler_name(name: str) -> str:
    """Resolve a short name or a class name with or without its ending."""
    lowered = {n.lower(): n for n in (*SOLVERS, *REFUSED)}
    wanted = name.lower()
    for candidate in (wanted, wanted.replace("_", "-"), f"{wanted}scheduler"):
        found = ALIASES.get(candidate) or lowered.get(candidate)
        if found in REFUSED:
            raise OptionError(
                f"sampler={name!r} is not used: {REFUSED[found]}. Take for example"
                f" {', '.join(_near(found, [*SOLVERS]))}."
            )
        if found is not None:
            return found
    raise OptionError(
        f"sampler={name!r} is not a solver that xdeepr can use. Nearest names:"
        f" {', '.join(_near(name, [*ALIASES, *SOLVERS]))}."
    )


def _near(name: str, known: list[str]) -> list[str]:
    """Return up to three names like this one."""
    return difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:9]


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse options that would break what xdeepr promises."""
    for key, (allowed, reason) in REFUSED_OPTIONS.items():
        if key in options and options[key] not in allowed:
            cure = " or ".join(map(repr, allowed))
            raise OptionError(f"sampler {name}: {key}={options[key]!r}: {reason}. Use {cure}.")
    prediction, known = options.get("prediction_type"), SOLVERS[name].predictions
    if prediction is not None and known and prediction not in known:
        raise OptionError(
            f"sampler {name}: prediction_type={prediction!r} is not one of {', '.join(known)}."
            " It is the scheduler's own business: the result is the same with each, whatever the"
            " model was trained with."
        )
    if prediction == "flow_prediction" and not options.get("use_flow_sigmas"):
        raise OptionError(
            f"sampler {name}: prediction_type='flow_prediction' belongs to straight paths from"
            " noise to the clean field: add use_flow_sigmas=True."
        )
