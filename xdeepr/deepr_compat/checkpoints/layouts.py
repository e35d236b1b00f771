"""Find out which of DeepR's layouts a folder has, and where its files are.

=================  ===========================================================================
``conv-swin2sr``   ``config.json`` (model type ``conv_swin2sr``), ``pytorch_model.bin`` or
                   ``model.safetensors``, sometimes ``training_scale.json``
``conv-baseline``  the same with model type ``convbilinear``
``diffusion``      ``config.json`` of a ``UNet2DModel``, ``diffusion_pytorch_model.safetensors``
                   or ``.bin``, sometimes ``scheduler_config.json``; or the folder of a
                   diffusers pipeline: ``model_index.json``, ``unet/``, ``scheduler/`` and perhaps
                   ``obs_model/``, which holds one of the two above
=================  ===========================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xdeepr.deepr_compat.untrusted import AGAIN, Section, read_json, validated
from xdeepr.errors import CheckpointError

Kind = Literal["conv-swin2sr", "conv-baseline", "diffusion"]

CONFIG, INDEX = "config.json", "model_index.json"
SCHEDULER, SCALE = "scheduler_config.json", "training_scale.json"

PIPELINE = "cDDPMPipeline"
"""DeepR's pipeline, the only one that is read."""

WEIGHTS: dict[Kind, tuple[str, ...]] = {
    "conv-swin2sr": ("model.safetensors", "pytorch_model.bin"),
    "conv-baseline": ("model.safetensors", "pytorch_model.bin"),
    "diffusion": ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"),
}
"""Names of the file of weights; the first that is there is read."""

_MODEL_TYPES: dict[str, tuple[Kind, str]] = {
    "conv_swin2sr": ("conv-swin2sr", "ConvSwin2SR"),
    "convbilinear": ("conv-baseline", "ConvBaseline"),
}


@dataclass(frozen=True)
class Layout:
    """The files of one model of DeepR.

    `config` is what ``config.json``, the `file`, says, unchecked; `base` is the model whose output
    is the diffusion's condition, instead of interpolated predictors.
    """

    kind: Kind
    config: Mapping[str, Any]
    file: Path
    weights: Path
    scale: Path | None = None
    scheduler: Path | None = None
    base: Layout | None = None


def is_legacy(folder: Path) -> bool:
    """Whether a folder looks like a checkpoint of DeepR or of the libraries it used."""
    return (folder / CONFIG).is_file() or (folder / INDEX).is_file()


def find_layout(folder: Path) -> Layout:
    """Return the files of a checkpoint of DeepR in a local folder."""
    if (folder / INDEX).is_file():
        return _pipeline(folder)
    if not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"{folder} has neither {CONFIG} nor {INDEX}: give the folder of a checkpoint of DeepR,"
            " as the Hub has it. A model of xdeepr itself is read with xdeepr.load(...)."
        )
    return _model(folder, scale=_if_there(folder / SCALE), scheduler=_if_there(folder / SCHEDULER))


def _model(folder: Path, *, scale: Path | None, scheduler: Path | None) -> Layout:
    """Return the files of one network."""
    file = folder / CONFIG
    config = read_json(file)
    kind = _kind(config, file)
    names = WEIGHTS[kind]
    weights = next((folder / name for name in names if (folder / name).is_file()), None)
    if weights is None:
        raise CheckpointError(
            f"{folder} has no weights: neither {' nor '.join(names)} is there; {AGAIN}, with all"
            " its files."
        )
    return Layout(kind, config, file, weights, scale, scheduler)


def _kind(config: Mapping[str, Any], file: Path) -> Kind:
    """Return which network a configuration is of, by the name that it gives itself."""
    model_type, name = config.get("model_type"), config.get("_class_name")
    if name == "UNet2DModel":
        return "diffusion"
    if isinstance(model_type, str) and model_type in _MODEL_TYPES:
        kind, wanted = _MODEL_TYPES[model_type]
        stated = config.get("architectures", [wanted])
        if stated != [wanted]:  # the first models of type "convbilinear" were another network
            raise CheckpointError(
                f"{file} is of a {stated!r}, an early network of DeepR that was given up: xdeepr"
                f" reads {wanted} of this model type; take the newest revision from the Hub."
            )
        return kind
    raise CheckpointError(
        f"{file} is of a {name or model_type or 'model without a name'!r}: of DeepR's networks"
        f" xdeepr reads {', '.join(name for _, name in _MODEL_TYPES.values())} and UNet2DModel."
    )


class _Index(Section):
    """The parts of a pipeline."""

    unet: Any
    scheduler: Any
    obs_model: Any = None


def _pipeline(folder: Path) -> Layout:
    """Return the files of a folder that a diffusers pipeline was saved to."""
    file = folder / INDEX
    index = {k: v for k, v in read_json(file).items() if k != "_diffusers_version"}
    name = index.pop("_class_name", None)
    if name != PIPELINE:
        raise CheckpointError(
            f"{file} is of the pipeline {name!r}: xdeepr reads only DeepR's own, {PIPELINE}."
        )
    validated(_Index, index, file)
    unet = _model(folder / "unet", scale=None, scheduler=None)
    if unet.kind != "diffusion":
        raise CheckpointError(f"{unet.file} is no UNet2DModel, which {PIPELINE} needs: {AGAIN}.")
    scheduler = folder / "scheduler" / SCHEDULER
    scale = _if_there(folder / SCALE)
    base = None
    if index.get("obs_model") not in (None, [None, None]):
        base = _model(folder / "obs_model", scale=scale, scheduler=None)
        if base.kind == "diffusion":
            raise CheckpointError(
                f"{base.file} is a diffusion model, whose output cannot be the condition of"
                " another one: obs_model has to be ConvSwin2SR or ConvBaseline."
            )
    return Layout(
        unet.kind, unet.config, unet.file, unet.weights, scale, _if_there(scheduler), base
    )


def _if_there(file: Path) -> Path | None:
    return file if file.is_file() else None
