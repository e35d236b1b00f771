"""Load the model that a configuration names, check it, and downscale a part of the data with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.deepr_compat.configuration.data import Data, Part, unread_statics
from xdeepr.deepr_compat.configuration.networks import architecture_of
from xdeepr.deepr_compat.configuration.schema import (
    MODEL,
    Configuration,
    InferenceConfiguration,
    Sampling,
    SchedulerConfiguration,
    TrainingConfiguration,
    TrainingParameters,
)
from xdeepr.deepr_compat.configuration.section import note
from xdeepr.deepr_compat.schedulers import read_scheduler
from xdeepr.errors import OptionError
from xdeepr.sampling.diffusers_table import SOLVERS
from xdeepr.sampling.samplers import Sampler
from xdeepr.sampling.schedules import as_schedule
from xdeepr.tiling.interpolation import METHODS

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler

_SCHEDULER = f"{MODEL}.scheduler"

BATCH = 16
"""Times in a file of ``save_freq: batch`` where no batch size is given."""

_INSTEAD = {
    "validation": "there is no test part; the validation part is used",
    "all": "there are no splits; all times are used",
}

_PIPELINES = ("cddpm", "cddpmpipeline")
"""DeepR's names of a diffusion model as a whole; they say nothing of its network."""


def load_model(
    name: str, data: Data, parameters: TrainingParameters | None = None, *, progress: bool = True
) -> Downscaler | str:
    """Load a model by folder, short name or repository on the Hub, or name an interpolation.

    A folder of DeepR's own does not say on which grids and quantities it was trained: it gets those
    of the data, and normalization, target and encoding of the hour from the parameters.
    """
    if name in METHODS:
        return name
    from xdeepr.models.find import load

    if _is_folder_of_deepr(name):
        from xdeepr.deepr_compat.checkpoints.loading import from_deepr

        return from_deepr(name, **_facts(data, parameters))
    with quiet_hub(progress):
        return load(name)


def _is_folder_of_deepr(name: str) -> bool:
    from xdeepr.deepr_compat.checkpoints.layouts import is_legacy
    from xdeepr.models.stored_arrays import CARD

    folder = Path(name)
    return folder.is_dir() and is_legacy(folder) and not (folder / CARD).is_file()


def _facts(data: Data, parameters: TrainingParameters | None) -> dict[str, Any]:
    """Return what the folder of a model of DeepR does not say, and the configuration does."""
    part = next(iter(data.parts.values()))
    names = cf.spatial_variables(part.lr, cf.find_axes(part.lr))
    facts: dict[str, Any] = {"lr_grid": part.lr, "hr_grid": part.hr, "covariates": data.statics}
    facts["predictors"] = {name: part.lr[name].attrs for name in names}
    if parameters is not None:
        facts["hour"] = parameters.hour_embed_type
        facts["target"] = "residual" if parameters.learn_residuals else "field"
        facts["normalization"] = "instance" if parameters.instance_norm else None
    return facts


@contextmanager
def quiet_hub(progress: bool) -> Iterator[None]:
    """Let huggingface_hub show progress bars, or not."""
    from huggingface_hub.utils import are_progress_bars_disabled as silent
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    change = not progress and not silent()
    if change:
        disable_progress_bars()
    try:
        yield
    finally:
        if change:
            enable_progress_bars()


def named_model(configuration: Configuration) -> tuple[str | None, str]:
    """Return the model that is to be used without training, and the key that names it."""
    training = configuration.training_configuration
    named = []
    if training is not None and training.trained is not None:
        named.append((training.trained, f"{MODEL}.{training.main[0]}.trained_model_dir"))
    for section in configuration.sampling:
        if section.named is not None:
            key = "model" if section.model is not None else "repo_name"
            named.append((section.named, f"{section.section_name}.{key}"))
    if len({name for name, _ in named}) > 1:
        listed = " and ".join(f"{key}: {name}" for name, key in named)
        raise OptionError(f"different models are named ({listed}): run them one after the other.")
    return named[0] if named else (None, "")


def check_model(model: Downscaler, training: TrainingConfiguration, key: str) -> None:
    """Refuse a model, named by a key, of another type or network than is said of it."""
    kind = "regression" if training.type == "end2end" else training.type
    if model.card.kind != kind:
        raise OptionError(
            f"{key} is a {model.card.kind} model, but training_configuration.type is"
            f" {training.type!r}."
        )
    part, network = training.main
    if network is not None and network.class_name.lower() not in _PIPELINES:
        path = f"{MODEL}.{part}.class_name"
        check_network(model, architecture_of(network.class_name, training.type, path).network, path)


