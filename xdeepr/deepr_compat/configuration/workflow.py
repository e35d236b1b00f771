"""The verb `run`: train, downscale and score as a configuration says."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from xdeepr.deepr_compat.configuration.assembling import Data, open_data
from xdeepr.deepr_compat.configuration.configuration import Configuration
from xdeepr.deepr_compat.configuration.models import (
    check_model,
    load_model,
    named_model,
    quiet_hub,
    without_training,
)
from xdeepr.deepr_compat.configuration.planning import TrainingPlan, plan_training
from xdeepr.deepr_compat.configuration.reading import read_configuration
from xdeepr.deepr_compat.configuration.sampling import chosen_part, forecast, in_files
from xdeepr.deepr_compat.configuration.scoring import (
    draw,
    kept_forecast,
    planned_files,
    write_scores,
)
from xdeepr.deepr_compat.configuration.validation import (
    InferenceConfiguration,
    Sampling,
    ValidationConfiguration,
)
from xdeepr.errors import OptionError
from xdeepr.io import check_output, write_file

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler

BATCH = 16
"""Times in a file of ``save_freq: batch`` where no batch size is given."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a configuration led to.

    Parameters
    ----------
    model : Downscaler or None
        The model that was trained or loaded; None for an interpolation or files.
    checkpoint : pathlib.Path or None
        Folder the trained model was saved to.
    outputs : tuple of pathlib.Path
        Files that were written: forecasts, scores, pictures.
    scores : xarray.Dataset or None
        What :func:`xdeepr.verify` gave.
    notes : tuple of str
        Keys without effect, and what else the user should know; each was a warning too.
    """

    model: Downscaler | None = None
    checkpoint: Path | None = None
    outputs: tuple[Path, ...] = ()
    scores: xr.Dataset | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [] if self.model is None else [repr(self.model)]
        if self.checkpoint is not None:
            lines.append(f"model: {self.checkpoint}")
        lines += [f"written: {path}" for path in self.outputs]
        if self.scores is not None:
            from xdeepr.verification import score_table

            lines.append(score_table(self.scores))
        return "\n".join(lines)


@dataclass
class _Progress:
    """What is known and done so far."""

    overwrite: bool
    shows: bool
    notes: list[str] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    scores: xr.Dataset | None = None
    warned: int = 0

    def warn(self) -> None:
        """Warn of the notes that are new."""
        for note in self.notes[self.warned :]:
            warnings.warn(note, stacklevel=4)
        self.warned = len(self.notes)


def check(config: str | os.PathLike[str] | Mapping[str, Any] | Configuration) -> tuple[str, ...]:
    """Read a configuration and check all that can be checked without its data.

    Parameters
    ----------
    config : path-like, mapping or Configuration
        As for :func:`run`.

    Returns
    -------
    tuple of str
        Keys without effect; each is a warning too.

    Raises
    ------
    OptionError
        As for :func:`run`.
    """
    progress = _Progress(False, False)
    _prepare(config, progress)
    progress.warn()
    return tuple(progress.notes)


def run(
    config: str | os.PathLike[str] | Mapping[str, Any] | Configuration,
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> Outcome:
    """Train, downscale and score as a configuration in the layout of DeepR says.

    Parameters
    ----------
    config : path-like, mapping or Configuration
        A YAML file, what such a file holds, or what
        :func:`xdeepr.deepr_compat.configuration.read_configuration` returned.
    overwrite : bool, default: False
        Replace a checkpoint and files that are there.
    progress : bool, default: True
        Show progress bars.

    Returns
    -------
    Outcome
        The model, its folder, the files written, the scores, and notes on keys without effect.

    Raises
    ------
    OptionError
        If the configuration has an unknown, missing or contradictory key (with its path and the
        nearest known one), or contradicts the data.
    XdeeprError
        What :func:`xdeepr.fit`, :func:`xdeepr.downscale` and :func:`xdeepr.verify` raise.

    Notes
    -----
    With ``training_parameters`` a model is trained and saved, then used; with
    ``trained_model_dir`` a trained one is used. Only configured sections are done, except that a
    trained model without any section that uses it is validated.

    Examples
    --------
    >>> outcome = xdeepr.run("configuration_diffusion.yml")  # doctest: +SKIP
    >>> print(outcome)  # doctest: +SKIP
    """
    done = _Progress(overwrite, progress)
    configuration, plan = _prepare(config, done)
    done.warn()
    model: Downscaler | str | None = None
    checkpoint = None
    if configuration.data_configuration is not None:
        statics = None if plan is None else plan.stage.statics
        data = open_data(configuration.data_configuration, statics=statics)
        done.notes += data.notes
        tasks = _tasks(configuration)
        _check_places(configuration, plan, tasks, data, done)
        model = _model(configuration, plan, tasks, data, done)
        if plan is not None and not isinstance(model, str):
            checkpoint = model.save(plan.folder, overwrite=_replaces(plan, done))
        for task in tasks:
            _do(task, model, configuration, data, _folder(task, configuration, plan), done)
        if plan is not None and plan.repository is not None and not isinstance(model, str):
            from xdeepr.models.hub import push_to_hub

            with quiet_hub(progress):
                push_to_hub(model, plan.repository, private=plan.private)
    if configuration.validation is not None:
        from xdeepr.deepr_compat.configuration.file_scores import score_files

        done.scores = score_files(configuration.validation, done.notes, done.written,
                                  overwrite=overwrite, progress=progress)  # fmt: skip
    done.warn()
    return Outcome(
        None if isinstance(model, str) else model,
        checkpoint,
        tuple(done.written),
        done.scores,
        tuple(done.notes),
    )


def _prepare(
    config: str | os.PathLike[str] | Mapping[str, Any] | Configuration, done: _Progress
) -> tuple[Configuration, TrainingPlan | None]:
    """Read and check all that needs no data."""
    configuration = config if isinstance(config, Configuration) else read_configuration(config)
    done.notes += configuration.notes()
    plan = plan_training(configuration)
    training = configuration.training_configuration
    tasks = (configuration.validation_configuration, configuration.inference_configuration)
    named, key = named_model(training, *tasks)
    if plan is not None:
        done.notes += plan.notes
        if named is not None:
            raise OptionError(
                f"{key} names a model, but training_parameters ask for a training: drop one."
            )
    elif named is not None:
        done.notes += without_training(configuration, key)
    elif any(tasks):
        section = next(task.section_name for task in tasks if task is not None)
        raise OptionError(f"{section}.model is missing: name a folder, or train a model.")
    data = configuration.data_configuration
    if data is not None and data.label_configuration is None:
        for task in _tasks(configuration):
            if isinstance(task, ValidationConfiguration):
                raise OptionError(
                    f"{task.section_name} needs the truth: give"
                    " data_configuration.label_configuration."
                )
    if training is not None and training.type == "autoencoder" and (plan is None or any(tasks)):
        raise OptionError(
            "training_configuration.type: an autoencoder compresses and does not downscale: leave"
            " validation_configuration and inference_configuration out, or train a model of the"
            " type 'latent' in its space."
        )
    return configuration, plan


def _tasks(configuration: Configuration) -> list[Sampling]:
    """Return the sections that use the model; a loaded model is at least validated."""
    asked = (configuration.inference_configuration, configuration.validation_configuration)
    tasks: list[Sampling] = [task for task in asked if task is not None]
    training = configuration.training_configuration
    if not tasks and training is not None and training.trained is not None:
        tasks.append(ValidationConfiguration())
    return tasks


def _folder(task: Sampling, configuration: Configuration, plan: TrainingPlan | None) -> Path:
    """Return where a task writes."""
    if task.folder is not None:
        return Path(task.folder)
    ending = "evaluation" if isinstance(task, ValidationConfiguration) else "predictions"
    if plan is not None:
        return plan.folder.with_name(f"{plan.folder.name}-{ending}")
    asked = (configuration.validation_configuration, configuration.inference_configuration)
    named, _ = named_model(configuration.training_configuration, *asked)
    return Path(f"{Path(str(named)).name}-{ending}")


def _replaces(plan: TrainingPlan, done: _Progress) -> bool:
    return done.overwrite or plan.overwrite


def _check_places(
    configuration: Configuration,
    plan: TrainingPlan | None,
    tasks: list[Sampling],
    data: Data,
    done: _Progress,
) -> None:
    """Refuse places that cannot be written to before the work, and not after it."""
    from xdeepr.models.checkpoint import CARD

    if plan is not None and plan.folder.exists():
        checkpoint = (plan.folder / CARD).is_file()
        if not (_replaces(plan, done) and checkpoint):
            cure = "set overwrite_output_dir: true" if checkpoint else "choose another name"
            raise OptionError(
                "training_configuration.training_parameters.output_dir:"
                f" {plan.folder} exists already: {cure}."
            )
    for task in tasks:
        folder = _folder(task, configuration, plan)
        if isinstance(task, InferenceConfiguration):
            lr = chosen_part(data, task, []).lr  # the forecast has its times
            paths = [folder / name for name, _ in _files(lr, task)]
        else:
            assert isinstance(task, ValidationConfiguration)
            chosen_part(data, task, [])  # a split that is not there is better known now
            paths = planned_files(task, folder)
        for path in paths:
            check_output(path, overwrite=done.overwrite or task.overwrite)


def _files(ds: xr.Dataset, task: InferenceConfiguration) -> list[tuple[str, xr.Dataset]]:
    """Return the files of the predictions by name."""
    return list(in_files(ds, task.save_freq, task.batch_size or BATCH))


def _model(
    configuration: Configuration,
    plan: TrainingPlan | None,
    tasks: list[Sampling],
    data: Data,
    done: _Progress,
) -> Downscaler | str:
    """Train the model, or load it."""
    done.warn()
    if plan is not None:
        from xdeepr.deepr_compat.configuration.fitting import train

        return train(plan, data, done.notes, progress=done.shows)
    training = configuration.training_configuration
    name, key = named_model(training, *tasks)
    assert name is not None  # `_prepare` looked
    model = load_model(name, progress=done.shows)
    if training is not None and not isinstance(model, str):
        check_model(model, training, key)
    if not isinstance(model, str) and model.card.kind == "autoencoder":
        raise OptionError(f"{key}: {name} is an autoencoder, which does not downscale.")
    return model


def _do(
    task: Sampling,
    model: Downscaler | str,
    configuration: Configuration,
    data: Data,
    folder: Path,
    done: _Progress,
) -> None:
    """Write the predictions of one section, or score them."""
    part = chosen_part(data, task, done.notes)
    training = configuration.training_configuration
    scheduler = None
    if training is not None and training.trained is not None:
        scheduler = training.part("scheduler")
    out = forecast(model, part, task, scheduler, data.statics, done.notes)
    done.warn()
    overwrite = done.overwrite or task.overwrite
    if isinstance(task, InferenceConfiguration):
        text = "downscaling" if done.shows else None
        for name, ds in _files(out, task):
            done.written.append(write_file(ds, folder / name, overwrite=overwrite, progress=text))
        return
    assert isinstance(task, ValidationConfiguration)
    baseline = None if task.baseline == "none" else task.baseline
    kept = kept_forecast(
        out, task, folder, overwrite=overwrite, progress=done.shows, written=done.written
    )
    with kept as ds:
        done.scores, files_written = write_scores(
            ds, part, baseline, folder, overwrite=overwrite, progress=done.shows
        )
        done.written += files_written
        done.written += draw(
            ds, part, task, folder, data.statics, overwrite=overwrite, notes=done.notes
        )
