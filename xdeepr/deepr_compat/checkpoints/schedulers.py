"""The noise levels and the solver of a ``scheduler_config.json``."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from xdeepr.deepr_compat.checkpoints.configs import check_keys, read_json
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.models.card import Diffusion
from xdeepr.sampling.diffusers_table import SOLVERS
from xdeepr.sampling.samplers import Sampler
from xdeepr.sampling.schedules import KEYWORDS, as_schedule

PREDICTIONS = ("epsilon", "v_prediction", "sample")
"""What a published network may predict."""

_DROPPED = (
    "clip_sample",
    "clip_sample_range",
    "thresholding",
    "dynamic_thresholding_ratio",
    "sample_max_value",
)
"""Options that cut fields off at ±1: normalized fields go beyond, and training did not do it."""


def read_diffusion(source: str | os.PathLike[str] | Mapping[str, Any]) -> Diffusion:
    """Return the card's part on noise levels for a scheduler of diffusers.

    Parameters
    ----------
    source : path-like or mapping
        The ``scheduler_config.json``, or what it holds.

    Returns
    -------
    Diffusion
        With the levels the network was trained on, and as default solver the scheduler itself,
        except that it does not clip.

    Raises
    ------
    CheckpointError
        If the scheduler is not one that xdeepr uses, or a key or value is wrong.
    """
    if isinstance(source, Mapping):
        config, file = dict(source), Path("scheduler=")
    else:
        file = Path(source)
        config = read_json(file)
    name = config.get("_class_name")
    config = {k: v for k, v in config.items() if not k.startswith("_")}
    if not isinstance(name, str):
        raise CheckpointError(f"{file} does not say which scheduler it is of (_class_name).")
    keywords = _keywords(name, file)
    check_keys(config, file, required=(), optional={*keywords, *_known_elsewhere()})
    config = {k: v for k, v in config.items() if k in keywords}
    full = {**keywords, **config}
    prediction = full.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise CheckpointError(
            f"{file}: prediction_type is {prediction!r}; xdeepr reads {', '.join(PREDICTIONS)}."
        )
    options = {
        key: value
        for key, value in config.items()
        if key not in (*KEYWORDS, "prediction_type", *_DROPPED)
    }
    if "use_karras_sigmas" in keywords:
        # else xdeepr's own default, True, would put other levels in place of the scheduler's
        options.setdefault("use_karras_sigmas", keywords["use_karras_sigmas"])
    try:
        schedule = _schedule(full)
        sampler = Sampler(name, None, options)
        levels = as_schedule(schedule)
    except (OptionError, TypeError, ArithmeticError, ValueError) as error:  # of the wrong kind
        raise CheckpointError(f"{file}: {error}") from None
    return Diffusion(
        sigma_data=1.0,
        sigma_min=levels.sigma_min,
        sigma_max=levels.sigma_max,
        sampler=sampler.name,
        steps=sampler.levels,
        sampler_options=options,
        prediction=prediction,
        schedule=schedule,
    )


def _schedule(full: Mapping[str, Any]) -> dict[str, Any]:
    """Return the levels in keywords of a discrete schedule.

    DeepR's own configuration combines ``epsilon`` with a last level of pure noise, at which such a
    network says nothing. The levels are then given as numbers, the last of them the nearly pure
    noise that diffusers puts in its place.
    """
    schedule = {k: full[k] for k in KEYWORDS if full.get(k) not in (None, False)}
    if schedule.get("trained_betas") is not None:
        for key in ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule"):
            schedule.pop(key, None)
    if full.get("prediction_type", "epsilon") == "epsilon" and "rescale_betas_zero_snr" in schedule:
        return {"trained_betas": as_schedule(schedule).betas.tolist()}
    return schedule


def _keywords(name: str, file: Path) -> dict[str, Any]:
    """Return the keywords of a scheduler of diffusers with their defaults."""
    if name not in SOLVERS or SOLVERS[name].form not in ("cumulative", "scaled", "exploding"):
        raise CheckpointError(
            f"{file} is of the scheduler {name!r}, whose noise levels are not a table of betas:"
            " give those the network was trained on as scheduler=, a mapping or the file of"
            " another scheduler, such as DDPMScheduler."
        )
    cls = getattr(import_module("diffusers"), name)
    parameters = inspect.signature(cls.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "self"}


def _known_elsewhere() -> set[str]:
    """Return keywords of DDPM and DDIM: configurations keep them when the class is changed."""
    found: set[str] = set()
    for name in ("DDPMScheduler", "DDIMScheduler", "PNDMScheduler"):
        cls = getattr(import_module("diffusers"), name)
        found |= set(inspect.signature(cls.__init__).parameters)
    return found
