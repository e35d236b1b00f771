"""Load the model that a configuration names, and compare it with what the file says of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from xdeepr.deepr_compat.configuration.architectures import architecture_of
from xdeepr.deepr_compat.configuration.configuration import Configuration
from xdeepr.deepr_compat.configuration.inputs import unread_statics
from xdeepr.deepr_compat.configuration.training import TrainingConfiguration
from xdeepr.deepr_compat.configuration.validation import Sampling
from xdeepr.errors import OptionError
from xdeepr.tiling.interpolation import METHODS

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler

_KINDS = {
    "diffusion": "diffusion",
    "end2end": "regression",
    "autoencoder": "autoencoder",
    "latent": "latent",
}

_PIPELINES = ("cddpm", "cddpmpipeline")
"""DeepR's names of a diffusion model as a whole; they say nothing of its network."""

_PUBLISHED = {"unet2d": "published-unet", "unet": "published-unet"}
"""What a network of DeepR is called here once it was read from the Hub."""


def load_model(name: str, *, progress: bool = True) -> Downscaler | str:
    """Load a model by folder, short name or repository on the Hub.

    Parameters
    ----------
    name : str
        Also the name of an interpolation, which is returned as it is.
    progress : bool, default: True
        Show a progress bar where something is fetched.

    Returns
    -------
    Downscaler or str

    Raises
    ------
    OptionError, CheckpointError, DataUnavailableError
        If there is no such model, or it cannot be read.
    """
    if name in METHODS:
        return name
    from xdeepr.models.find import checkpoint_folder, load
    from xdeepr.models.hub import is_repo_id

    if not Path(name).is_dir() and is_repo_id(name):
        with quiet_hub(progress):
            return load(checkpoint_folder(name))
    return load(name)


@contextmanager
def quiet_hub(progress: bool) -> Iterator[None]:
    """Let huggingface_hub show progress bars, or not.

    Parameters
    ----------
    progress : bool
        Whether it may.
    """
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if progress or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def named_model(
    training: TrainingConfiguration | None, *sections: Sampling | None
) -> tuple[str | None, str]:
    """Return the model that is to be used without training, and the key that names it.

    Parameters
    ----------
    training : TrainingConfiguration or None
        May name a trained model.
    *sections : Sampling or None
        So may the validation and the inference.

    Raises
    ------
    OptionError
        If they name different models.
    """
    named = []
    if training is not None and training.trained is not None:
        key = f"training_configuration.model_configuration.{training.main[0]}"
        named.append((training.trained, f"{key}.trained_model_dir"))
    for section in sections:
        if section is None:
            continue
        where = type(section).section_name
        if section.model is not None and section.repo_name is not None:
            raise OptionError(f"{where}: model and repo_name mean the same: give one of them.")
        name = section.model or section.repo_name
        if name is not None:
            named.append((name, f"{where}.{'model' if section.model else 'repo_name'}"))
    if len({name for name, _ in named}) > 1:
        said = " and ".join(f"{key}: {name}" for name, key in named)
        raise OptionError(f"different models are named ({said}): run them one after the other.")
    return named[0] if named else (None, "")


def check_model(model: Downscaler, training: TrainingConfiguration, key: str) -> None:
    """Refuse a model that is not what the configuration says of it.

    Parameters
    ----------
    model : Downscaler
        As it was loaded.
    training : TrainingConfiguration
        Type and class name.
    key : str
        Where the model is named.

    Raises
    ------
    OptionError
        If type or network differ.
    """
    card = model.card
    if card.kind != _KINDS[training.type]:
        raise OptionError(
            f"{key} is a {card.kind} model, but training_configuration.type is {training.type!r}."
        )
    part, network = training.main
    if network is None or network.class_name.lower() in _PIPELINES:
        return
    path = f"training_configuration.model_configuration.{part}.class_name"
    check_network(model, architecture_of(network.class_name, training.type, path).network, path)


def check_network(model: Downscaler, wanted: str, path: str) -> None:
    """Refuse a model with another network than its configuration says.

    Parameters
    ----------
    model : Downscaler
        As it was loaded.
    wanted : str
        Name of a network.
    path : str
        Where the model or its class is named.

    Raises
    ------
    OptionError
        If it has another one.
    """
    found = model.card.network["name"]
    if found not in (wanted, _PUBLISHED.get(wanted)):
        raise OptionError(
            f"{path}: the network of {model.card.name!r} is {found!r}, but class_name means"
            f" {wanted!r}."
        )


def without_training(configuration: Configuration, key: str) -> list[str]:
    """Say which keys do not matter, because a trained model is used.

    Parameters
    ----------
    configuration : Configuration
        As it was read.
    key : str
        Where the model is named.

    Returns
    -------
    list of str
        One line for each.
    """
    notes = []
    training, data = configuration.training_configuration, configuration.data_configuration
    if training is not None:
        here = "training_configuration"
        if training.training_parameters is not None:
            notes.append(f"{here}.training_parameters has no effect: {key} names a trained model")
        part, network = training.main
        for name in type(training.model_configuration).model_fields:
            other = training.part(name)
            if other is None or name in (part, "scheduler"):
                continue
            notes.append(f"{here}.model_configuration.{name} has no effect: {key} is the model")
        if network is not None and network.kwargs:
            notes.append(
                f"{here}.model_configuration.{part}.kwargs has no effect: a trained model has its"
                " own"
            )
    if data is None:
        return notes
    for name in ("features_configuration", "label_configuration"):
        section = getattr(data, name)
        if section is None:
            continue
        for written in ("standardization", "apply_standardization"):
            if getattr(section, written) is not None:
                notes.append(
                    f"data_configuration.{name}.{written} has no effect: the model knows how it was"
                    " normalized"
                )
    features = data.features_configuration
    asked = () if features is None else features.add_auxiliary.statics()
    if features is not None and features.add_auxiliary.time:
        notes.append(
            "data_configuration.features_configuration.add_auxiliary.time has no effect: the model"
            " knows what it is told of the time"
        )
    unread_statics(data, asked, notes)
    return notes
