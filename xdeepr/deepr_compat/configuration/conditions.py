"""Normalization, static covariates and time features that a configuration asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xdeepr.checks import nearest
from xdeepr.deepr_compat.configuration.networks import Translated
from xdeepr.deepr_compat.configuration.schema import (
    PARAMETERS,
    TrainingConfiguration,
    TrainingParameters,
)
from xdeepr.deepr_compat.configuration.schema_data import (
    STATICS,
    DataConfiguration,
    Standardization,
)
from xdeepr.deepr_compat.configuration.section import note
from xdeepr.errors import OptionError

_DATA = "data_configuration"
_AUXILIARY = f"{_DATA}.features_configuration.add_auxiliary"

_LABELS: dict[str, dict[str, Any]] = {
    "class": {"num_class_embeds": 24, "class_embed_type": None},
    "positional": {"num_class_embeds": None, "class_embed_type": "identity"},
    "timestep": {"num_class_embeds": None, "class_embed_type": "timestep"},
    "none": {"num_class_embeds": None, "class_embed_type": None},
    "cyclical": {"num_class_embeds": None, "class_embed_type": None},
}
"""Encoding of the hour -> the keywords that a network of diffusers needs for it."""


def scaling(data: DataConfiguration, parameters: TrainingParameters) -> dict[str, Any]:
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


def time_features(
    training: TrainingConfiguration,
    parameters: TrainingParameters,
    translated: Translated,
    path: str,
) -> dict[str, str]:
    """Return ``time_features`` of `fit`, compared with the keywords of the network."""
    encodings = parameters.encodings()
    key = f"{PARAMETERS}.hour_embed_type"
    if training.type == "autoencoder":
        if encodings != {"hour": "none"}:
            note(f"{key} has no counterpart: an autoencoder is not conditioned on the time")
        return {}
    needed = _LABELS[encodings["hour"]]
    for keyword, value in translated.labels.items():
        if value != needed[keyword]:
            raise OptionError(
                f"{path}.kwargs.{keyword} is {value!r}, but {key} is {encodings['hour']!r}, which"
                f" needs {needed[keyword]!r}: leave {keyword} out, it follows from hour_embed_type."
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


def static_covariates(
    data: DataConfiguration,
    training: TrainingConfiguration,
    parameters: TrainingParameters,
    options: Mapping[str, Any],
) -> tuple[str, ...]:
    """Return the static covariates, by the names of `add_auxiliary`.

    The keywords of `fit` so far say whether the normalization needs a mask.
    """
    features, auxiliary = data.features_configuration, data.asked_statics()
    unused = set(parameters.encodings().values()) == {"none"}
    if features is not None and features.add_auxiliary.time and unused:
        note(f"{_AUXILIARY}.time has no effect: {PARAMETERS}.hour_embed_type is 'none'")
    chosen = auxiliary
    if parameters.static_covariables is not None:
        chosen = tuple(map(_static_name, parameters.static_covariables))
        for name in auxiliary:
            if name not in chosen:
                note(
                    f"{_AUXILIARY}.{name} has no effect: {PARAMETERS}.static_covariables does not"
                    " list it"
                )
    if training.type == "autoencoder" and chosen:
        note(f"{_DATA}: static fields have no effect: an autoencoder has no covariates")
        chosen = ()
    if options.get("normalization") == "landmask-wise":
        chosen = _with_mask(data, chosen)
    unread_statics(data, chosen)
    return chosen


def _static_name(name: str) -> str:
    """Read "lsm" and "orog" as the fine ones."""
    full = f"{name}-high" if name in ("lsm", "orog") else name
    if full not in STATICS:
        near = nearest(name, STATICS, count=1)[0]
        raise OptionError(f"{PARAMETERS}.static_covariables: {name!r} is unknown. Nearest: {near}")
    return full


def unread_statics(data: DataConfiguration, chosen: tuple[str, ...]) -> None:
    """Say which locations of static fields are not read, those not chosen."""
    for section, resolution in (("features_configuration", "low"), ("label_configuration", "high")):
        for key, kind in (("land_mask_location", "lsm"), ("orography_location", "orog")):
            there = getattr(getattr(data, section), key, None) is not None
            if there and f"{kind}-{resolution}" not in chosen:
                note(
                    f"{_DATA}.{section}.{key} is not read: add_auxiliary.{kind}-{resolution} does"
                    " not ask for it"
                )


def _with_mask(data: DataConfiguration, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Add a land–sea mask, by which fields are normalized."""
    if "lsm-high" in chosen or "lsm-low" in chosen:
        return chosen
    there = {"label_configuration": "lsm-high", "features_configuration": "lsm-low"}
    for section, name in there.items():
        if getattr(getattr(data, section), "land_mask_location", None) is not None:
            note(f"{name} is a condition of the network too, because the method is landmask-wise")
            return (name, *chosen)
    raise OptionError(
        f"{_DATA}: the method 'landmask-wise' needs a land–sea mask: give"
        " label_configuration.land_mask_location."
    )
