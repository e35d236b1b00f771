"""Missing values: refuse them, or fill them and blank what they touch.

Networks need a number in every cell. Missing cells get the value of the nearest cell that has one,
in the same field at the same time, so that neighbours see something of the right size. What was
missing is missing in the result again (``"mask"``), or stays as the model makes it (``"fill"``).
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar, get_args

import dask.array as da
import numpy as np

from xdeepr import cf
from xdeepr.checks import one_of
from xdeepr.grids import Grid

Missing = Literal["error", "mask", "fill"]

Fields = TypeVar("Fields", np.ndarray, da.Array)


def check_missing(missing: str) -> None:
    """Refuse an unknown way to treat missing values."""
    one_of("missing", missing, get_args(Missing))


def filled(fields: Fields) -> Fields:
    """Return fields (..., y, x) with missing cells filled from their nearest neighbours.

    Lazy for dask. A field without any value stays as it is.
    """
    if isinstance(fields, da.Array):
        # the nearest neighbour must not depend on chunks
        whole = fields.rechunk({fields.ndim - 2: -1, fields.ndim - 1: -1})
        return whole.map_blocks(_filled, dtype=fields.dtype, meta=np.empty((0,) * fields.ndim))
    return _filled(fields)


def _filled(fields: np.ndarray) -> np.ndarray:
    """Fill numpy fields."""
    gaps = np.isnan(fields)
    if not gaps.any():
        return fields
    from scipy.ndimage import distance_transform_edt

    out = fields.copy()
    for index in np.ndindex(fields.shape[:-2]):
        gap = gaps[index]
        if gap.any() and not gap.all():
            rows, columns = distance_transform_edt(gap, return_distances=False, return_indices=True)
            out[index] = out[index][rows, columns]
    return out


def without_gaps(source: cf.Gridded[Grid]) -> cf.Gridded[Grid]:
    """Return gridded fields, backed by dask, with missing cells filled; all variables, lazy."""
    ds, axes = source.dataset, source.axes
    fields = {}
    for name in source.fields:
        field = cf.without_fill_values(ds[name]).transpose(..., axes.y, axes.x)
        if not np.issubdtype(field.dtype, np.floating):
            field = field.astype("float32")
        fields[name] = field.copy(data=filled(field.data)).assign_attrs(ds[name].attrs)
    return source.with_dataset(ds.assign(fields))


def under_gaps(lr: Any, factor: int, margin: tuple[int, int, int, int]) -> Any:
    """Return where HR cells lie in LR cells in which a predictor is missing, (time, 1, Y, X).

    The predictors are (time, predictor, y, x), numpy or dask; `margin` counts the HR cells to leave
    out on the low-y, high-y, low-x and high-x side.
    """
    gaps = np.isnan(lr).any(axis=1, keepdims=True)
    repeat = da.repeat if isinstance(gaps, da.Array) else np.repeat
    fine = repeat(repeat(gaps, factor, axis=-2), factor, axis=-1)
    height, width = fine.shape[-2:]
    return fine[..., margin[0] : height - margin[1], margin[2] : width - margin[3]]
