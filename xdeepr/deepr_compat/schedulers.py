"""A scheduler of diffusers as noise levels, parametrization and solver: of folders and YAML."""

from __future__ import annotations

import inspect
import math
import os
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from xdeepr.checks import one_of
from xdeepr.deepr_compat.untrusted import read_json, validated
from xdeepr.errors import CheckpointError, OptionError, XdeeprError
from xdeepr.models.card import Diffusion
from xdeepr.sampling.diffusers_table import SOLVERS
from xdeepr.sampling.noise_levels import DISCRETE_PREDICTIONS
from xdeepr.sampling.samplers import Sampler
from xdeepr.sampling.schedules import KEYWORDS, as_schedule

INFINITE = ("lambda_min_clipped",)
"""Options that diffusers writes as ``-Infinity``."""

_TABLE = ("cumulative", "scaled", "exploding")
"""Forms of solvers with a table of betas (:data:`xdeepr.sampling.diffusers_table.Form`). For others
the network is trained as Karras et al. (2022) do it."""

_EDM_FIELDS = ("sigma_min", "sigma_max", "sigma_data")

_CLIPPING = {
    "clip_sample_range": "clip_sample",
    "dynamic_thresholding_ratio": "thresholding",
    "sample_max_value": "thresholding",
}
"""Option -> the one without which it has no effect."""


@dataclass(frozen=True)
class SchedulerSettings:
    """What a scheduler of diffusers says of training and sampling.

    `levels` are ``sigma_min``, ``sigma_max`` and ``sigma_data``, where it states them; `softened`
    is whether the last level is kept just below pure noise, for a network that predicts the noise.
    """

    name: str
    prediction: str
    schedule: Mapping[str, Any]
    options: Mapping[str, Any]
    levels: Mapping[str, float] = field(default_factory=dict)
    softened: bool = False

    def fields(self) -> dict[str, Any]:
        """Return the fields of :class:`~xdeepr.models.card.Diffusion` that it states."""
        stated = {"schedule": dict(self.schedule)} if self.prediction != "edm" else {}
        return {
            **self.levels,
            "prediction": self.prediction,
            **stated,
            "sampler": self.name,
            "sampler_options": dict(self.options),
            "steps": Sampler(self.name).levels,
        }


def read_diffusion(source: str | os.PathLike[str] | Mapping[str, Any]) -> Diffusion:
    """Return the card's part on noise levels for a ``scheduler_config.json``, or what it holds.

    The scheduler itself is the default solver. What its file does not state is as in diffusers.
    """
    if isinstance(source, Mapping):
        config, where = dict(source), "scheduler="
    else:
        config, where = read_json(Path(source), infinite=INFINITE), str(source)
    name = config.get("_class_name")
    if not isinstance(name, str):
        raise CheckpointError(f"{where} does not say which scheduler it is of (_class_name).")
    in_a_table = name in SOLVERS and SOLVERS[name].form in _TABLE
    if not in_a_table or "snr_shift_scale" in keywords(name):  # which moves the levels
        raise CheckpointError(
            f"{where} is of the scheduler {name!r}, whose noise levels are not a table of betas:"
            " give those the network was trained on as scheduler=, a mapping or the file of"
            " another scheduler, such as DDPMScheduler."
        )
    # diffusers keeps the keywords of these when it makes another scheduler of one
    relatives = ("DDPMScheduler", "DDIMScheduler", "PNDMScheduler")
    strange = {key for other in relatives for key in keywords(other)} - set(keywords(name))
    config = {k: v for k, v in config.items() if k[:1] != "_" and k not in strange}
    scheduler = read_scheduler(name, config, where, complete=True, error=CheckpointError)
    levels = as_schedule(scheduler.schedule)
    return Diffusion(
        **{**scheduler.fields(), "sigma_min": levels.sigma_min, "sigma_max": levels.sigma_max}
    )


