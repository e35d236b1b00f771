"""Normalization and its inverse."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch

from xdeepr.normalization import Normalization


@pytest.fixture
def fields(rng) -> np.ndarray:
    scale = np.array([1.0, 30.0])[:, None, None]
    return (280 + scale * rng.standard_normal((20, 2, 8, 9))).astype(np.float32)


def test_fitted_data_has_mean_zero_and_deviation_one(fields):
    scaled = Normalization.fit(fields).apply(fields).astype(float)
    np.testing.assert_allclose(scaled.mean(axis=(0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=(0, 2, 3)), 1, rtol=1e-4)


def test_chunked_equals_whole(fields):
    ours = Normalization.fit(da.from_array(fields, chunks=(3, 1, 5, 4)))
    whole = Normalization.fit(fields)
    np.testing.assert_allclose(ours.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(ours.std, whole.std, rtol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_round_trip(fields, kind):
    normalization = Normalization.fit(fields)
    values = kind(fields)
    again = normalization.invert(normalization.apply(values))
    assert again.dtype == values.dtype
    np.testing.assert_allclose(again, fields, rtol=1e-6)


def test_constant_channel_is_only_shifted():
    constant = np.full((4, 1, 5, 5), 0.3, np.float32)
    normalization = Normalization.fit(constant)
    assert normalization.std == (1.0,)
    np.testing.assert_allclose(normalization.apply(constant), 0, atol=1e-6)
