"""The ``config.json`` that DeepR's ``save_pretrained`` wrote: known keys, and sizes that nest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from xdeepr.checks import nearest
from xdeepr.errors import CheckpointError

WITHOUT_EFFECT = frozenset(
    {"architectures", "dtype", "model_type", "torch_dtype", "transformers_version"}
    | {"_name_or_path", "hidden_size", "num_attention_heads", "num_hidden_layers", "num_layers"}
    | {"initializer_range", "out_channels", "patch_norm", "path_norm", "return_dict"}
    | {"chunk_size_feed_forward", "output_attentions", "output_hidden_states"}
)
"""Keys of a ``config.json`` that change no number of a network whose sizes are given."""


def check_config(
    config: Mapping[str, Any],
    model_type: str,
    known: Collection[str],
    without_effect: Collection[str] = (),
) -> None:
    """Refuse a published ``config.json`` of another model type, or with keys that are not known.

    Known are those that are read, those of this model without effect, and :data:`WITHOUT_EFFECT`.
    """
    other = config.get("model_type", model_type)
    if other != model_type:
        raise CheckpointError(
            f"config.json is of the model type {other!r}, where {model_type!r} is needed: choose"
            " the network that it belongs to."
        )
    unknown = sorted(set(config) - set(known) - set(without_effect) - WITHOUT_EFFECT)
    if unknown:
        pairs = ", ".join(f"{key} (nearest: {nearest(key, known)[0]})" for key in unknown)
        raise CheckpointError(
            f"config.json of a {model_type} has keys that are not known: {pairs}. They may change"
            " what the network does: correct them, or delete those that change nothing."
        )


def whole_number_of(config: Mapping[str, Any], key: str, default: int) -> int:
    """Return a whole number, from 0, of a configuration; null counts as missing."""
    value = default if config.get(key) is None else config[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise CheckpointError(f"config.json: {key} is {value!r}, where a whole number is due.")
    return value


def pair_of(config: Mapping[str, Any], key: str) -> tuple[int, int] | None:
    """Return height and width of a configuration; one number stands for both."""
    value = config.get(key)
    if value is None:
        return None
    pair = [value, value] if isinstance(value, int) else list(value)
    if len(pair) != 2 or any(not isinstance(n, int) or n < 1 for n in pair):
        raise CheckpointError(f"config.json: {key} is {value!r}, where height and width are due.")
    return pair[0], pair[1]


def hr_shape_of(config: Mapping[str, Any], factor: int) -> tuple[int, int] | None:
    """Return the size of the HR fields, or what follows from ``image_size``, the LR cells in it."""
    hr_shape, cells = pair_of(config, "sample_size"), pair_of(config, "image_size")
    if hr_shape is None and cells is not None and factor:
        return cells[0] * factor, cells[1] * factor
    return hr_shape


def context_of(lr_shape: tuple[int, int], hr_shape: tuple[int, int], factor: int) -> int:
    """Return the LR cells around the HR fields, which must be as many on each side."""
    twice = {
        cells - pixels // factor if pixels % factor == 0 else -1
        for cells, pixels in zip(lr_shape, hr_shape, strict=True)
    }
    if len(twice) > 1 or min(twice) < 0 or min(twice) % 2:
        raise CheckpointError(
            f"config.json: {lr_shape[0]} by {lr_shape[1]} LR cells around {hr_shape[0]} by"
            f" {hr_shape[1]} HR pixels, {factor} to a cell, do not leave the same number of cells"
            " on all four sides, which xdeepr needs."
        )
    return twice.pop() // 2
