"""When two fields are the same: to what their type and the order of sums allow, and no finer."""

from __future__ import annotations

from typing import Any

import numpy as np

SHARE_OF_DEVIATION = 1e-5
"""Difference that sums taken in another order may make, in standard deviations of the field."""

ULPS = 4
"""Units in the last place of a float32 value that always count as equal: no type holds less."""


def tolerance(reference: Any) -> np.ndarray:
    """Return by how much a field may differ from a reference and still be the same.

    1e-5 of the field's standard deviation, or 4 units in the last place of the value as float32,
    whichever is greater. Both are needed: at 280 K one unit is 3e-5 K, more than the first of a
    calm field, and near 0 m/s a unit is nothing.

    Parameters
    ----------
    reference : array-like
        A physical field of any shape. NaN is left out of the standard deviation.

    Returns
    -------
    numpy.ndarray
        float64, of the shape of `reference`; 0 where it is not finite.
    """
    values = np.asarray(reference, dtype=np.float64)
    known = np.isfinite(values)
    deviation = float(values[known].std()) if known.any() else 0.0
    units = np.spacing(np.abs(np.where(known, values, 0)).astype(np.float32)).astype(np.float64)
    return np.where(known, np.maximum(SHARE_OF_DEVIATION * deviation, ULPS * units), 0.0)


def assert_same_field(found: Any, reference: Any) -> None:
    """Raise unless two fields are the same to :func:`tolerance`.

    Parameters
    ----------
    found, reference : array-like
        Of the same shape; missing values have to be in the same places.

    Raises
    ------
    AssertionError
        Names the worst place, the difference there and what is allowed.

    Examples
    --------
    >>> assert_same_field([280.0, 281.0], [280.0, 281.00003])
    """
    found, reference = (np.asarray(a, dtype=np.float64) for a in (found, reference))
    if found.shape != reference.shape:
        raise AssertionError(f"shapes differ: {found.shape} and {reference.shape}")
    if not np.array_equal(np.isnan(found), np.isnan(reference)):
        raise AssertionError("values are missing in other places")
    # what is not finite has to be the same, and then differs by nothing
    off = np.where(found == reference, 0.0, np.abs(found - reference))
    off = np.where(np.isnan(found), 0.0, off)
    allowed = tolerance(reference)
    if not (off <= allowed).all():
        excess = off - allowed
        worst = np.unravel_index(int(np.argmax(excess)), excess.shape)
        raise AssertionError(
            f"fields differ by {off[worst]:.3g} at {tuple(map(int, worst))}"
            f" ({found[worst]:.9g} and {reference[worst]:.9g}), where {allowed[worst]:.3g} is"
            f" allowed; {np.count_nonzero(off > allowed)} of {off.size} values are off"
        )
