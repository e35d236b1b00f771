"""Noise is a function of where and when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdeepr.sampling.noise import CELL, NoiseKey, white_noise

KEY = NoiseKey(seed=7, realization=2, time=1_650_000_000, variable=0, stream=0)
GOLDEN = [0.92419976, 2.61018872, -0.60390055]


@given(
    top=st.integers(-200, 200),
    left=st.integers(-200, 200),
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    data=st.data(),
)
@settings(max_examples=30, deadline=None)
def test_any_window_is_a_cut_of_the_plane(top, left, height, width, data):
    whole = white_noise(KEY, (top, left), (height, width))
    y = data.draw(st.integers(0, height - 1))
    x = data.draw(st.integers(0, width - 1))
    part = white_noise(KEY, (top + y, left + x), (height - y, width - x))
    np.testing.assert_array_equal(part, whole[y:, x:])


def test_it_is_standard_normal_and_white():
    field = white_noise(KEY, (-37, 91), (512, 512)).astype(float)
    assert abs(field.mean()) < 4 / 512
    assert abs(field.std() - 1) < 0.01
    assert abs((field**4).mean() - 3) < 0.1
    for lag in (1, CELL - 1, CELL, CELL + 1):
        assert abs((field[lag:] * field[:-lag]).mean()) < 0.01
        assert abs((field[:, lag:] * field[:, :-lag]).mean()) < 0.01


@pytest.mark.parametrize(
    "change",
    [{"seed": 8}, {"realization": 3}, {"time": 1_650_000_001}, {"variable": 1}, {"stream": 1}],
)
def test_every_part_of_the_key_matters(change):
    from dataclasses import replace

    ours = white_noise(KEY, (0, 0), (128, 128))
    theirs = white_noise(replace(KEY, **change), (0, 0), (128, 128))
    assert abs(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]) < 0.03


def test_columns_wrap_around_the_globe():
    once = white_noise(KEY, (0, 0), (5, 1440), period=1440)
    across = white_noise(KEY, (0, 1400), (5, 100), period=1440)
    np.testing.assert_array_equal(across, np.concatenate([once[:, 1400:], once[:, :60]], axis=1))


def test_values_are_part_of_the_definition():
    """Another numpy may change its normal generator; then results change, and we must know."""
    np.testing.assert_allclose(white_noise(NoiseKey(0, 0, 0), (0, 0), (1, 3))[0], GOLDEN, rtol=1e-6)
