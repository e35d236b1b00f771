"""The verb `run`: train, downscale and score as a configuration says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from xdeepr.deepr_compat.configuration import models
from xdeepr.deepr_compat.configuration.data import Data, Part, open_data
from xdeepr.deepr_compat.configuration.reading import read_configuration
from xdeepr.deepr_compat.configuration.schema import (
    Configuration,
    InferenceConfiguration,
    Sampling,
    ValidationConfiguration,
)
from xdeepr.deepr_compat.configuration.scoring import planned_files, score_files, score_forecast
from xdeepr.deepr_compat.configuration.section import note, noted
from xdeepr.deepr_compat.configuration.training import TrainingPlan, plan_training, prepare
from xdeepr.errors import OptionError
from xdeepr.io import check_output, write_file

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler

Source = str | os.PathLike[str] | Mapping[str, object] | Configuration


@dataclass(frozen=True, eq=False)
class Outcome:
    """The results of a configuration.

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


def check(config: Source) -> tuple[str, ...]:
    """Check all that needs no data, as :func:`run` does first, and return the notes."""
    notes: list[str] = []
    with noted(notes):
        _planned(config)
    return tuple(notes)


def run(config: Source, *, overwrite: bool = False, progress: bool = True) -> Outcome:
    """Train, downscale and score as a configuration in the layout of DeepR says.

    Parameters
    ----------
    config : path-like, mapping or Configuration
        A YAML file, what such a file holds, or what
        :func:`xdeepr.deepr_compat.configuration.reading.read_configuration` returned.
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
    >>> import xdeepr
    >>> lr, hr, _ = xdeepr.synthetic.example_pair(days=1)
    >>> files = [ds.to_netcdf(f"{name}.nc") for name, ds in (("coarse", lr), ("fine", hr))]
    >>> features = {"variables": "t2m", "data_location": "coarse.nc"}
    >>> labels = {"variable": "t2m", "data_location": "fine.nc"}
    >>> data = {"features_configuration": features, "label_configuration": labels}
    >>> score = {"model": "bicubic", "baseline": "bilinear", "output_dir": "scores"}
    >>> configuration = {"data_configuration": data, "validation_configuration": score}
    >>> outcome = xdeepr.run(configuration, progress=False)
    >>> [path.name for path in outcome.outputs]
    ['prediction.nc', 'scores.nc', 'scores.txt']
    """
    notes: list[str] = []
    with noted(notes):
        configuration, plan = _planned(config)
    work = _Run(configuration, plan, overwrite, progress, notes)
    if configuration.data_configuration is not None:
        work.use_data()
    if configuration.validation is not None:
        with noted(notes):
            scored = score_files(configuration.validation, overwrite=overwrite, progress=progress)
        work.scores = scored[0]
        work.written += scored[1]
    model = None if isinstance(work.model, str) else work.model
    return Outcome(model, work.checkpoint, tuple(work.written), work.scores, tuple(notes))


def _planned(config: Source) -> tuple[Configuration, TrainingPlan | None]:
    """Read and check all that needs no data."""
    configuration = config if isinstance(config, Configuration) else read_configuration(config)
    for line in configuration.notes():
        note(line)
    plan = plan_training(configuration)
    training, sampling = configuration.training_configuration, configuration.sampling
    named, key = models.named_model(configuration)
    if plan is not None and named is not None:
        raise OptionError(
            f"{key} names a model, but training_parameters ask for a training: drop one."
        )
    if named is not None:
        models.note_unused(configuration, key)
    elif plan is None and sampling:
        section = sampling[-1].section_name
        raise OptionError(f"{section}.model is missing: name a folder, or train a model.")
    data = configuration.data_configuration
    validates = any(isinstance(task, ValidationConfiguration) for task in _tasks(configuration))
    if validates and data is not None and data.label_configuration is None:
        raise OptionError(
            "validation_configuration needs the truth: give data_configuration.label_configuration."
        )
    if training is not None and training.type == "autoencoder" and (plan is None or sampling):
        raise OptionError(
            "training_configuration.type: an autoencoder compresses and does not downscale: leave"
            " validation_configuration and inference_configuration out, or train a model of the"
            " type 'latent' in its space."
        )
    return configuration, plan


def _tasks(configuration: Configuration) -> tuple[Sampling, ...]:
    """Return the sections that use the model; a loaded model is at least validated."""
    training = configuration.training_configuration
    if configuration.sampling or training is None or training.trained is None:
        return configuration.sampling
    return (ValidationConfiguration(),)