def read_scheduler(
    name: str,
    stated: Mapping[str, Any],
    where: str,
    *,
    complete: bool = False,
    error: type[XdeeprError] = OptionError,
) -> SchedulerSettings:
    """Return what the keywords of a scheduler, of its ``step`` and of a discrete schedule say.

    If `complete`, what is not stated is as in diffusers, also where xdeepr has another default. The
    table of betas is completed so in any case: training and sampling must agree about it.
    """
    defaults = keywords(name)
    unusual = {k: v for k, v in stated.items() if k not in defaults or not _same(v, defaults[k])}
    validated(_section(name), unusual, where, error=error, cure="")
    options = {k: v for k, v in stated.items() if k not in (*KEYWORDS, "prediction_type")}
    if SOLVERS[name].form not in _TABLE:
        levels = {key: options.pop(key) for key in _EDM_FIELDS if key in options}
        return SchedulerSettings(name, "edm", {}, _checked(name, options, where, error), levels)
    if complete:
        options = _as_in_diffusers(name, options)
    elif "timestep_spacing" in options and "use_karras_sigmas" in defaults:
        # xdeepr's default of True would put its own levels in place of the spacing asked for
        options.setdefault("use_karras_sigmas", False)
    full = {**defaults, **stated}
    try:
        prediction = one_of(
            "prediction_type", full.get("prediction_type", "epsilon"), DISCRETE_PREDICTIONS
        )
        schedule, softened = _schedule(full, prediction)
    except (OptionError, TypeError, ArithmeticError, ValueError) as cause:  # of the wrong kind
        raise error(f"{where}: {cause}") from None
    options = _checked(name, options, where, error)
    return SchedulerSettings(name, prediction, schedule, options, softened=softened)


def _as_in_diffusers(name: str, stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with which a solver here does what diffusers does.

    Left out is what has no effect, and cutting off where it is off here too. Their order goes into
    the card, and so into the model's digest: that of the file, then what it does not state.
    """
    defaults, ours = keywords(name), SOLVERS[name].defaults
    full = dict(stated) | {k: v for k, v in defaults.items() if k not in stated}
    options = {}
    for key, value in full.items():
        if key in (*KEYWORDS, "prediction_type"):
            continue
        switch = _CLIPPING.get(key)
        cuts = switch is not None or key in _CLIPPING.values()
        differs = not _same(value, ours.get(key, defaults.get(key)))
        if switch is not None and not full.get(switch):
            continue
        if differs or (key in stated and not cuts and key not in INFINITE):
            options[key] = value
    if "use_karras_sigmas" in defaults:
        options.setdefault("use_karras_sigmas", defaults["use_karras_sigmas"])
    return options


def _schedule(full: Mapping[str, Any], prediction: str) -> tuple[dict[str, Any], bool]:
    """Return the levels in keywords of a discrete schedule, and whether the last was softened.

    DeepR's own configuration combines "epsilon" with a last level of pure noise, of which such a
    network says nothing. The levels are then given as numbers, the last of them the nearly pure
    noise that diffusers puts in its place.
    """
    schedule = {k: full[k] for k in KEYWORDS if full.get(k) not in (None, False)}
    if "trained_betas" in schedule:
        for key in ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule"):
            schedule.pop(key, None)
    levels = as_schedule(schedule)
    if prediction == "epsilon" and levels.zero_snr:
        return {"trained_betas": levels.betas.tolist()}, True
    return schedule, False


def _checked(
    name: str, options: dict[str, Any], where: str, error: type[XdeeprError]
) -> dict[str, Any]:
    """Return the options of a solver if it takes them."""
    for key, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise error(f"{where}: {key} is {value}, where a finite number is needed.")
    try:
        Sampler(name, None, options)
    except OptionError as cause:
        raise error(f"{where}: {cause}") from None
    return options


@cache
def keywords(name: str) -> Mapping[str, Any]:
    """Return the keywords of a scheduler class of diffusers and their defaults."""
    parameters = inspect.signature(_class(name).__init__).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return {p.name: p.default for p in named if p.name != "self"}


@cache
def _section(name: str) -> type[BaseModel]:
    """Return a section that has the keywords of a scheduler, with the kinds that diffusers states.

    The betas and the prediction are left to those who know more values than diffusers.
    """
    cls = _class(name)
    kinds = {**typing.get_type_hints(cls.step), **typing.get_type_hints(cls.__init__)}
    free: Collection[str] = (*KEYWORDS, "prediction_type")
    known = {*keywords(name), *SOLVERS[name].step_options, *free}
    fields: dict[str, Any] = {
        key: (Any if key in free else kinds.get(key, Any), None) for key in known
    }
    config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)
    return create_model(name, __config__=config, **fields)


def _class(name: str) -> Any:
    return getattr(import_module("diffusers"), name)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of one kind: true is not 1."""
    return one is other or (type(one) is type(other) and one == other)
