"""Names of schedules and solvers, and their options. Plain data: no torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xdeepr.errors import OptionError

_DISCRETE = {"num_train_timesteps": 1000, "beta_schedule": "linear"}
_TRAILING = {**_DISCRETE, "timestep_spacing": "trailing"}

#: diffusers class -> keyword defaults that suit physical fields: no clipping to [-1, 1], and
#: levels that start at the noisiest one however few they are (Lin et al., 2023,
#: arXiv:2305.08891).
SCHEDULERS: dict[str, dict[str, Any]] = {
    "EDMDPMSolverMultistepScheduler": {},
    "EDMEulerScheduler": {},
    "DDPMScheduler": {**_TRAILING, "clip_sample": False, "prediction_type": "sample"},
    "DDIMScheduler": {**_TRAILING, "clip_sample": False, "prediction_type": "sample"},
    "DPMSolverMultistepScheduler": {
        **_DISCRETE,
        "prediction_type": "sample",
        "use_karras_sigmas": True,
    },
    "UniPCMultistepScheduler": {
        **_DISCRETE,
        "prediction_type": "sample",
        "use_karras_sigmas": True,
    },
    "LMSDiscreteScheduler": {**_DISCRETE, "prediction_type": "sample", "use_karras_sigmas": True},
    "EulerDiscreteScheduler": {
        **_DISCRETE,
        "prediction_type": "sample",
        "use_karras_sigmas": True,
    },
    "EulerAncestralDiscreteScheduler": {**_TRAILING, "prediction_type": "epsilon"},
}

ALIASES = {
    "dpm++": "EDMDPMSolverMultistepScheduler",
    "dpmsolver++": "EDMDPMSolverMultistepScheduler",
    "edm": "EDMDPMSolverMultistepScheduler",
    "ddpm": "DDPMScheduler",
    "ddim": "DDIMScheduler",
    "lms": "LMSDiscreteScheduler",
    "euler": "EulerDiscreteScheduler",
    "unipc": "UniPCMultistepScheduler",
}

DEFAULT_STEPS = {"DDPMScheduler": 1000, "DDIMScheduler": 50}


@dataclass(frozen=True)
class NoiseRange:
    """Noise levels a denoiser was trained for, in units of the normalized residual.

    Parameters
    ----------
    sigma_min, sigma_max : float
        Smallest and greatest noise level that sampling visits.
    sigma_data : float
        Standard deviation of the clean field.
    """

    sigma_min: float = 0.05
    sigma_max: float = 20.0
    sigma_data: float = 1.0


@dataclass(frozen=True)
class Sampler:
    """A solver by name, its number of steps and its options.

    Parameters
    ----------
    name : str, default: "EDMDPMSolverMultistepScheduler"
        A diffusers scheduler class (the ending ``Scheduler`` may be left out) or a short name:
        "dpm++" (second-order multistep DPM-Solver++ on Karras levels; Lu et al., 2022,
        arXiv:2211.01095), "ddpm", "ddim", "lms", "euler", "unipc".
    steps : int, optional
        Steps of the solver; one network evaluation each for all solvers listed here.
        Default: 10, but 50 for DDIM and 1000 for DDPM.
    options : mapping, optional
        Keywords of the scheduler's constructor, and ``eta`` for DDIM.

    Raises
    ------
    OptionError
        For an unknown name (with the nearest names) or steps < 1.
    """

    name: str = "EDMDPMSolverMultistepScheduler"
    steps: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _scheduler_name(self.name))
        steps = DEFAULT_STEPS.get(self.name, 10) if self.steps is None else self.steps
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise OptionError(f"steps={self.steps!r}: give a whole number of at least 1.")
        object.__setattr__(self, "steps", steps)

    @property
    def levels(self) -> int:
        """Number of steps, always known."""
        assert self.steps is not None  # set in __post_init__
        return self.steps

    def describe(self) -> str:
        """Return name, steps and options in one line, for the history attribute."""
        options = "".join(f" {k}={v}" for k, v in sorted(self.options.items()))
        return f"{self.name} steps={self.steps}{options}"


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
        return Sampler(sampler.name, steps or sampler.steps, sampler.options)
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
    lowered = {n.lower(): n for n in SCHEDULERS}
    for candidate in (name.lower(), f"{name.lower()}scheduler"):
        if candidate in ALIASES:
            return ALIASES[candidate]
        if candidate in lowered:
            return lowered[candidate]
    known = [*ALIASES, *SCHEDULERS]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
    raise OptionError(
        f"sampler={name!r} is not a solver that xdeepr can use. Nearest names: {', '.join(near)}."
    )