def check_network(model: Downscaler, wanted: str, path: str) -> None:
    """Refuse a model with another network than the class name at a path means."""
    name = model.card.network["name"]
    # so is registered what was read from one of DeepR's own checkpoints
    published = f"published-{wanted.removesuffix('2d')}"
    if name not in (wanted, published):
        raise OptionError(
            f"{path}: the network of {model.card.name!r} is {name!r}, but class_name means"
            f" {wanted!r}."
        )


def note_unused(configuration: Configuration, key: str) -> None:
    """Say which keys do not matter, because the one given names a trained model."""
    training, data = configuration.training_configuration, configuration.data_configuration
    if training is not None:
        here = "training_configuration"
        if training.training_parameters is not None:
            used = ""
            if training.trained is not None and _is_folder_of_deepr(training.trained):
                used = ", except hour_embed_type, instance_norm and learn_residuals"
            note(f"{here}.training_parameters has no effect{used}: {key} names a trained model")
        main, network = training.main
        for name in type(training.model_configuration).model_fields:
            if training.part(name) is not None and name not in (main, "scheduler"):
                note(f"{MODEL}.{name} has no effect: {key} is the model")
        if network is not None and network.kwargs:
            note(f"{MODEL}.{main}.kwargs has no effect: a trained model has its own")
    if data is None:
        return
    for name in ("features_configuration", "label_configuration"):
        for written in ("standardization", "apply_standardization"):
            if getattr(getattr(data, name), written, None) is not None:
                note(
                    f"data_configuration.{name}.{written} has no effect: the model knows how it was"
                    " normalized"
                )
    features = data.features_configuration
    if features is not None and features.add_auxiliary.time:
        note(
            "data_configuration.features_configuration.add_auxiliary.time has no effect: the model"
            " has its own encoding of the time"
        )
    unread_statics(data, data.asked_statics())


def noise_options(
    scheduler: SchedulerConfiguration | None, path: str = _SCHEDULER
) -> dict[str, Any]:
    """Return what :func:`xdeepr.fit` takes as ``diffusion=``; None leaves xdeepr's noise levels."""
    if scheduler is None:
        return {}
    try:
        name = Sampler(scheduler.class_name.removeprefix("diffusers.")).name
    except OptionError as error:
        raise OptionError(f"{path}.class_name: {error}") from None
    if name not in SOLVERS:
        raise OptionError(f"{path}.class_name: {name} is no scheduler of diffusers: name one here.")
    stated = read_scheduler(name, scheduler.kwargs, f"{path}.kwargs")
    if stated.softened:
        note(
            f"{path}.kwargs: of pure noise (rescale_betas_zero_snr) a network that predicts the"
            " noise (prediction_type 'epsilon') learns nothing: the last level is kept just below"
            " it, in training and in sampling. Its errors grow there: sample in 100 steps or more,"
            " or let it predict 'v_prediction'"
        )
    return stated.fields()


def chosen_part(data: Data, sampling: Sampling) -> Part:
    """Return the split that a section names; by default the test part, else the validation part."""
    where, parts = sampling.section_name, data.parts
    usual = next((name for name in ("test", *_INSTEAD) if name in parts), "test")
    name: str = sampling.split or usual
    if name not in parts:
        raise OptionError(
            f"{where}.split is {name!r}, but data_configuration has only {', '.join(parts)}."
        )
    if sampling.split is None and name in _INSTEAD:
        note(f"{where}: {_INSTEAD[name]}")
    return parts[name]


