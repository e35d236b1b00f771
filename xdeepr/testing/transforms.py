"""What every transform has to hold, checked on one of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from xdeepr.normalization import Transform, field_statistics, read_transform, write_transform

_EXTREMES = (-np.inf, -1e30, -50.0, -1.0, -1e-7, 0.0, 1e-7, 1.0, 50.0, 1e30, np.inf)
"""Latent values that a network could give."""


def check_transform(transform: Transform, *, seed: int = 0) -> None:
    """Raise unless a transform does what the rest of the package relies on.

    For float32 and float64: values come back from the round trip (those that the inverse does not
    bound), a second round trip changes nothing, the inverse keeps the bounds whatever it is given,
    neither direction decreases, missing values stay missing, numpy and torch agree, and the
    transform is the same after it was written as JSON and read again.

    Parameters
    ----------
    transform : Transform
        Of any number of channels; its kind is in :data:`xdeepr.normalization.TRANSFORMS`.
    seed : int, default: 0
        Of the values it is tried on.

    Raises
    ------
    AssertionError
        Names what does not hold.

    Examples
    --------
    >>> from xdeepr.normalization import Affine, Chain, Log
    >>> check_transform(Chain((Log(scale=0.1, dry=0.1), Affine([2.0], [3.0]))))
    """
    for dtype in (np.float32, np.float64):
        values = _physical(transform, np.random.default_rng(seed)).astype(dtype)
        where = _where(transform, values)
        _check_round_trip(transform, values, where)
        _check_bounds_and_order(transform, values, where)
        _check_torch(transform, values, where)
    _check_json(transform, values, where)


def _physical(transform: Transform, rng: np.random.Generator) -> np.ndarray:
    """Return values (12, C, y, x) that the transform takes to numbers of the size of 1."""
    shape = (12, transform.channels, *(transform.domain or (6, 5)))
    latent = rng.standard_normal(shape)
    statistics = np.stack([np.zeros(shape[:2]), np.ones(shape[:2])], axis=1)
    where = {**_where(transform, latent), "statistics": statistics}
    return transform.invert(latent, **where)


def _where(transform: Transform, values: np.ndarray) -> dict[str, Any]:
    """Return all that a transform may want to know of values of twelve months."""
    window = tuple(slice(0, n) for n in values.shape[-2:])
    statistics = field_statistics(values)
    return {"months": np.arange(1, 13), "window": window, "statistics": statistics}


def _check_round_trip(transform: Transform, values: np.ndarray, where: dict[str, Any]) -> None:
    gappy = values.copy()
    gappy[0, :, 0, 0] = np.nan
    latent = transform.apply(gappy, **where)
    again = transform.invert(latent, **where)
    for result in (latent, again):
        assert isinstance(result, np.ndarray), f"{type(result)} in place of an array"
        assert (result.dtype, result.shape) == (values.dtype, values.shape), "dtype or shape"
        missing = np.isnan(result)
        assert missing[0, :, 0, 0].all(), "a missing value was filled"
        assert missing.sum() == values.shape[1], "values were lost"
    size = np.abs(values).max(axis=(0, 2, 3), keepdims=True, initial=0)
    allowed = 64 * np.finfo(values.dtype).eps * np.maximum(size, 1e-30)
    free = np.ones(values.shape, bool)
    for channel in range(transform.channels):
        low, high = transform.bounds(channel)
        free[:, channel] = (again[:, channel] > low) & (again[:, channel] < high)
    off = np.where(free, np.abs(again - values), 0)
    assert (off <= allowed).all(), f"round trip: off by {np.nanmax(off):.3g}"
    twice = transform.invert(transform.apply(again, **where), **where)
    off = np.nan_to_num(np.abs(twice - again))
    assert (off <= allowed).all(), f"a second round trip changes values by {off.max():.3g}"


def _check_bounds_and_order(
    transform: Transform, values: np.ndarray, where: dict[str, Any]
) -> None:
    rows = np.concatenate([np.array(_EXTREMES, values.dtype), values.ravel()[:200]])
    before = np.full_like(values, -np.inf)
    for latent in np.sort(rows):
        with np.errstate(over="ignore", invalid="ignore"):  # inf comes of what no type holds
            found = transform.invert(np.full_like(values, latent), **where)
        for channel in range(transform.channels):
            low, high = (values.dtype.type(end) for end in transform.bounds(channel))
            inside = (found[:, channel] >= low) & (found[:, channel] <= high)
            assert inside.all(), f"invert({latent}) of channel {channel} leaves {low} to {high}"
        assert (found >= before).all(), f"the inverse decreases on the way to {latent}"
        before = found
    lower = np.minimum(values, values[::-1])
    pair = (transform.apply(field, **where) for field in (lower, values))
    assert np.less_equal(*pair).all(), "the transform decreases"


def _check_torch(transform: Transform, values: np.ndarray, where: dict[str, Any]) -> None:
    import torch

    tensor = torch.from_numpy(values)
    for way in (transform.apply, transform.invert):
        ours, theirs = way(values, **where), way(tensor, **where)
        assert isinstance(theirs, torch.Tensor), f"{type(theirs)} in place of a tensor"
        assert theirs.dtype == tensor.dtype, f"dtype {theirs.dtype}"
        bound = 16 * np.finfo(values.dtype).eps
        np.testing.assert_allclose(theirs.numpy(), ours, rtol=bound, atol=bound)


def _check_json(transform: Transform, values: np.ndarray, where: dict[str, Any]) -> None:
    text = json.dumps(write_transform(transform), allow_nan=False)
    again = read_transform(json.loads(text), transform.tensors())
    assert type(again) is type(transform), f"{type(again)} read from JSON"
    same = np.array_equal(again.apply(values, **where), transform.apply(values, **where))
    assert same, "the transform read from JSON gives other values"
