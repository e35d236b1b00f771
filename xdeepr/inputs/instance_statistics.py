"""Mean and deviation of each interpolated field, for models that normalize field by field."""

from __future__ import annotations

import dask.array as da
import numpy as np

from xdeepr.normalization.moments import statistics_of_parts
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import Block, Segment, Span

_AT_A_TIME = 2**22
"""HR pixels that are interpolated at a time to find the mean of a field."""


def lazy_statistics(lr: da.Array, geometry: Geometry) -> da.Array:
    """Return :func:`interpolated_statistics` of a dask array, lazily."""
    one_field = lr.rechunk({1: -1, 2: -1, 3: -1})
    return da.map_blocks(
        interpolated_statistics,
        one_field,
        geometry=geometry,
        dtype=np.float64,
        drop_axis=[2, 3],
        chunks=(one_field.chunks[0], (2,), (lr.shape[1],)),
        new_axis=[2],
        meta=np.empty((0, 0, 0)),
    )


def interpolated_statistics(lr: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return mean and deviation of each field after interpolation to the HR domain.

    Fields (time, predictor, y, x) on the whole LR domain give an array (time, 2, predictor).
    """
    import torch

    height, width = geometry.hr_shape
    columns = Segment(Span(0, width), (Span(0, width),))
    rows = max(1, _AT_A_TIME // width)
    bands = [Span(first, min(first + rows, height)) for first in range(0, height, rows)]

    def fine(field: np.ndarray, band: Span) -> np.ndarray:
        block = Block(Segment(band, (band,)), columns)
        y, x = geometry.lr_windows_of_fine(block)
        part = torch.from_numpy(field[None, :, y.slice, x.slice])
        return geometry.interpolate_fine(part, block, "bicubic")[0].numpy()

    fields = np.ascontiguousarray(lr, dtype=np.float32)
    return np.stack([statistics_of_parts(fine(f, band) for band in bands) for f in fields])
