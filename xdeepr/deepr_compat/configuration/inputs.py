"""What a network is given and told: normalization, static covariates, the time."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from xdeepr.deepr_compat.configuration.architectures import Translated
from xdeepr.deepr_compat.configuration.data import DataConfiguration, Standardization
from xdeepr.deepr_compat.configuration.training import (
    PARAMETERS,
    TrainingConfiguration,
    TrainingParameters,
)
from xdeepr.errors import OptionError

_DATA = "data_configuration"

STATIC_NAMES = ("lsm-high", "orog-high", "lsm-low", "orog-low")
"""Static fields by the names of `add_auxiliary`."""

# How a network of diffusers must be told of the hour, for each kind of embedding.
_LABELS: dict[str, dict[str, Any]] = {
    "class": {"num_class_embeds": 24, "class_embed_type": None},
    "positional": {"num_class_embeds": None, "class_embed_type": "identity"},
    "timestep": {"num_class_embeds": None, "class_embed_type": "timestep"},
    "none": {"num_class_embeds": None, "class_embed_type": None},
    "cyclical": {"num_class_embeds": None, "class_embed_type": None},
}


def scaling(
    data: DataConfiguration, parameters: TrainingParameters, notes: list[str]
) -> dict[str, Any]:
    """Return the normalization; xdeepr has one method for predictors and labels.

    Parameters
    ----------
    data : DataConfiguration
        Says how fields are standardized.
    parameters : TrainingParameters
        May ask for the normalization of each field by itself.
    notes : list of str
        Gets a line for what has no counterpart.

    Returns
    -------
    dict
        ``normalization`` and ``by_month`` of :func:`xdeepr.fit`, where anything is asked for.

    Raises
    ------
    OptionError
        If features and labels are to be standardized in different ways.
    """
    asked: dict[str, Standardization] = {}
    for name in ("features_configuration", "label_configuration"):
        section = getattr(data, name)
        wanted = None if section is None else section.scaling
        if wanted is None:
            continue
        if wanted.to_do:
            asked[name] = wanted
        else:
            notes.append(
                f"{_DATA}.{name}.standardization.to_do: false has no counterpart: fields are always"
                " normalized"
            )
    if parameters.instance_norm:
        if asked:
            notes.append(
                f"{PARAMETERS}.instance_norm takes the place of {_DATA}."
                f"{' and '.join(asked)}.standardization"
            )
        return {"normalization": "instance"}
    if not asked:
        return {}
    methods = {(wanted.method, wanted.by_month) for wanted in asked.values()}
    if len(methods) > 1:
        said = ", ".join(
            f"{name}: {wanted.method}{' by month' if wanted.by_month else ''}"
            for name, wanted in asked.items()
        )
        raise OptionError(
            f"{_DATA}: the standardization differs ({said}); xdeepr has one method for both."
        )
    ((method, by_month),) = methods
    return {"normalization": method, "by_month": by_month}


def time_features(
    training: TrainingConfiguration,
    parameters: TrainingParameters,
    translated: Translated,
    path: str,
    notes: list[str],
) -> dict[str, str]:
    """Return what the network is told of the time, and compare it with the network's keywords.

    Parameters
    ----------
    training : TrainingConfiguration
        Its type.
    parameters : TrainingParameters
        What is asked for.
    translated : Translated
        The network.
    path : str
        Where the network stands.
    notes : list of str
        Gets a line for what has no counterpart.

    Returns
    -------
    dict of str to str
        ``time_features`` of :func:`xdeepr.fit`.

    Raises
    ------
    OptionError
        If the network's keywords contradict it.
    """
    hour = parameters.hour_embed_type
    features: dict[str, str] = {str(k): str(v) for k, v in parameters.time_features.items()}
    place = f"{PARAMETERS}.hour_embed_type"
    if training.type == "autoencoder":
        if hour != "none" or features:
            notes.append(f"{place} has no counterpart: an autoencoder is not told of the time")
        return {}
    wanted = _LABELS[features.get("hour", hour)]
    for key, value in translated.labels.items():
        if value != wanted[key]:
            raise OptionError(
                f"{path}.kwargs.{key} is {value!r}, but {place} is"
                f" {features.get('hour', hour)!r}, which needs {wanted[key]!r}: leave {key} out, it"
                " follows from hour_embed_type."
            )
    if translated.architecture.embeds_time:
        return {"hour": hour, **features}
    numbers = [
        name for name, how in {"hour": hour, **features}.items()
        if how in ("class", "positional", "timestep")
    ]  # fmt: skip
    for name in numbers:
        notes.append(
            f"{place if name == 'hour' else f'{PARAMETERS}.time_features.{name}'} has no"
            f" counterpart: {training.main[1].class_name} embeds no numbers;"  # type: ignore[union-attr]
            " 'cyclical' gives them as fields"
        )
    return {k: v for k, v in {"hour": hour, **features}.items() if k not in numbers}


def static_covariates(
    data: DataConfiguration,
    training: TrainingConfiguration,
    parameters: TrainingParameters,
    options: Mapping[str, Any],
    notes: list[str],
) -> tuple[str, ...]:
    """Return the static covariates, by the names of `add_auxiliary`.

    Parameters
    ----------
    data : DataConfiguration
        What is there.
    training : TrainingConfiguration
        Its type.
    parameters : TrainingParameters
        May choose some of them.
    options : mapping
        Keywords of :func:`xdeepr.fit` so far: the normalization may need a mask.
    notes : list of str
        Gets a line for what has no effect.

    Returns
    -------
    tuple of str

    Raises
    ------
    OptionError
        For an unknown name, or if there is no mask.
    """
    features = data.features_configuration
    auxiliary = () if features is None else features.add_auxiliary.statics()
    if features is not None and features.add_auxiliary.time and _no_time(parameters):
        notes.append(
            f"{_DATA}.features_configuration.add_auxiliary.time has no effect:"
            f" {PARAMETERS}.hour_embed_type is 'none'"
        )
    chosen = auxiliary
    if parameters.static_covariables is not None:
        chosen = tuple(_static_name(name) for name in parameters.static_covariables)
        for name in auxiliary:
            if name not in chosen:
                notes.append(
                    f"{_DATA}.features_configuration.add_auxiliary.{name} has no effect:"
                    f" {PARAMETERS}.static_covariables does not list it"
                )
    if training.type == "autoencoder":
        if chosen:
            notes.append(f"{_DATA}: static fields have no effect: an autoencoder sees none")
        chosen = ()
    unread_statics(data, chosen, notes)
    if options.get("normalization") == "landmask-wise":
        return _with_mask(data, chosen, notes)
    return chosen


def _no_time(parameters: TrainingParameters) -> bool:
    return parameters.hour_embed_type == "none" and not parameters.time_features


def _static_name(name: str) -> str:
    """Read "lsm" and "orog" as the fine ones."""
    full = f"{name}-high" if name in ("lsm", "orog") else name
    if full not in STATIC_NAMES:
        near = difflib.get_close_matches(name, STATIC_NAMES, n=1, cutoff=0.0)[0]
        raise OptionError(f"{PARAMETERS}.static_covariables: {name!r} is unknown. Nearest: {near}")
    return full


def unread_statics(data: DataConfiguration, chosen: tuple[str, ...], notes: list[str]) -> None:
    """Say which locations of static fields are not read.

    Parameters
    ----------
    data : DataConfiguration
        The section.
    chosen : tuple of str
        Static fields that are read, by the names of `add_auxiliary`.
    notes : list of str
        Gets a line for each of the others.
    """
    for section, resolution in (("features_configuration", "low"), ("label_configuration", "high")):
        for key, kind in (("land_mask_location", "lsm"), ("orography_location", "orog")):
            part = getattr(data, section)
            if part is None or getattr(part, key) is None or f"{kind}-{resolution}" in chosen:
                continue
            notes.append(
                f"{_DATA}.{section}.{key} is not read: add_auxiliary.{kind}-{resolution} does not"
                " ask for it"
            )


def _with_mask(
    data: DataConfiguration, chosen: tuple[str, ...], notes: list[str]
) -> tuple[str, ...]:
    """Add a land–sea mask, by which fields are normalized."""
    if "lsm-high" in chosen or "lsm-low" in chosen:
        return chosen
    for section, name in (
        ("label_configuration", "lsm-high"),
        ("features_configuration", "lsm-low"),
    ):
        part = getattr(data, section)
        if part is not None and part.land_mask_location is not None:
            line = f"{_DATA}.{section}.land_mask_location is not read"
            notes[:] = [note for note in notes if not note.startswith(line)]
            notes.append(f"the network is told of {name} too, because the method is landmask-wise")
            return (name, *chosen)
    raise OptionError(
        f"{_DATA}: the method 'landmask-wise' needs a land–sea mask: give"
        " label_configuration.land_mask_location."
    )
