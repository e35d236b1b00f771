"""Windows are a function of seed and step, inside the domain, and see each time equally often."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdeepr.errors import TrainingError
from xdeepr.training.windows import Draw

SIDES = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(SIDES, SIDES, st.integers(1, 4), st.integers(0, 50), st.integers(0, 9))
def test_windows_lie_in_the_domain_on_the_grain(window, more, grain, step, seed):
    shape = tuple(n * grain for n in window)
    domain = tuple(n + m for n, m in zip(shape, more, strict=True))
    draw = Draw(seed, 3, domain, shape, 4, grain=grain)
    for time, block in draw.places(step):
        assert 0 <= time < 3
        for segment, size, n in zip((block.y, block.x), shape, domain, strict=True):
            assert segment.window.start % grain == 0
            assert segment.window.stop - segment.window.start == size
            assert segment.window.stop <= n


def test_a_step_sees_the_same_whenever_it_is_asked():
    ours, theirs = (Draw(7, 20, (40, 48), (16, 16), 6, covariate_dropout=0.5) for _ in range(2))
    for step in (11, 0, 3):
        assert ours.places(step) == theirs.places(step)
        np.testing.assert_array_equal(ours.keep(step), theirs.keep(step))
    assert ours.places(0) != ours.places(1)
    assert Draw(8, 20, (40, 48), (16, 16), 6).places(0) != ours.places(0)


def test_an_epoch_sees_each_time_equally_often():
    draw = Draw(1, 12, (32, 32), (16, 32), 8)
    assert (draw.windows_per_epoch, draw.steps_per_epoch) == (24, 3)
    for epoch in range(3):
        steps = range(3 * epoch, 3 * epoch + 3)
        times = [time for step in steps for time, _ in draw.places(step)]
        assert np.bincount(times).tolist() == [2] * 12


def test_the_share_of_windows_without_covariates():
    draw = Draw(1, 12, (32, 32), (16, 16), 500, covariate_dropout=0.3)
    assert np.mean([draw.keep(step) for step in range(20)]) == pytest.approx(0.7, abs=0.02)
    assert Draw(1, 12, (32, 32), (16, 16), 500).keep(0) is None


def test_no_time_to_train_on():
    with pytest.raises(TrainingError, match="validation"):
        Draw(1, 0, (32, 32), (16, 16), 4)
