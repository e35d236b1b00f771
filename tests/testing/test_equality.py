"""Equality is no finer than float32, and no coarser than 1e-5 deviations elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from xdeepr.testing import ULPS, assert_same_field, tolerance


def test_a_calm_warm_field_may_differ_by_units_of_its_type(rng):
    calm = (280 + 0.1 * rng.standard_normal((8, 9))).astype(np.float32)
    unit = np.spacing(np.float32(280))
    assert_same_field(calm + ULPS * unit, calm)
    with pytest.raises(AssertionError, match="differ by"):
        assert_same_field(calm + (ULPS + 1) * unit, calm)


def test_a_lively_field_may_differ_by_a_share_of_its_deviation(rng):
    wind = 10 * rng.standard_normal((40, 50))
    allowed = 1e-5 * wind.std()
    assert (tolerance(wind) == allowed)[abs(wind) < 1].all()
    assert_same_field(wind + 0.99 * allowed, wind)
    with pytest.raises(AssertionError, match="2000 values are off"):
        assert_same_field(wind + 1e-3, wind)


def test_one_wrong_value_is_found_and_named(rng):
    field = rng.standard_normal((5, 6))
    spoiled = field.copy()
    spoiled[3, 4] += 0.01
    with pytest.raises(AssertionError, match=r"at \(3, 4\)"):
        assert_same_field(spoiled, field)


def test_missing_and_infinite_values_have_to_agree():
    assert_same_field([np.nan, np.inf, 1.0], [np.nan, np.inf, 1.0])
    for other in ([0.0, np.inf, 1.0], [np.nan, -np.inf, 1.0], [np.nan, 3.0, 1.0]):
        with pytest.raises(AssertionError):
            assert_same_field(other, [np.nan, np.inf, 1.0])


def test_shapes_are_not_broadcast():
    with pytest.raises(AssertionError, match="shapes"):
        assert_same_field(np.zeros((2, 3)), np.zeros((1, 3)))
