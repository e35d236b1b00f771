"""Downscale a part of the data as the inference and validation sections say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.deepr_compat.configuration.assembling import Data, Part
from xdeepr.deepr_compat.configuration.diffusion import diffusion_options
from xdeepr.deepr_compat.configuration.training import SchedulerConfiguration
from xdeepr.deepr_compat.configuration.validation import Sampling
from xdeepr.errors import OptionError
from xdeepr.sampling.diffusers_table import SOLVERS
from xdeepr.sampling.samplers import Sampler

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler

_SCHEDULER = "training_configuration.model_configuration.scheduler"


def chosen_part(data: Data, sampling: Sampling, notes: list[str]) -> Part:
    """Return the part of the data to work on.

    Parameters
    ----------
    data : Data
        All that was opened.
    sampling : Sampling
        May name the split. Default: the test part, otherwise the validation part.
    notes : list of str
        Gets a line if it is not the test part.

    Raises
    ------
    OptionError
        If there is no such part.
    """
    where, parts = sampling.section_name, data.parts
    if sampling.split is not None:
        if sampling.split not in parts:
            raise OptionError(
                f"{where}.split is {sampling.split!r}, but data_configuration has only"
                f" {', '.join(parts)}."
            )
        return parts[sampling.split]
    if "test" in parts:
        return parts["test"]
    if "validation" in parts:
        notes.append(f"{where}: there is no test part; the validation part is used")
        return parts["validation"]
    if "all" in parts:
        notes.append(f"{where}: there are no splits; all times are used")
        return parts["all"]
    raise OptionError(f"{where}: data_configuration has neither a test nor a validation part.")


def forecast(
    model: Downscaler | str,
    part: Part,
    sampling: Sampling,
    scheduler: SchedulerConfiguration | None,
    statics: xr.Dataset | None,
    notes: list[str],
) -> xr.Dataset:
    """Downscale a part of the data; nothing is computed.

    Parameters
    ----------
    model : Downscaler or str
        A model, or the name of an interpolation.
    part : Part
        The fields.
    sampling : Sampling
        Members, steps, seed and so on.
    scheduler : SchedulerConfiguration or None
        For a loaded model: another solver than its own.
    statics : xarray.Dataset or None
        Static covariates.
    notes : list of str
        Gets a line for each setting that does not matter to this model.

    Returns
    -------
    xarray.Dataset
    """
    from xdeepr.downscaling import downscale

    options: dict[str, Any] = {"batch_size": sampling.batch_size}
    options["device"] = available_device(sampling.device, sampling.section_name, notes)
    if isinstance(model, str):
        if part.hr is None:
            raise OptionError(
                f"{sampling.section_name}.model is {model!r}: give label_configuration, whose grid"
                " is the one to interpolate to."
            )
        options["like"] = part.hr
        _without_draws(sampling, scheduler, f"{model} interpolation", notes)
    elif not model.card.stochastic:
        name = f"the {model.card.kind} model {model.card.name!r}"
        _without_draws(sampling, scheduler, name, notes)
    else:
        options |= {
            "members": sampling.realizations,
            "seed": sampling.seed or 0,
            "sampler": _sampler(model, sampling, scheduler, notes),
        }
    if not isinstance(model, str):
        options["covariates"] = _usable(model, statics, notes)
    return downscale(part.lr, model, **options)


def _without_draws(
    sampling: Sampling,
    scheduler: SchedulerConfiguration | None,
    model: str,
    notes: list[str],
) -> None:
    """Say which settings of the solver do not matter to a model that draws nothing."""
    if scheduler is not None:
        notes.append(f"{_SCHEDULER} has no effect: {model} draws nothing")
    for key in ("inference_steps", "eta", "sampler", "members", "num_samples", "seed"):
        if getattr(sampling, key) is not None:
            notes.append(f"{sampling.section_name}.{key} has no effect: {model} draws nothing")


def _sampler(
    model: Downscaler,
    sampling: Sampling,
    scheduler: SchedulerConfiguration | None,
    notes: list[str],
) -> Sampler:
    """Return the solver: that of the section, of the scheduler, or the model's own."""
    own = model.card.diffusion
    name, options, steps = own.sampler, dict(own.sampler_options), own.steps
    if scheduler is not None:
        asked = diffusion_options(scheduler, _SCHEDULER)
        _check_schedule(model, asked)
        name, options, steps = asked["sampler"], asked["sampler_options"], asked["steps"]
    if sampling.sampler is not None:
        chosen = Sampler(sampling.sampler)
        name, options, steps = chosen.name, {}, chosen.levels
    if sampling.eta is not None:
        if "eta" in SOLVERS[name].step_options:
            options["eta"] = sampling.eta
        else:
            notes.append(f"{sampling.section_name}.eta has no effect: {name} has none")
    return Sampler(name, sampling.inference_steps or steps, options)


