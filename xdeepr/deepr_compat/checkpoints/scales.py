"""DeepR's ``training_scale.json``: means and deviations of predictors and target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from xdeepr.deepr_compat.untrusted import Section, read_json, validated
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.normalization import Affine

Method = Literal["domain-wise", "pixel-wise", "landmask-wise"]
"""Which cells share a mean and a deviation, as DeepR called it."""


class _Part(Section):
    """Means and deviations of predictors or target."""

    method: Method
    period: Literal["monthly"] = Field(alias="time-agg")
    average: Any
    standard_deviation: Any


class _File(Section):
    """The whole file."""

    features: _Part
    label: _Part


@dataclass(frozen=True)
class Scale:
    """How predictors and target were normalized.

    Parameters
    ----------
    features, label : Affine
        Of the one predictor and of the one predictand.
    """

    features: Affine
    label: Affine


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
        data, where = source, "scale="
    else:
        data, where = read_json(Path(source)), str(source)
    file = validated(_File, data, where)
    return Scale(
        _normalization(file.features, f"{where}: features", lr_shape),
        _normalization(file.label, f"{where}: label", hr_shape),
    )


def _normalization(part: _Part, where: str, shape: tuple[int, int]) -> Affine:
    """Return the normalization of one part of the file."""
    mean = _array(part.average, f"{where}.average", shape)
    std = _array(part.standard_deviation, f"{where}.standard_deviation", shape)
    if mean.shape != std.shape:
        raise CheckpointError(
            f"{where}: average and standard_deviation have the shapes {mean.shape} and"
            f" {std.shape}: they need the same."
        )
    by_cell = mean.shape[2] > 1 or mean.shape[3] > 1
    try:
        return Affine(mean, std, part.method if by_cell else "domain-wise")
    except OptionError as error:
        raise CheckpointError(f"{where}: {error}") from None


def _array(value: Any, where: str, shape: tuple[int, int]) -> np.ndarray:
    """Return numbers as (months, 1, y, x) with ascending rows."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{where} is not made of numbers ({error}).") from None
    if array.shape in ((), (1,), (12,)):
        return array.reshape(-1, 1, 1, 1)
    if array.shape in (shape, (12, *shape)):
        cells = array.reshape(-1, 1, *shape)
        return np.ascontiguousarray(cells[..., ::-1, :])
    raise CheckpointError(
        f"{where} has the shape {array.shape}: one number, 12 for the months, or the same"
        f" for each of {shape[0]} × {shape[1]} grid cells are needed."
    )
