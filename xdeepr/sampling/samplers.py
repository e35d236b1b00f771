"""Solvers as the user asks for them: by name, with steps and options. Plain data: no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xdeepr.checks import nearest, one_of, whole_number
from xdeepr.errors import OptionError
from xdeepr.sampling import diffusers_table, solvers
from xdeepr.sampling.diffusers_table import REFUSED, REFUSED_OPTIONS, Scheduler
from xdeepr.sampling.guidance import Guidance
from xdeepr.sampling.solvers import Solver

ALIASES = {
    **{scheduler.short: name for name, scheduler in diffusers_table.SOLVERS.items()},
    "dpmsolver++": "EDMDPMSolverMultistepScheduler",
    "edm": "EDMDPMSolverMultistepScheduler",
}
"""Short name -> diffusers class."""


@dataclass(frozen=True)
class Sampler:
    """A solver by name, its number of steps and its options.

    Parameters
    ----------
    name : str, default: "EDMDPMSolverMultistepScheduler"
        A diffusers scheduler class (the ending ``Scheduler`` may be left out) or a short name of
        :doc:`/howto/samplers`, for example "dpm++" (second-order multistep DPM-Solver++ on
        Karras levels; Lu et al., 2022, arXiv:2211.01095), "ddpm", "ddim", "lms", "heun"; or a name
        in :data:`xdeepr.sampling.solvers.SOLVERS`, "heun-churn" or one of your own.
    steps : int, optional
        Steps of the solver. Default: that of the solver, 10 for "dpm++".
    options : mapping, optional
        Keywords of the scheduler's constructor, and those of its ``step`` that the solver knows
        (``eta`` for DDIM, ``s_churn`` for Euler, …); for the others those of their function and
        of their noise levels (:data:`~xdeepr.sampling.solvers.LEVEL_OPTIONS`).

    Attributes
    ----------
    solver : Solver or Scheduler
        What is registered under the name. It travels with the sampler, so that workers need not
        register a solver of your own too.

    Raises
    ------
    OptionError
        For an unknown or refused name (with the nearest ones), too few steps, or an option that
        would make the result depend on more than seed, member, time and place.
    """

    name: str = "EDMDPMSolverMultistepScheduler"
    steps: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    solver: Solver | Scheduler = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        name, solver = _find(self.name)
        steps = solver.steps if self.steps is None else self.steps
        whole_number(f"sampler {name}: steps", steps, least=solver.least)
        _check_options(name, solver, self.options)
        for key, value in (("name", name), ("solver", solver), ("steps", steps)):
            object.__setattr__(self, key, value)

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
        return self.solver.evaluations(self.levels)

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
    """How a field is computed; all but the batch size change the answer."""

    seed: int
    sampler: Sampler
    batch_size: int  # tiles in one network call
    guidance: tuple[Guidance, ...] = ()

    def check_blocks(self, count: int) -> None:
        """Refuse a sampler that looks at the whole field where there is more than one block."""
        if count > 1 and self.sampler.options.get("thresholding"):
            raise OptionError(
                f"sampler {self.sampler.name}: thresholding=True scales a field by a quantile of"
                f" itself, and the domain is computed in {count} blocks, each with another"
                " quantile. Use thresholding=False or a smaller domain."
            )

    def describe(self) -> str:
        """Return sampler and guidance in one line, for the history attribute."""
        return ", guided by ".join(
            [self.sampler.describe(), *(g.describe() for g in self.guidance)]
        )


def as_sampler(sampler: Sampler | str | Mapping[str, Any] | None, steps: int | None) -> Sampler:
    """Make a :class:`Sampler` of what the user gave.

    A mapping has the key ``name``; its others are options. `steps` takes precedence over the
    sampler's own number.
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


def _find(name: str) -> tuple[str, Solver | Scheduler]:
    """Return name and solver for a name, a short name or a class name with or without its ending.

    A solver of one's own has a name in the registry and is not given as a function: the name is
    what ``history`` states and what a model's card can keep.
    """
    ours, theirs = solvers.SOLVERS, diffusers_table.SOLVERS
    if not isinstance(name, str):
        raise OptionError(
            f"sampler={name!r}: give a name. A function gets one by a line in"
            ' xdeepr.sampling.solvers.SOLVERS: SOLVERS["mine"] = Solver(solve=mine, note="…").'
        )
    by_lower = {n.lower(): n for n in (*theirs, *REFUSED, *ours)}
    wanted = name.lower()
    for candidate in (wanted, wanted.replace("_", "-"), f"{wanted}scheduler"):
        full = ALIASES.get(candidate) or by_lower.get(candidate)
        if full in REFUSED:
            raise OptionError(
                f"sampler={name!r} is not used: {REFUSED[full]}. Take for example"
                f" {', '.join(nearest(full, theirs))}."
            )
        if full is not None:
            return full, ours.get(full) or theirs[full]
    raise OptionError(
        f"sampler={name!r} is not a solver that xdeepr can use. Nearest names:"
        f" {', '.join(nearest(name, [*ours, *ALIASES, *theirs]))}."
    )


def _check_options(name: str, solver: Solver | Scheduler, options: Mapping[str, Any]) -> None:
    """Refuse options that do not exist or would break what xdeepr promises."""
    if isinstance(solver, Solver):
        known = {**solvers.LEVEL_OPTIONS, **solver.options}
        for key, value in options.items():
            one_of(f"option of sampler {name}", key, known)
            if isinstance(known[key], float) and not _is_number(value):
                raise OptionError(f"sampler {name}: {key}={value!r}: give a number.")
        return
    for key, (allowed, reason) in REFUSED_OPTIONS.items():
        if key in options and options[key] not in allowed:
            cure = " or ".join(map(repr, allowed))
            raise OptionError(f"sampler {name}: {key}={options[key]!r}: {reason}. Use {cure}.")
    prediction, predictions = options.get("prediction_type"), solver.predictions
    if prediction is not None and predictions and prediction not in predictions:
        raise OptionError(
            f"sampler {name}: prediction_type={prediction!r} is not one of"
            f" {', '.join(predictions)}. It is the scheduler's own business: the result is the same"
            " with each, whatever the model was trained with."
        )
    if prediction == "flow_prediction" and not options.get("use_flow_sigmas"):
        raise OptionError(
            f"sampler {name}: prediction_type='flow_prediction' belongs to straight paths from"
            " noise to the clean field: add use_flow_sigmas=True."
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