def _check_schedule(model: Downscaler, asked: dict[str, Any]) -> None:
    """Refuse a table of betas other than that of the training."""
    from xdeepr.sampling.schedules import as_schedule

    own = model.card.diffusion
    if "schedule" not in asked or own.prediction == "edm":
        return
    ours, theirs = (as_schedule(s).sigmas for s in (own.schedule, asked["schedule"]))
    if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-3):
        raise OptionError(
            f"{_SCHEDULER}.kwargs: the noise levels are not those that {model.card.name!r} was"
            " trained with: leave the betas out, or name the solver alone."
        )


def _usable(model: Downscaler, statics: xr.Dataset | None, notes: list[str]) -> xr.Dataset | None:
    """Return the static covariates if the model was trained with them."""
    wanted = [q.name for q in model.card.covariates]
    if statics is None or not wanted:
        return None
    if all(name in statics for name in wanted):
        return statics
    notes.append(
        f"the static fields are not used: {model.card.name!r} was trained with"
        f" {', '.join(wanted)}, which it keeps for its own domain"
    )
    return None


def available_device(device: str | None, where: str, notes: list[str]) -> str | None:
    """Return a torch device that this machine has.

    Parameters
    ----------
    device : str or None
        As the configuration has it.
    where : str
        Section, for the note.
    notes : list of str
        Gets a line if there is no such device; the CPU is used then, as in DeepR.
    """
    if device is None:
        return None
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise OptionError(
            f"{where}.device: {device!r} is no device of torch, such as 'cuda:0'."
        ) from None
    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if missing.get(kind, False):
        notes.append(f"{where}.device: {device!r} is not there; the CPU is used")
        return "cpu"
    return device


def in_files(ds: xr.Dataset, frequency: str, batch_size: int) -> Iterator[tuple[str, xr.Dataset]]:
    """Cut a forecast into the files it is written to.

    Parameters
    ----------
    ds : xarray.Dataset
        The forecast.
    frequency : {"batch", "month", "all"}
        What one file holds.
    batch_size : int
        Times in a batch.

    Yields
    ------
    name : str
        Of the file, without a folder.
    xarray.Dataset
        What it holds.
    """
    dim = cf.find_axes(ds).time
    if dim is None:
        yield "prediction.nc", ds
        return
    index = ds.indexes[dim]
    days = index.strftime("%Y-%m-%d")
    if frequency == "all":
        yield f"prediction_{days[0]}_{days[-1]}.nc", ds
    elif frequency == "month":
        months = np.asarray(index.strftime("%Y-%m"))
        for month in dict.fromkeys(months):
            yield f"prediction_{month}.nc", ds.isel({dim: np.flatnonzero(months == month)})
    else:
        stamps = index.strftime("%Y-%m-%dT%H%M")
        for first in range(0, index.size, batch_size):
            yield (
                f"prediction_{stamps[first]}.nc",
                ds.isel({dim: slice(first, first + batch_size)}),
            )
