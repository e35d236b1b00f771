"""Load the model that a configuration names, and compare it with what the file says of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdeepr import cf
from xdeepr.deepr_compat.configuration.conditions import unread_statics
from xdeepr.deepr_compat.configuration.data import Data
from xdeepr.deepr_compat.configuration.networks import architecture_of
from xdeepr.deepr_compat.configuration.schema import (
    MODEL,
    Configuration,
    TrainingConfiguration,
    TrainingParameters,
)
from xdeepr.deepr_compat.configuration.section import note
from xdeepr.errors import OptionError
from xdeepr.tiling.interpolation import METHODS

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler

_PIPELINES = ("cddpm", "cddpmpipeline")
"""DeepR's names of a diffusion model as a whole; they say nothing of its network."""

_PUBLISHED = {
    "unet2d": "published-unet",
    "unet": "published-unet",
    "conv-swin2sr": "published-conv-swin2sr",
    "conv-baseline": "published-conv-baseline",
}
"""A network of DeepR -> its name here once it was read from one of DeepR's own checkpoints."""


def load_model(
    name: str,
    data: Data,
    parameters: TrainingParameters | None = None,
    *,
    progress: bool = True,
) -> Downscaler | str:
    """Load a model by folder, short name or repository on the Hub, or name an interpolation.

    A folder of DeepR's own does not say on which grids and quantities it was trained: it gets those
    of the data, and normalization, target and encoding of the hour from the parameters.
    """
    if name in METHODS:
        return name
    from xdeepr.models.find import load

    if _is_folder_of_deepr(name):
        from xdeepr.deepr_compat.checkpoints import from_deepr

        return from_deepr(name, **_facts(data, parameters))
    with quiet_hub(progress):
        return load(name)


def _is_folder_of_deepr(name: str) -> bool:
    from xdeepr.deepr_compat.checkpoints import is_legacy
    from xdeepr.models.stored_arrays import CARD

    folder = Path(name)
    return folder.is_dir() and is_legacy(folder) and not (folder / CARD).is_file()


def _facts(data: Data, parameters: TrainingParameters | None) -> dict[str, Any]:
    """Return what the folder of a model of DeepR does not say, and the configuration does."""
    part = next(iter(data.parts.values()))
    names = cf.spatial_variables(part.lr, cf.find_axes(part.lr))
    facts: dict[str, Any] = {
        "lr_grid": part.lr,
        "hr_grid": part.hr,
        "predictors": {name: part.lr[name].attrs for name in names},
        "covariates": data.statics,
    }
    if parameters is None:
        return facts
    residual = parameters.learn_residuals
    return {
        **facts,
        "hour": parameters.hour_embed_type,
        "target": "residual" if residual else "field",
        "normalization": "instance" if parameters.instance_norm else None,
    }


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
    if name not in (wanted, _PUBLISHED.get(wanted)):
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