@dataclass
class _Run:
    """The part of a run that needs data, and what came of it so far."""

    configuration: Configuration
    plan: TrainingPlan | None
    overwrite: bool
    progress: bool
    notes: list[str]
    model: Downscaler | str | None = None
    checkpoint: Path | None = None
    scores: xr.Dataset | None = None
    written: list[Path] = field(default_factory=list)

    def use_data(self) -> None:
        """Train or load the model, save it, downscale, score and push."""
        assert self.configuration.data_configuration is not None  # the caller looked
        plan = self.plan
        with noted(self.notes):
            statics = None if plan is None else plan.stage.statics
            data = open_data(self.configuration.data_configuration, statics=statics)
            parts = [(task, models.chosen_part(data, task)) for task in _tasks(self.configuration)]
            self.check_places(parts)
        if plan is None:
            with noted(self.notes):
                self.model = self.loaded(data)
        else:
            with noted(self.notes):
                prepared = prepare(plan, data, progress=self.progress)
            trained = self.model = prepared.train(progress=self.progress)
            replace = self.overwrite or plan.overwrite
            self.checkpoint = trained.save(plan.folder, overwrite=replace)
        for task, part in parts:
            self.use_model(task, part, data)
        if plan is not None and plan.repository is not None:
            from xdeepr.models.hub import push_to_hub

            with models.quiet_hub(self.progress):
                push_to_hub(trained, plan.repository, private=plan.private)

    def check_places(self, parts: list[tuple[Sampling, Part]]) -> None:
        """Refuse places that cannot be written to before the work, and not after it."""
        from xdeepr.models.stored_arrays import CARD

        plan = self.plan
        if plan is not None and plan.folder.exists():
            checkpoint = (plan.folder / CARD).is_file()
            if not (checkpoint and (self.overwrite or plan.overwrite)):
                cure = "set overwrite_output_dir: true" if checkpoint else "choose another name"
                raise OptionError(
                    "training_configuration.training_parameters.output_dir:"
                    f" {plan.folder} exists already: {cure}."
                )
        for task, part in parts:
            folder = self.folder(task)
            if isinstance(task, InferenceConfiguration):  # the forecast has the times of the input
                paths = [folder / name for name, _ in models.in_files(part.lr, task)]
            else:
                assert isinstance(task, ValidationConfiguration)
                paths = planned_files(task, folder)
            for path in paths:
                check_output(path, overwrite=self.overwrite or task.overwrite)

    def folder(self, task: Sampling) -> Path:
        """Return where a section writes."""
        if task.folder is not None:
            return Path(task.folder)
        ending = "evaluation" if isinstance(task, ValidationConfiguration) else "predictions"
        if self.plan is not None:
            return self.plan.folder.with_name(f"{self.plan.folder.name}-{ending}")
        return Path(f"{Path(str(models.named_model(self.configuration)[0])).name}-{ending}")

    def loaded(self, data: Data) -> Downscaler | str:
        """Load the model that is named."""
        training = self.configuration.training_configuration
        name, key = models.named_model(self.configuration)
        assert name is not None  # `_planned` looked
        parameters = None if training is None else training.training_parameters
        model = models.load_model(name, data, parameters, progress=self.progress)
        if isinstance(model, str):
            return model
        if training is not None:
            models.check_model(model, training, key)
        if model.card.kind == "autoencoder":
            raise OptionError(f"{key}: {name} is an autoencoder, which does not downscale.")
        return model

    def use_model(self, task: Sampling, part: Part, data: Data) -> None:
        """Write the predictions of one section, or score them."""
        assert self.model is not None  # trained or loaded by now
        training = self.configuration.training_configuration
        scheduler = None
        if training is not None and training.trained is not None:
            scheduler = training.part("scheduler")
        with noted(self.notes):
            out = models.forecast(self.model, part, task, scheduler, data.statics)
        folder, overwrite = self.folder(task), self.overwrite or task.overwrite
        if isinstance(task, InferenceConfiguration):
            text = "downscaling" if self.progress else None
            for name, ds in models.in_files(out, task):
                path = write_file(ds, folder / name, overwrite=overwrite, progress=text)
                self.written.append(path)
            return
        assert isinstance(task, ValidationConfiguration)
        self.scores, files = score_forecast(
            out, part, task, folder, data.statics, overwrite=overwrite, progress=self.progress
        )
        self.written += files
