"""A diffusers scheduler of a configuration as noise levels, parametrization and solver."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from xdeepr.deepr_compat.configuration.training import SchedulerConfiguration
from xdeepr.errors import OptionError
from xdeepr.sampling.diffusers_table import SOLVERS
from xdeepr.sampling.samplers import Sampler
from xdeepr.sampling.schedules import KEYWORDS

PREDICTIONS = ("epsilon", "v_prediction", "sample")
"""What a network can be trained to predict on discrete timesteps."""

_CONTINUOUS = ("edm", "flow", "ipndm", "wuerstchen", "sde-ve", "sde-vp")
"""Solvers without a table of betas: the network is trained as Karras et al. (2022) do it."""

_EDM_FIELDS = ("sigma_min", "sigma_max", "sigma_data")


def diffusion_options(scheduler: SchedulerConfiguration | None, path: str) -> dict[str, Any]:
    """Return what :func:`xdeepr.fit` takes as ``diffusion=``.

    Parameters
    ----------
    scheduler : SchedulerConfiguration or None
        The section; None leaves xdeepr's own noise levels.
    path : str
        Where it stands, for messages.

    Returns
    -------
    dict
        Fields of :class:`~xdeepr.models.card.Diffusion`. What a scheduler of diffusers is not
        told, it takes from its own defaults; the table of betas is completed with these, because
        training and sampling must agree about it.

    Raises
    ------
    OptionError
        For an unknown scheduler or keyword, with the nearest one and its path.
    """
    if scheduler is None:
        return {}
    try:
        name = Sampler(scheduler.class_name.removeprefix("diffusers.")).name
    except OptionError as error:
        raise OptionError(f"{path}.class_name: {error}") from None
    defaults = _keywords(name)
    step_options = SOLVERS[name].step_options
    for key in scheduler.kwargs:
        known = (*defaults, *step_options, *KEYWORDS)
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise OptionError(f"{path}.kwargs.{key}: unknown keyword of {name}. Nearest: {near[0]}")
    options = dict(scheduler.kwargs)
    if SOLVERS[name].form in _CONTINUOUS:
        result = {key: options.pop(key) for key in _EDM_FIELDS if key in options}
        result["prediction"] = "edm"
    else:
        result = _discrete(name, options, defaults, path)
    if "timestep_spacing" in options and "use_karras_sigmas" in defaults:
        # xdeepr's default of True would put its own levels in place of the spacing asked for
        options.setdefault("use_karras_sigmas", False)
    try:
        sampler = Sampler(name, None, options)
    except OptionError as error:
        raise OptionError(f"{path}.kwargs: {error}") from None
    return {**result, "sampler": name, "sampler_options": options, "steps": sampler.levels}


def _keywords(name: str) -> dict[str, Any]:
    """Return the constructor keywords of a scheduler of diffusers and their defaults."""
    import diffusers

    parameters = inspect.signature(getattr(diffusers, name).__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "self"}


def _discrete(
    name: str, options: dict[str, Any], defaults: dict[str, Any], path: str
) -> dict[str, Any]:
    """Take the table of betas and the prediction out of the options."""
    prediction = options.pop("prediction_type", defaults.get("prediction_type", "epsilon"))
    if prediction not in PREDICTIONS:
        raise OptionError(
            f"{path}.kwargs.prediction_type: {prediction!r} is not one of {', '.join(PREDICTIONS)}."
        )
    schedule = {}
    for key in KEYWORDS:
        value = options.pop(key, defaults.get(key))
        if value not in (None, False):
            schedule[key] = value
    if "trained_betas" in schedule:
        for key in ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule"):
            schedule.pop(key, None)
    return {"prediction": prediction, "schedule": schedule}
