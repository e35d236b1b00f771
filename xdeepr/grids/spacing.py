"""Centres along an axis: without the noise of rounded digits, and those of parts of cells."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from xdeepr.errors import GridError

SPACING_TOLERANCE = 2e-2
"""Deviation from even spacing, in cells, that rounded coordinates may have."""

STRETCH_TOLERANCE = 3e-2
"""Relative deviation of any spacing from the mean one, as on Gaussian grids."""


def denoised(values: np.ndarray, name: str) -> np.ndarray:
    """Return ascending float64 centres without the noise of rounding; refuse uneven ones.

    What rounding explains is made even. What it does not explain is kept where the spacing varies
    by little, as that of Gaussian latitudes does near the poles.
    """
    step = _step(values)
    even = values[0] + step * np.arange(values.size)
    off = np.abs(values - even)
    worst = int(np.argmax(off))
    steps = np.diff(values)
    smooth = step > 0 and bool((np.abs(steps / step - 1) <= STRETCH_TOLERANCE).all())
    if smooth and off[worst] > _rounding(values, step):
        return values
    if not step > 0 or off[worst] > SPACING_TOLERANCE * step:
        ends = f"{values[0]:.6g}, {values[-1]:.6g}, {values.size}"
        raise GridError(
            f"{name!r} is not evenly spaced (near {values[worst]:g}): interpolate to an evenly"
            f" spaced axis first, for example ds.interp({name}=np.linspace({ends})), or select the"
            " part that is evenly spaced."
        )
    return even


def _rounding(values: np.ndarray, step: float) -> float:
    """Return how far a coordinate may be off by being written with few digits."""
    single = float(np.spacing(np.float32(np.abs(values).max())))
    tolerance = 1e-9 * float(np.abs(values).max()) + 1e-12
    if np.array_equal(values, values.astype(np.float32)):
        tolerance = single
    digits = next(
        (n for n in range(9) if np.abs(values - values.round(n)).max() <= tolerance), None
    )
    decimal = 0.0 if digits is None else 10.0**-digits
    return max(1e-3 * step, 2 * tolerance, decimal)


def _step(centres: np.ndarray) -> float:
    """Return the step of a coordinate.

    Single precision knows it poorly: from two cells at 350 degrees a step of 0.1 comes out wrong
    by 3e-4, which is a whole cell when `Grid.origin` counts from 0. So of all the steps that fit,
    one that is a simple fraction is taken.
    """
    step = float(centres[-1] - centres[0]) / (centres.size - 1)
    rounding = float(np.spacing(np.float32(np.abs(centres).max()))) / (centres.size - 1)
    if not step > rounding or not np.array_equal(centres, centres.astype(np.float32)):
        return step
    fractions = (Fraction(step).limit_denominator(10**digits) for digits in range(9))
    return next((float(f) for f in fractions if abs(f - step) <= rounding), step)


def fine_positions(size: int, factor: int) -> np.ndarray:
    """Return where the centres of the parts of cells lie, counted in cells from the first centre.

    Each of the `size` cells has `factor` parts.
    """
    return (np.arange(size * factor) + 0.5) / factor - 0.5


def along(values: np.ndarray, axis: int, positions: np.ndarray) -> np.ndarray:
    """Interpolate linearly in cells along one axis; beyond the ends with the last slope."""
    low = np.clip(np.floor(positions).astype(int), 0, values.shape[axis] - 2)
    weight = (positions - low).reshape([-1 if k == axis else 1 for k in range(values.ndim)])
    first = values.take(low, axis)
    return first + weight * (values.take(low + 1, axis) - first)
