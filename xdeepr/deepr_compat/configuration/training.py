"""From a configuration to calls of :func:`xdeepr.fit`: planned without data, then done."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import xarray as xr

from xdeepr.deepr_compat.configuration import models
from xdeepr.deepr_compat.configuration.data import Data, static_covariates
from xdeepr.deepr_compat.configuration.networks import (
    INTERPOLATION,
    Stage,
    Translated,
    architecture_of,
    check_agreement,
    shapes_of,
    translate,
)
from xdeepr.deepr_compat.configuration.schema import (
    MODEL,
    PARAMETERS,
    Configuration,
    NetworkConfiguration,
    TrainingConfiguration,
    TrainingParameters,
)
from xdeepr.deepr_compat.configuration.schema_data import DataConfiguration, Standardization
from xdeepr.deepr_compat.configuration.section import note
from xdeepr.errors import OptionError
from xdeepr.networks import network_class

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler

PRECISIONS = {None: None, "no": "float32", "fp16": "auto", "bf16": "bfloat16"}
"""`mixed_precision` -> ``precision=`` of :func:`xdeepr.fit`."""

_SAME = (
    *("max_steps", "max_time", "learning_rate", "patience", "window"),
    *("covariate_dropout", "device", "keep", "seed"),
)
"""Parameters that are keywords of `fit`."""

_DATA = "data_configuration"

_LABELS: dict[str, dict[str, Any]] = {
    "class": {"num_class_embeds": 24, "class_embed_type": None},
    "positional": {"num_class_embeds": None, "class_embed_type": "identity"},
    "timestep": {"num_class_embeds": None, "class_embed_type": "timestep"},
    "none": {"num_class_embeds": None, "class_embed_type": None},
    "cyclical": {"num_class_embeds": None, "class_embed_type": None},
}
"""Encoding of the hour -> the keywords that a network of diffusers needs for it."""


class Trained(NamedTuple):
    """A model that is there: folder or repository, the network it should have, the key of it."""

    location: str
    network: str
    path: str


@dataclass(frozen=True)
class TrainingPlan:
    """A training, with the models it builds on and the place of its result.

    `base` takes the place of interpolation; `target` is what a loaded autoencoder must have been
    trained for.
    """

    stage: Stage
    base: Trained | None
    autoencoder: Trained | Stage | None
    folder: Path
    overwrite: bool
    repository: str | None
    private: bool
    target: str | None = None


def plan_training(configuration: Configuration) -> TrainingPlan | None:
    """Return what a configuration asks `fit` for, or None; no data are opened."""
    training, data = configuration.training_configuration, configuration.data_configuration
    if training is None or training.trained is not None:
        return None
    assert data is not None  # checked when it was read
    if data.label_configuration is None:
        raise OptionError(
            "data_configuration.label_configuration is missing: a training needs labels."
        )
    part, network = training.main
    assert network is not None
    translated = translate(network, training.type, f"{MODEL}.{part}")
    parameters = training.parameters
    options = _length(parameters) | _scaling(data, parameters)
    options["variables"] = list(data.label_configuration.names)
    statics = static_covariates(data, training, options)
    trained_obs = training.part("trained_obs_model")
    return TrainingPlan(
        Stage(
            options | _model(training, translated),
            translated.stated,
            translated.path,
            statics,
            translated.architecture.any_size,
        ),
        None if trained_obs is None else _trained(trained_obs, "end2end", "trained_obs_model"),
        _autoencoder(training, options),
        Path(parameters.output_dir),
        parameters.overwrite_output_dir,
        _repository(parameters),
        parameters.hub_private_repo,
        None if parameters.learn_residuals is None else _target(training),
    )


def _model(training: TrainingConfiguration, translated: Translated) -> dict[str, Any]:
    """Return the keywords that say which model it is."""
    kind, model, parameters = training.type, translated.architecture.model, training.parameters
    if kind == "latent":
        model = "latent"
    elif kind == "end2end" and model == "ddpm":  # a network without a loss of its own
        model = "regression"
    options: dict[str, Any] = {"model": model, "network": dict(translated.network)}
    options["time_features"] = _time_features(training, translated)
    if kind in ("diffusion", "latent"):
        options["diffusion"] = models.noise_options(training.part("scheduler"))
    if kind != "latent":  # there the autoencoder has decided
        options["target"] = _target(training, translated)
    if parameters.loss is not None:
        options["loss"] = parameters.loss
    return options


def _target(training: TrainingConfiguration, translated: Translated | None = None) -> str:
    """Return what is learnt.

    DeepR's regressions add to an interpolation: the residual, unless it is another interpolation
    than xdeepr's, which the network then has inside.
    """
    residual = training.parameters.learn_residuals
    if translated is not None and translated.interpolation is not None:
        if residual:
            raise OptionError(
                f"{translated.path}.kwargs.interpolation_method is {translated.interpolation!r},"
                f" but {PARAMETERS}.learn_residuals learns what is added to {INTERPOLATION!r}: drop"
                " one."
            )
        return "field"
    if residual is None:
        residual = training.type == "end2end"
    return "residual" if residual else "field"


def _length(parameters: TrainingParameters) -> dict[str, Any]:
    """Return the keywords of length, speed and place of the training."""
    batch = parameters.batch
    accumulated = parameters.gradient_accumulation_steps
    if accumulated > 1:
        cure = "give a batch_size"
        if batch is not None:
            cure = f"{accumulated} batches of {batch} are one of {batch * accumulated}, which needs"
            cure += " more memory"
            batch *= accumulated
        note(f"{PARAMETERS}.gradient_accumulation_steps has no counterpart: {cure}")
    if parameters.lr_warmup_steps is not None:
        note(
            f"{PARAMETERS}.lr_warmup_steps has no counterpart: the learning rate rises over the"
            " first twentieth of the training"
        )
    if parameters.mixed_precision == "fp16":
        note(
            f"{PARAMETERS}.mixed_precision: 'fp16' has no counterpart: bfloat16 is used where the"
            " device computes in it"
        )
    options = {
        "epochs": parameters.num_epochs,
        "batch_size": batch,
        "precision": PRECISIONS[parameters.mixed_precision],
        **{name: getattr(parameters, name) for name in _SAME},
        "name": parameters.name or Path(parameters.output_dir).name,
    }
    return {key: value for key, value in options.items() if value is not None}


def _scaling(data: DataConfiguration, parameters: TrainingParameters) -> dict[str, Any]:
    """Return ``normalization`` and ``by_month`` of :func:`xdeepr.fit`, where they are asked for."""
    asked: dict[str, Standardization] = {}
    for name in ("features_configuration", "label_configuration"):
        wanted = getattr(getattr(data, name), "scaling", None)
        if wanted is not None and wanted.to_do:
            asked[name] = wanted
        elif wanted is not None:
            note(
                f"{_DATA}.{name}.standardization.to_do: false has no counterpart: fields are always"
                " normalized"
            )
    if parameters.instance_norm:
        if asked:
            note(
                f"{PARAMETERS}.instance_norm takes the place of {_DATA}."
                f"{' and '.join(asked)}.standardization"
            )
        return {"normalization": "instance"}
    methods = list({(wanted.method, wanted.by_month) for wanted in asked.values()})
    if len(methods) > 1:
        listed = ", ".join(
            f"{name}: {wanted.method}{' by month' if wanted.by_month else ''}"
            for name, wanted in asked.items()
        )
        raise OptionError(
            f"{_DATA}: the standardization differs ({listed}); xdeepr has one method for both."
        )
    return {"normalization": methods[0][0], "by_month": methods[0][1]} if methods else {}


def _time_features(training: TrainingConfiguration, translated: Translated) -> dict[str, str]:
    """Return ``time_features`` of `fit`, compared with the keywords of the network."""
    encodings = training.parameters.encodings()
    key = f"{PARAMETERS}.hour_embed_type"
    if training.type == "autoencoder":
        if encodings != {"hour": "none"}:
            note(f"{key} has no counterpart: an autoencoder is not conditioned on the time")
        return {}
    needed = _LABELS[encodings["hour"]]
    for keyword, value in translated.labels.items():
        if value != needed[keyword]:
            raise OptionError(
                f"{translated.path}.kwargs.{keyword} is {value!r}, but {key} is"
                f" {encodings['hour']!r}, which needs {needed[keyword]!r}: leave {keyword} out, it"
                " follows from hour_embed_type."
            )
    if translated.architecture.any_size:
        return encodings
    for name, encoding in list(encodings.items()):
        if encoding in ("class", "positional", "timestep"):
            del encodings[name]
            written = key if name == "hour" else f"{PARAMETERS}.time_features.{name}"
            note(
                f"{written} has no counterpart: {translated.architecture.spelling} embeds no"
                " numbers; 'cyclical' gives them as fields"
            )
    return encodings


def _trained(part: NetworkConfiguration, kind: str, name: str) -> Trained:
    """Return where a trained part is, and what it should be."""
    path = f"{MODEL}.{name}"
    key = "trained_model_dir" if part.trained_model_dir is not None else "model_dir"
    if part.trained is None:
        raise OptionError(f"{path}.{key} is missing: name the folder of the trained model.")
    if part.kwargs:
        raise OptionError(f"{path}.kwargs: a trained model has its own; leave them out.")
    architecture = architecture_of(part.class_name, kind, f"{path}.class_name")
    return Trained(part.trained, architecture.network, f"{path}.{key}")


def _autoencoder(
    training: TrainingConfiguration, options: Mapping[str, Any]
) -> Trained | Stage | None:
    """Return the autoencoder of a latent model: where it is, or how to train it."""
    part = training.part("autoencoder")
    if part is None:
        return None
    if part.trained is not None:
        return _trained(part, "autoencoder", "autoencoder")
    translated = translate(part, "autoencoder", f"{MODEL}.autoencoder")
    own = dict(options)
    own.pop("covariate_dropout", None)
    own |= {key: f"{options[key]}-autoencoder" for key in ("name", "keep") if key in options}
    own |= {"model": "autoencoder", "network": dict(translated.network), "time_features": {}}
    own["target"] = _target(training)
    return Stage(own, translated.stated, translated.path, (), True)


def _repository(parameters: TrainingParameters) -> str | None:
    """Return where the model is pushed to."""
    if not parameters.push_to_hub:
        for key in ("hf_repo_name", "hub_private_repo"):
            if getattr(parameters, key):
                note(f"{PARAMETERS}.{key} has no effect: push_to_hub is not true")
        return None
    if not parameters.hf_repo_name:
        note(
            f"{PARAMETERS}.push_to_hub has no effect: hf_repo_name names no repository; the model"
            " is saved and not pushed"
        )
    return parameters.hf_repo_name or None


Arguments = tuple[xr.Dataset, xr.Dataset, Mapping[str, Any]]
"""LR fields, labels and keywords of :func:`xdeepr.fit`."""


@dataclass(frozen=True)
class Prepared:
    """A plan with its data: the arguments for the model, and for an autoencoder before it."""

    model: Arguments
    autoencoder: Arguments | None = None

    def train(self, *, progress: bool) -> Downscaler:
        """Train the autoencoder, if there is one to train, and the model."""
        from xdeepr.training import fit

        lr, hr, options = self.model
        if self.autoencoder is not None:
            *fields, own = self.autoencoder
            trained = fit(*fields, progress=progress, **own)
            options = {**options, "autoencoder": trained}
        return fit(lr, hr, progress=progress, **options)


def prepare(plan: TrainingPlan, data: Data, *, progress: bool) -> Prepared:
    """Load the parts of a plan and compare it with the data; nothing is trained."""
    more: dict[str, Any] = {}
    device = plan.stage.options.get("device")
    if device is not None:
        more["device"] = models.available_device(device, PARAMETERS)
    first, channels = None, None
    if isinstance(plan.autoencoder, Stage):
        first = _arguments(plan.autoencoder, data, more)
        network = plan.autoencoder.options["network"]
        defaults = inspect.signature(network_class(network["name"]).__init__).parameters
        channels = network.get("latent_channels", defaults["latent_channels"].default)
    elif plan.autoencoder is not None:
        more["autoencoder"] = _loaded(plan.autoencoder, data, progress)
        channels = int(more["autoencoder"].network.latent_channels)
        target = more["autoencoder"].card.target
        if plan.target not in (None, target):
            raise OptionError(
                f"{PARAMETERS}.learn_residuals asks for the {plan.target}, but the autoencoder was"
                f" trained on the {target}: leave learn_residuals out."
            )
    if plan.base is not None:
        more["base"] = _loaded(plan.base, data, progress)
    return Prepared(_arguments(plan.stage, data, more, channels), first)


def _loaded(trained: Trained, data: Data, progress: bool) -> Downscaler:
    """Load a model that another one builds on."""
    model = models.load_model(trained.location, data, progress=progress)
    if isinstance(model, str):
        raise OptionError(
            f"{trained.path}: {model!r} is an interpolation; a trained model is needed there."
        )
    models.check_network(model, trained.network, trained.path)
    return model


def _arguments(
    stage: Stage, data: Data, more: Mapping[str, Any], channels: int | None = None
) -> Arguments:
    """Return fields and keywords for the model of one stage, compared with each other."""
    lr, hr = data.training.fields()
    shapes = shapes_of(lr, hr, stage)
    check_agreement(stage, shapes, channels)
    cells = getattr(network_class(stage.options["network"]["name"]), "whole_cells", None)
    whole = cells is not None and cells(shapes.factor) > 1
    suited = data.training.fields(whole)[1]
    if suited.sizes != hr.sizes:
        rows, columns = shapes_of(lr, suited, stage).hr
        note(
            f"{stage.path}: at a factor of {shapes.factor} this network takes whole coarse cells,"
            f" and the labels begin or end inside of some: they are cut to {rows} × {columns} cells"
        )
    options = {**stage.options, **more, "covariates": data.statics if stage.statics else None}
    if "all" not in data.parts:  # otherwise fit holds some times out by itself
        watched = data.parts.get("validation")
        options["validation"] = None if watched is None else watched.fields(whole)
    return lr, suited, options
