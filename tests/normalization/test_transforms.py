"""Transforms of single values and chains: round trips, bounds, and what a card keeps of them."""

from __future__ import annotations

import json

import dask
import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xdeepr.errors import OptionError
from xdeepr.normalization import (
    METHODS,
    Affine,
    Chain,
    Log,
    Sqrt,
    Transform,
    read_transform,
    write_transform,
)
from xdeepr.testing import check_transform

KINDS = (Log, Sqrt)
WRAP = {"numpy": np.asarray, "torch": torch.as_tensor, "dask": da.from_array}


def fitted(rng, method: str, by_month: bool, channels: int = 1) -> Affine:
    fields = (3 + 2 * rng.standard_normal((60, channels, 4, 5))).astype(np.float32)
    months = np.resize(np.arange(1, 13), 60)
    land = rng.random((4, 5)) > 0.5
    return Affine.fit(fields, months=months, by_month=by_month, method=method, land=land)


# --- what every transform holds --------------------------------------------------------------


@pytest.mark.parametrize("by_month", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_affine_conforms(rng, method, by_month):
    check_transform(fitted(rng, method, by_month, channels=2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dry", [(0.0, 0.0), (0.1, 2.0)])
def test_elementwise_transforms_conform(kind, dry):
    check_transform(kind(scale=(0.1, 3.0), dry=dry))
    check_transform(kind(scale=(None, 3.0), dry=dry))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_chains_conform(rng, kind, method):
    check_transform(Chain((kind(scale=2.0, dry=0.1), fitted(rng, method, by_month=True))))
    check_transform(Chain((Affine([-5.0], [2.0]), kind(scale=0.5), Affine([1.0], [3.0]))))


def test_the_check_finds_what_is_wrong():
    class Leaky(Log):
        def invert(self, values, **where):
            return super().invert(values, **where) - 1

    class Falling(Affine):
        def apply(self, values, **where):
            return -super().apply(values, **where)

    for wrong in (Leaky(1.0), Falling([0.0], [1.0])):
        with pytest.raises(AssertionError):
            check_transform(wrong)


# --- properties ------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    arrays(np.float64, (3, 2), elements=st.floats(0, 1e6)),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(["numpy", "torch"]),
    st.floats(1e-3, 1e3),
    st.sampled_from([0.0, 0.1, 1.0]),
)
def test_wet_values_come_back_and_dry_ones_are_exactly_nothing(values, dtype, wrap, scale, dry):
    values = values[:, None, None].astype(dtype)
    for kind in KINDS:
        transform = kind(scale, dry)
        again = np.asarray(transform.invert(transform.apply(WRAP[wrap](values))))
        threshold = np.dtype(dtype).type(dry)
        clear = np.abs(values - threshold) > 1e-4 * threshold  # beyond the rounding of g
        wet = clear & (values >= threshold)
        # an error of one unit in z = ln(1 + x/s) is z units of x, and of x + s
        allowed = 64 * np.finfo(dtype).eps * (values + scale)
        assert (np.abs(again - values) <= allowed)[wet].all()
        assert (again[clear & ~wet] == 0).all()
        assert ((again == 0) | (again >= threshold)).all()


@settings(deadline=None)
@given(
    arrays(np.float32, (5, 1), elements=st.floats(width=32, allow_nan=True)),
    st.sampled_from(["numpy", "torch"]),
    st.sampled_from([0.0, 0.25]),
)
def test_no_latent_value_leaves_the_bounds(latent, wrap, dry):
    latent = latent[:, None, None]
    for kind in KINDS:
        chain = Chain((kind(0.5, dry), Affine([0.3], [1.7])))
        found = np.asarray(chain.invert(WRAP[wrap](latent)))
        low, high = chain.bounds(0)
        assert (low, high) == (0, np.inf)
        missing = np.isnan(latent)
        assert (np.isnan(found) == missing).all()
        kept = found[~missing]
        assert ((kept == 0) | (kept >= dry)).all()
        order = np.argsort(latent[~missing])
        assert (kept[order][1:] >= kept[order][:-1]).all()


def test_formulas(rng):
    values = rng.gamma(0.5, 8.0, (4, 1, 6, 7))
    np.testing.assert_allclose(Log(0.2).apply(values), np.log(1 + values / 0.2), rtol=1e-12)
    np.testing.assert_allclose(Sqrt(4.0).apply(values), np.sqrt(values) / 2, rtol=1e-12)
    np.testing.assert_array_equal(Sqrt(4.0).apply(-values), 0)


def test_a_channel_without_a_scale_is_left_as_it_is(rng):
    """Temperature beside rain: far beyond what exp can take."""
    values = rng.uniform(250, 300, (2, 2, 3, 3)).astype(np.float32)
    for wrap in ("numpy", "torch"):
        log = Log(scale=(None, 0.1), dry=(0, 0.1))
        latent = log.apply(WRAP[wrap](values))
        back = np.asarray(log.invert(latent))
        np.testing.assert_array_equal(np.asarray(latent)[:, 0], values[:, 0])
        np.testing.assert_array_equal(back[:, 0], values[:, 0])
        np.testing.assert_allclose(back[:, 1], values[:, 1], rtol=1e-5)
    assert (log.bounds(0), log.bounds(1)) == ((-np.inf, np.inf), (0, np.inf))


def test_a_chain_goes_to_the_right_and_back(rng):
    values = rng.gamma(1.0, 3.0, (4, 1, 6, 7))
    log, affine = Log(1.0), Affine([0.5], [2.0])
    chain = Chain((log, affine))
    np.testing.assert_array_equal(chain.apply(values), affine.apply(log.apply(values)))
    latent = rng.standard_normal(values.shape)
    np.testing.assert_array_equal(chain.invert(latent), log.invert(affine.invert(latent)))
    assert Chain((Chain((log,)), affine)) == chain
    np.testing.assert_array_equal(Chain((affine,)).apply(values), affine.apply(values))


def test_bounds_of_a_chain_are_those_of_the_composition():
    """Degrees above absolute zero, as a shift before a root."""
    chain = Chain((Affine([-273.15], [1.0]), Sqrt(1.0), Affine([10.0], [2.0])))
    assert chain.bounds(0) == (-273.15, np.inf)
    assert chain.bounds(0, (0.0, 1.0)) == (100 - 273.15, 144 - 273.15)


# --- lazily ----------------------------------------------------------------------------------


def test_dask_arrays_are_mapped_lazily_and_read_once(rng):
    values = rng.gamma(0.5, 8.0, (12, 2, 4, 4)).astype(np.float32)
    seen = []

    def read(block: np.ndarray, block_info=None) -> np.ndarray:
        seen.append(block_info[0]["chunk-location"])
        return block

    lazy = da.from_array(values, chunks=(5, 1, 4, 2))
    lazy = lazy.map_blocks(read, meta=np.empty((0,) * 4, np.float32))
    log = Log(scale=(0.1, None))
    with dask.config.set(scheduler="synchronous"):
        latent = log.apply(lazy)
        assert isinstance(latent, da.Array)
        assert seen == []
        affine = Affine.fit(latent)
        assert sorted(seen) == sorted(np.ndindex(lazy.numblocks))
        chain = Chain((log, affine))
        found = chain.apply(lazy)
        assert (found.dtype, found.chunks) == (np.float32, lazy.chunks)
        np.testing.assert_allclose(found.compute(), chain.apply(values), rtol=1e-6)
    np.testing.assert_allclose(affine.mean, Affine.fit(log.apply(values)).mean, rtol=1e-6)


# --- on disk ---------------------------------------------------------------------------------


def written(transform: Transform) -> dict:
    return json.loads(json.dumps(write_transform(transform), allow_nan=False))


def test_an_affine_transform_alone_is_written_as_it_always_was():
    assert written(Affine([280.0], [12.0])) == {
        "method": "domain-wise", "shape": [1, 1, 1, 1], "mean": [280.0], "std": [12.0],
    }  # fmt: skip


def test_a_chain_is_written_by_name_with_its_arrays_aside(rng):
    cells = Affine(rng.random((1, 1, 70, 70)), 1 + rng.random((1, 1, 70, 70)), method="pixel-wise")
    chain = Chain((Log(0.1, 0.2), cells))
    assert written(chain) == {
        "name": "chain",
        "transforms": [
            {"name": "log", "scale": [0.1], "dry": [0.2]},
            {"name": "affine", "method": "pixel-wise", "shape": [1, 1, 70, 70],
             "mean": {"tensor": True}, "std": {"tensor": True}},
        ],
    }  # fmt: skip
    assert set(chain.tensors()) == {"1/mean", "1/std"}
    assert read_transform(written(chain), chain.tensors()) == chain


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "lgo", "scale": [1.0]}, "unknown transform 'lgo'; nearest names: log"),
        ({"name": 3}, "unknown transform 3"),
        ({"name": "log"}, "scale"),
        ({"name": "log", "scale": [1.0], "base": [2]}, "base"),
        ({"name": "log", "scale": 1.0}, "iterable"),
        ({"name": "log", "scale": "12"}, "one number for each channel"),
        ({"name": "log", "scale": [-1.0]}, "numbers above 0"),
        ({"name": "log", "scale": [1.0], "dry": [-1.0]}, "0 or more"),
        ({"name": "sqrt", "scale": [1.0], "dry": [1.0, 2.0]}, "one for each channel"),
        ({"name": "sqrt", "scale": [True]}, "one number for each channel"),
        ({"name": "sqrt", "scale": []}, "one for each channel"),
        ({"name": "chain", "transforms": []}, "one at least"),
        ({"name": "chain"}, "transforms and nothing else"),
        ({"name": "chain", "transforms": {"name": "log"}}, "transforms and nothing else"),
        ({"name": "chain", "transforms": [{"mean": [0.0]}]}, "std"),
        (
            {"name": "chain", "transforms": [{"name": "log", "scale": [1.0]},
                                             {"name": "sqrt", "scale": [1.0, 2.0]}]},
            "same channels, not log of 1, sqrt of 2",
        ),
    ],
)  # fmt: skip
def test_malformed_data_is_refused(data, message):
    with pytest.raises((KeyError, TypeError, ValueError), match=message):
        read_transform(data)


def test_a_chain_fits_one_domain():
    cells = [
        Affine(np.zeros((1, 1, n, 3)), np.ones((1, 1, n, 3)), method="pixel-wise") for n in (2, 4)
    ]
    with pytest.raises(OptionError, match="domains of other sizes"):
        Chain(tuple(cells))
    assert Chain((Log(1.0), cells[0])).domain == (2, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_values(kind):
    with pytest.raises(OptionError, match="1 channels"):
        kind(1.0).apply(np.zeros((2, 2, 2)))
    with pytest.raises(OptionError, match="floating point"):
        kind(1.0).invert(np.zeros((1, 2, 2), int))
    with pytest.raises(TypeError, match="month"):
        kind(1.0).apply(np.zeros((1, 2, 2)), month=np.ones(1))
