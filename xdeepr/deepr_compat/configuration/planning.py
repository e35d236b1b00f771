"""From a configuration to the keywords of :func:`xdeepr.fit`: a pure function of what was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xdeepr.deepr_compat.configuration.architectures import (
    INTERPOLATION,
    Translated,
    architecture_of,
    translate,
)
from xdeepr.deepr_compat.configuration.configuration import Configuration
from xdeepr.deepr_compat.configuration.diffusion import diffusion_options
from xdeepr.deepr_compat.configuration.inputs import scaling, static_covariates, time_features
from xdeepr.deepr_compat.configuration.training import (
    PARAMETERS,
    NetworkConfiguration,
    TrainingConfiguration,
    TrainingParameters,
)
from xdeepr.errors import OptionError

_MODEL = "training_configuration.model_configuration"

PRECISIONS = {"no": "float32", "fp16": "auto", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Stage:
    """One call of `fit`.

    Parameters
    ----------
    options : mapping
        Keywords of :func:`xdeepr.fit`, all of them plain data.
    stated : mapping
        What the configuration says of channels and sizes.
    path : str
        Where that stands.
    statics : tuple of str
        Static covariates, by the names of `add_auxiliary`.
    """

    options: Mapping[str, Any]
    stated: Mapping[str, Any]
    path: str
    statics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """A model that is there already.

    Parameters
    ----------
    location : str
        Folder or repository.
    network : str
        What its network should be, in :data:`xdeepr.networks.NETWORKS`.
    path : str
        Where it is named.
    """

    location: str
    network: str
    path: str


@dataclass(frozen=True)
class TrainingPlan:
    """What is trained, of what, and where it goes.

    Parameters
    ----------
    stage : Stage
        The model.
    base : Trained or None
        The model whose output takes the place of interpolation.
    autoencoder : Trained, Stage or None
        For a latent model: a trained autoencoder, or how to train one first.
    folder : pathlib.Path
        Where the model is saved.
    overwrite : bool
        Whether a checkpoint there may be replaced.
    repository : str or None
        Where the model is pushed to.
    private : bool
        Whether a new repository is hidden.
    target : str or None
        For a latent model: what its autoencoder must have been trained for.
    notes : tuple of str
        What has no counterpart, or another meaning here.
    """

    stage: Stage
    base: Trained | None
    autoencoder: Trained | Stage | None
    folder: Path
    overwrite: bool
    repository: str | None
    private: bool
    target: str | None = None
    notes: tuple[str, ...] = ()


def plan_training(configuration: Configuration) -> TrainingPlan | None:
    """Say what a configuration asks `fit` for; no data are opened.

    Parameters
    ----------
    configuration : Configuration
        As it was read.

    Returns
    -------
    TrainingPlan or None
        None if there is nothing to train.

    Raises
    ------
    OptionError
        For an unknown class or keyword, or for keys that contradict each other.
    """
    training, data = configuration.training_configuration, configuration.data_configuration
    if training is None or training.trained is not None:
        return None
    parameters = training.training_parameters
    assert parameters is not None and data is not None  # checked when it was read
    if data.label_configuration is None:
        raise OptionError(
            "data_configuration.label_configuration is missing: a training needs labels."
        )
    notes: list[str] = []
    part, network = training.main
    assert network is not None
    path = f"{_MODEL}.{part}"
    translated = translate(network, training.type, path)
    notes += translated.notes
    options = _how_long(parameters, notes) | scaling(data, parameters, notes)
    options["variables"] = list(data.label_configuration.names)
    statics = static_covariates(data, training, parameters, options, notes)
    stage = Stage(
        options | _model(training, parameters, translated, path, notes),
        translated.stated,
        path,
        statics,
    )
    trained_obs = training.part("trained_obs_model")
    return TrainingPlan(
        stage,
        None if trained_obs is None else _trained(trained_obs, "end2end", "trained_obs_model"),
        _autoencoder(training, parameters, options, notes),
        Path(parameters.output_dir),
        parameters.overwrite_output_dir,
        _repository(parameters, notes),
        parameters.hub_private_repo,
        None if parameters.learn_residuals is None else _target(training.type, parameters),
        tuple(notes),
    )


def _model(
    training: TrainingConfiguration,
    parameters: TrainingParameters,
    translated: Translated,
    path: str,
    notes: list[str],
) -> dict[str, Any]:
    """Return the keywords that say which model it is."""
    kind, architecture = training.type, translated.architecture
    model = {"latent": "latent", "end2end": "regression", "autoencoder": "autoencoder"}.get(
        kind, architecture.model
    )
    if kind == "end2end" and architecture.model != "ddpm":
        model = architecture.model  # a network of its own loss
    options: dict[str, Any] = {"model": model, "network": dict(translated.network)}
    options["time_features"] = time_features(training, parameters, translated, path, notes)
    if kind in ("diffusion", "latent"):
        scheduler = training.part("scheduler")
        options["diffusion"] = diffusion_options(scheduler, f"{_MODEL}.scheduler")
    if kind != "latent":  # there the autoencoder has decided
        options["target"] = _target(kind, parameters, translated.interpolation, path)
    if parameters.loss is not None:
        options["loss"] = parameters.loss
    return options


def _target(
    kind: str, parameters: TrainingParameters, interpolation: str | None = None, path: str = ""
) -> str:
    """Return what is learnt.

    DeepR's regressions add to an interpolation: the residual, unless it is another interpolation
    than xdeepr's, which the network then has inside.
    """
    residual = parameters.learn_residuals
    if interpolation is not None:
        if residual:
            raise OptionError(
                f"{path}.kwargs.interpolation_method is {interpolation!r}, but"
                f" {PARAMETERS}.learn_residuals learns what is added to"
                f" {INTERPOLATION!r}: drop one."
            )
        return "field"
    if residual is None:
        residual = kind == "end2end"
    return "residual" if residual else "field"


def _how_long(parameters: TrainingParameters, notes: list[str]) -> dict[str, Any]:
    """Return the keywords of length, speed and place of the training."""
    batch = parameters.batch_size or parameters.train_batch_size
    accumulated = parameters.gradient_accumulation_steps
    if accumulated > 1 and batch is not None:
        notes.append(
            f"{PARAMETERS}.gradient_accumulation_steps has no counterpart: {accumulated} batches of"
            f" {batch} are one of {batch * accumulated}, which needs more memory"
        )
        batch *= accumulated
    elif accumulated > 1:
        notes.append(
            f"{PARAMETERS}.gradient_accumulation_steps has no counterpart: give a batch_size"
        )
    if parameters.lr_warmup_steps is not None:
        notes.append(
            f"{PARAMETERS}.lr_warmup_steps has no counterpart: the learning rate rises over the"
            " first twentieth of the training"
        )
    precision = parameters.mixed_precision
    if precision == "fp16":
        notes.append(
            f"{PARAMETERS}.mixed_precision: 'fp16' has no counterpart: bfloat16 is used where the"
            " device computes in it"
        )
    given = {
        "epochs": parameters.num_epochs,
        "max_steps": parameters.max_steps,
        "max_time": parameters.max_time,
        "batch_size": batch,
        "learning_rate": parameters.learning_rate,
        "patience": parameters.patience,
        "window": parameters.window,
        "precision": None if precision is None else PRECISIONS[precision],
        "covariate_dropout": parameters.covariate_dropout,
        "device": parameters.device,
        "keep": parameters.keep,
    }
    options = {key: value for key, value in given.items() if value is not None}
    name = parameters.name or Path(parameters.output_dir).name
    return {**options, "seed": parameters.seed, "name": name}


def _trained(part: NetworkConfiguration, kind: str, name: str) -> Trained:
    """Return where a trained part is, and what it should be."""
    path = f"{_MODEL}.{name}"
    key = "trained_model_dir" if part.trained_model_dir is not None else "model_dir"
    if part.trained is None:
        raise OptionError(f"{path}.{key} is missing: name the folder of the trained model.")
    if part.kwargs:
        raise OptionError(f"{path}.kwargs: a trained model has its own; leave them out.")
    found = architecture_of(part.class_name, kind, f"{path}.class_name")
    return Trained(part.trained, found.network, f"{path}.{key}")


def _autoencoder(
    training: TrainingConfiguration,
    parameters: TrainingParameters,
    options: Mapping[str, Any],
    notes: list[str],
) -> Trained | Stage | None:
    """Return the autoencoder of a latent model: where it is, or how to train it."""
    part = training.part("autoencoder")
    if part is None:
        return None
    path = f"{_MODEL}.autoencoder"
    if part.trained is not None:
        return _trained(part, "autoencoder", "autoencoder")
    translated = translate(part, "autoencoder", path)
    notes += translated.notes
    kept = {key: value for key, value in options.items() if key not in ("keep",)}
    kept |= {"model": "autoencoder", "network": dict(translated.network), "time_features": {}}
    kept["target"] = _target("latent", parameters)
    kept["name"] = f"{options['name']}-autoencoder"
    kept.pop("covariate_dropout", None)
    if "keep" in options:
        kept["keep"] = f"{options['keep']}-autoencoder"
    return Stage(kept, translated.stated, path)


def _repository(parameters: TrainingParameters, notes: list[str]) -> str | None:
    """Return where the model is pushed to."""
    if not parameters.push_to_hub:
        if parameters.hf_repo_name:
            notes.append(f"{PARAMETERS}.hf_repo_name has no effect: push_to_hub is not true")
        if parameters.hub_private_repo:
            notes.append(f"{PARAMETERS}.hub_private_repo has no effect: push_to_hub is not true")
        return None
    if not parameters.hf_repo_name:
        notes.append(
            f"{PARAMETERS}.push_to_hub has no effect: hf_repo_name names no repository; the model"
            " is saved and not pushed"
        )
        return None
    return parameters.hf_repo_name