def forecast(
    model: Downscaler | str,
    part: Part,
    sampling: Sampling,
    scheduler: SchedulerConfiguration | None,
    statics: xr.Dataset | None,
) -> xr.Dataset:
    """Downscale a part lazily; a scheduler gives a loaded model another solver than its own."""
    from xdeepr.downscaling import downscale

    options: dict[str, Any] = {"batch_size": sampling.batch_size}
    options["device"] = available_device(sampling.device, sampling.section_name)
    if isinstance(model, str):
        if part.hr is None:
            raise OptionError(
                f"{sampling.section_name}.model is {model!r}: give label_configuration, whose grid"
                " is the one to interpolate to."
            )
        options["like"] = part.hr
        _note_no_draws(sampling, scheduler, f"{model} interpolation")
        return downscale(part.lr, model, **options)
    if model.card.stochastic:
        options["members"] = sampling.realizations
        options["seed"] = sampling.seed or 0
        options["sampler"] = _sampler(model, sampling, scheduler)
    else:
        _note_no_draws(sampling, scheduler, f"the {model.card.kind} model {model.card.name!r}")
    return downscale(part.lr, model, covariates=_usable(model, statics), **options)


def _note_no_draws(
    sampling: Sampling, scheduler: SchedulerConfiguration | None, model: str
) -> None:
    """Say which settings of the solver do not matter to a model that draws nothing."""
    if scheduler is not None:
        note(f"{_SCHEDULER} has no effect: {model} draws nothing")
    for key in ("inference_steps", "eta", "sampler", "members", "num_samples", "seed"):
        if getattr(sampling, key) is not None:
            note(f"{sampling.section_name}.{key} has no effect: {model} draws nothing")


def _sampler(
    model: Downscaler, sampling: Sampling, scheduler: SchedulerConfiguration | None
) -> Sampler:
    """Return the solver: that of the section, of the scheduler, or the model's own."""
    own = model.card.diffusion
    name, options, steps = own.sampler, dict(own.sampler_options), own.steps
    if scheduler is not None:
        asked = noise_options(scheduler)
        _check_schedule(model, asked)
        name, options, steps = asked["sampler"], asked["sampler_options"], asked["steps"]
    if sampling.sampler is not None:
        chosen = Sampler(sampling.sampler)
        name, options, steps = chosen.name, {}, chosen.levels
    if sampling.eta is not None:
        if name in SOLVERS and "eta" in SOLVERS[name].step_options:
            options["eta"] = sampling.eta
        else:
            note(f"{sampling.section_name}.eta has no effect: {name} has none")
    return Sampler(name, sampling.inference_steps or steps, options)


def _check_schedule(model: Downscaler, asked: dict[str, Any]) -> None:
    """Refuse a table of betas other than that of the training."""
    own = model.card.diffusion
    if "schedule" not in asked or own.prediction == "edm":
        return
    ours, theirs = (as_schedule(s).sigmas for s in (own.schedule, asked["schedule"]))
    if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-3):
        raise OptionError(
            f"{_SCHEDULER}.kwargs: the noise levels are not those that {model.card.name!r} was"
            " trained with: leave the betas out, or name the solver alone."
        )


def _usable(model: Downscaler, statics: xr.Dataset | None) -> xr.Dataset | None:
    """Return the static covariates if the model was trained with them."""
    wanted = [q.name for q in model.card.covariates]
    if statics is None or not wanted:
        return None
    if all(name in statics for name in wanted):
        return statics
    note(
        f"the static fields are not used: {model.card.name!r} was trained with"
        f" {', '.join(wanted)}, which it keeps for its own domain"
    )
    return None


def available_device(device: str | None, where: str) -> str | None:
    """Return a torch device of a section that this machine has; as in DeepR, the CPU otherwise."""
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
        note(f"{where}.device: {device!r} is not there; the CPU is used")
        return "cpu"
    return device


def in_files(ds: xr.Dataset, task: InferenceConfiguration) -> Iterator[tuple[str, xr.Dataset]]:
    """Cut a forecast into files by name, each of a batch of times, a month, or all times."""
    dim = cf.find_axes(ds).time
    if dim is None:
        yield "prediction.nc", ds
        return
    index = ds.indexes[dim]
    days = index.strftime("%Y-%m-%d")
    if task.save_freq == "all":
        yield f"prediction_{days[0]}_{days[-1]}.nc", ds
    elif task.save_freq == "month":
        months = np.asarray(index.strftime("%Y-%m"))
        for month in dict.fromkeys(months):
            yield f"prediction_{month}.nc", ds.isel({dim: np.flatnonzero(months == month)})
    else:
        stamps, size = index.strftime("%Y-%m-%dT%H%M"), task.batch_size or BATCH
        for first in range(0, index.size, size):
            yield f"prediction_{stamps[first]}.nc", ds.isel({dim: slice(first, first + size)})
