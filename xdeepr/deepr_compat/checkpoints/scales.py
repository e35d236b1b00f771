"""DeepR's ``training_scale.json``: means and deviations of predictors and target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xdeepr.deepr_compat.checkpoints.configs import check_keys, read_json
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.normalization import Normalization

METHODS = ("domain-wise", "pixel-wise", "landmask-wise")
"""Methods that DeepR knew."""

_KEYS = ("method", "time-agg", "average", "standard_deviation")


@dataclass(frozen=True)
class Scale:
    """How predictors and target were normalized.

    Parameters
    ----------
    features, label : Normalization
        Of the one predictor and of the one predictand.
    """

    features: Normalization
    label: Normalization


def read_scale(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    lr_shape: tuple[int, int],
    hr_shape: tuple[int, int],
) -> Scale:
    """Read a scale.

    Parameters
    ----------
    source : path-like or mapping
        The file, or what it holds: ``features`` and ``label``, each with ``method``, ``time-agg``
        ("monthly"), ``average`` and ``standard_deviation``. These two are a number, 12 numbers
        (January first), or the same for each grid cell, shape (y, x) or (12, y, x) with the
        northernmost row first.
    lr_shape, hr_shape : tuple of int
        Sizes of the domains, for scales by grid cell.

    Returns
    -------
    Scale
        With ascending rows.

    Raises
    ------
    CheckpointError
        If a key, a number or a shape is wrong.
    """
    if isinstance(source, Mapping):
        data, file = dict(source), Path("scale=")
    else:
        file = Path(source)
        data = read_json(file)
    check_keys(data, file, required=("features", "label"))
    return Scale(
        _normalization(data["features"], "features", file, lr_shape),
        _normalization(data["label"], "label", file, hr_shape),
    )


def _normalization(entry: Any, role: str, file: Path, shape: tuple[int, int]) -> Normalization:
    """Return the normalization of one entry of the file."""
    if not isinstance(entry, Mapping):
        raise CheckpointError(f"{file}: {role!r} is {entry!r}, where an object is needed.")
    check_keys(entry, file, required=_KEYS)
    method, period = entry["method"], entry["time-agg"]
    if method not in METHODS or period != "monthly":
        raise CheckpointError(
            f"{file}: {role!r} is scaled {method!r} and {period!r}: xdeepr reads"
            f" {', '.join(METHODS)}, each 'monthly', as DeepR wrote them."
        )
    mean, std = (_array(entry[key], f"{role}.{key}", file, shape) for key in _KEYS[2:])
    if mean.shape != std.shape:
        raise CheckpointError(
            f"{file}: average and standard_deviation of {role!r} have the shapes {mean.shape} and"
            f" {std.shape}: they need the same."
        )
    by_cell = mean.shape[2] > 1 or mean.shape[3] > 1
    try:
        return Normalization(mean, std, method if by_cell else "domain-wise")
    except OptionError as error:
        raise CheckpointError(f"{file}: {role!r}: {error}") from None


def _array(value: Any, what: str, file: Path, shape: tuple[int, int]) -> np.ndarray:
    """Return numbers as (months, 1, y, x) with ascending rows."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{file}: {what} is not made of numbers ({error}).") from None
    if array.shape in ((), (1,), (12,)):
        return array.reshape(-1, 1, 1, 1)
    if array.shape in (shape, (12, *shape)):
        cells = array.reshape(-1, 1, *shape)
        return np.ascontiguousarray(cells[..., ::-1, :])
    raise CheckpointError(
        f"{file}: {what} has the shape {array.shape}: one number, 12 for the months, or the same"
        f" for each of {shape[0]} × {shape[1]} grid cells are needed."
    )
