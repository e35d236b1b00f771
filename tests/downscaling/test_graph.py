"""The graph: which tasks there are and what they hold."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdeepr.downscaling.graph import Arrays, Chunking, Recipe, Source, lazy_blocks, resolve_device
from xdeepr.errors import MissingValuesError
from xdeepr.inputs.quantities import Quantity
from xdeepr.inputs.times import Times
from xdeepr.sampling.samplers import Sampler, SamplingOptions
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import make_plan


@given(
    times=st.integers(1, 5000),
    members=st.integers(1, 60),
    blocks=st.integers(1, 50),
    tiles=st.integers(1, 300),
    batch=st.integers(1, 64),
    edge=st.integers(8, 1100),
)
def test_chunks_cover_all_and_stay_small(times, members, blocks, tiles, batch, edge):
    field = 4 * edge**2
    chunking = Chunking.for_batches(times, members, blocks, tiles, batch, field)
    assert sum(chunking.times) == times
    assert sum(chunking.realizations) == members
    fields = chunking.times[0] * chunking.realizations[0]
    assert fields == 1 or fields * field <= 2**27
    assert len(set(chunking.times[:-1])) <= 1  # equal but for the last


def test_a_long_series_does_not_make_a_long_graph():
    """Ten years of hours with ten members: tens of thousands of tasks, not a million."""
    chunking = Chunking.for_batches(87_600, 10, 1, 1, 1, 4 * 40 * 48)
    assert len(chunking.times) * len(chunking.realizations) <= 40_000
    full = Chunking.for_batches(100, 1, 1, 1, 16, 4 * 40 * 48)
    assert set(full.times[:-1]) == {16}


def recipe(shape=(12, 16), factor=2, **options) -> Recipe:
    plan = make_plan(shape, tile=shape, overlap=0, **options)
    geometry = Geometry(plan, factor, (0, 0), (shape[0] // factor, shape[1] // factor), (0, 0))
    sampling = SamplingOptions(0, Sampler(), 16)
    return Recipe(Source("nearest"), geometry, sampling, (Quantity("t2m", "K"),))


def build(lr: np.ndarray, chunks: Chunking, **options) -> da.Array:
    times = len(lr)
    none, number = np.zeros((times, 0), np.float32), np.arange(times)
    arrays = Arrays(da.from_array(lr, chunks=3), da.zeros((0, 12, 16), dtype=np.float32))
    told = Times(none, none, np.ones(times, int), number, number)
    return lazy_blocks(recipe(**options), arrays, told, chunks, 1)


def test_values_and_chunks(rng):
    lr = rng.normal(size=(5, 1, 6, 8)).astype(np.float32)
    out = build(lr, Chunking((2, 2, 1), (1,)))
    assert out.chunks == ((1,), (2, 2, 1), (1,), (12,), (16,))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out.compute()[0, :, :, ::2, 1::2], lr)


def test_equal_calls_have_equal_names_and_others_have_not(rng):
    lr = rng.normal(size=(4, 1, 6, 8)).astype(np.float32)
    chunks = Chunking((2, 2), (1,))
    assert build(lr, chunks).name == build(lr, chunks).name
    assert build(lr, chunks).name != build(lr + 1, chunks).name
    assert build(lr, chunks).name != build(lr, Chunking((4,), (1,))).name


def test_missing_values_name_variable_and_time(rng):
    lr = rng.normal(size=(4, 1, 6, 8)).astype(np.float32)
    lr[3, 0, 2, 2] = np.nan
    out = build(lr, Chunking((2, 2), (1,)))
    out[:, :2].compute()
    with pytest.raises(MissingValuesError, match=r"'t2m' has 1 missing .* at 3"):
        out.compute()


def test_device():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device(None) == resolve_device("auto")
    with pytest.raises(RuntimeError):
        resolve_device("abacus")
