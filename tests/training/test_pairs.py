"""Pairs: what is read at some times on some window, in memory or lazily, with a base or without."""

from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import torch

from xdeepr.errors import MissingValuesError
from xdeepr.inputs.quantities import Quantity
from xdeepr.inputs.times import Times
from xdeepr.models.card import Card
from xdeepr.normalization import Affine
from xdeepr.testing import assert_same_field
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import make_plan
from xdeepr.training import pairs as module
from xdeepr.training.batches import Batches
from xdeepr.training.pairs import Pairs
from xdeepr.training.windows import window_at

SHAPE = (16, 24)
TIMES = [5, 2, 2, 8]


@pytest.fixture
def pairs(rng) -> Pairs:
    """Two predictors and two labels at ten times, of which the first label has a twin."""
    blank, months = np.zeros((10, 0), np.float32), np.resize(np.arange(1, 13), 10)
    stamps = np.datetime64("2001-01-01", "ns") + np.arange(10) * np.timedelta64(1, "D")
    return Pairs(
        280 + rng.standard_normal((10, 2, 4, 6), dtype=np.float32),
        280 + rng.standard_normal((10, 2, *SHAPE), dtype=np.float32),
        Times(blank, blank, months, months, stamps),
        np.zeros((0, *SHAPE), np.float32),
        Geometry(make_plan(SHAPE, tile=SHAPE, overlap=0, block=24), 4, (0, 0), (4, 6), (0, 0)),
        (("z", "t"), ("t", "rain"), ()),
    )


@pytest.fixture
def card(small_model) -> Card:
    kelvin = {name: Quantity(name, "K") for name in ("z", "t", "rain")}
    affine = Affine([280.0, 280.0], [2.0, 3.0])
    return replace(
        small_model.card,
        predictors=(kelvin["z"], kelvin["t"]),
        predictands=(kelvin["t"], kelvin["rain"]),
        covariates=(),
        base=(1, None),
        time_features={},
        normalization={"predictors": affine, "target": Affine([0, 280.0], [0.5, 2.0])},
    )


def lazily(pairs: Pairs) -> Pairs:
    chunked = {k: da.from_array(getattr(pairs, k), chunks=(3, 1, -1, 5)) for k in ("lr", "hr")}
    return replace(pairs, **chunked)


def test_read_gives_the_window_at_the_times_in_their_order(pairs):
    window = window_at((4, 8), (8, 12))
    hr, inputs = pairs.read(TIMES, window)
    np.testing.assert_array_equal(hr, pairs.hr[TIMES][:, :, 4:12, 8:20])
    y, x = pairs.geometry.lr_windows(window)
    np.testing.assert_array_equal(inputs.lr, pairs.lr[TIMES][:, :, y.slice, x.slice])
    np.testing.assert_array_equal(inputs.times.stamps, pairs.times.stamps[TIMES])


def test_lazy_pairs_are_the_same(pairs, monkeypatch):
    lazy = lazily(pairs)
    hr, inputs = lazy.read(TIMES, lazy.whole)
    ours, ours_inputs = pairs.read(TIMES, pairs.whole)
    assert torch.equal(hr, ours)
    np.testing.assert_array_equal(inputs.lr, ours_inputs.lr)
    assert isinstance(lazy.load().lr, np.ndarray)
    assert lazy.fingerprint() == pairs.fingerprint() == lazy.load().fingerprint()
    monkeypatch.setattr(module, "IN_MEMORY_BYTES", 100)
    assert lazy.load() is lazy


@pytest.mark.parametrize(("field", "name"), [("lr", "predictor 'z'"), ("hr", "label 't'")])
def test_missing_values_are_refused_when_they_are_read(pairs, field, name):
    getattr(pairs, field)[3, 0, 1, 1] = np.nan
    lazy = lazily(pairs)
    lazy.read([0, 1], lazy.whole)
    for read in (lazy.load, lambda: lazy.read([2, 3], lazy.whole)):
        with pytest.raises(MissingValuesError, match=f"{name}.*2001-01-04"):
            read()


def test_a_label_without_a_twin_is_its_own_target(pairs, card, small_model):
    places = [(time, window_at((4, 8), (8, 12))) for time in TIMES]
    batch = Batches(pairs, card, small_model.network).at(places)
    assert batch.times == tuple(TIMES)
    rain = (pairs.hr[TIMES][:, 1, 4:12, 8:20] - 280) / 2
    assert_same_field(batch.target[:, 1], rain)
    whole = torch.from_numpy(pairs.lr[TIMES][:, [1]])
    base = pairs.geometry.interpolate(whole, pairs.whole, "bicubic")[:, 0, 4:12, 8:20].numpy()
    residual = pairs.hr[TIMES][:, 0, 4:12, 8:20] - base
    np.testing.assert_allclose(batch.target[:, 0], residual / 0.5, atol=1e-3)


def test_a_base_model_is_the_base_of_all_labels(pairs, card):
    with_model = replace(pairs, base=np.full((10, 2, *SHAPE), 270, np.float32))
    found = np.concatenate([target for target, _ in with_model.targets(card)])
    np.testing.assert_array_equal(found, pairs.hr - np.float32(270))


def test_targets_walk_through_all_times_with_their_months(pairs, card, monkeypatch):
    whole = [np.concatenate(parts) for parts in zip(*pairs.targets(card), strict=True)]
    monkeypatch.setattr(module, "AT_ONCE", 3)
    slabs = list(pairs.targets(card))
    assert [len(months) for _, months in slabs] == [3, 3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([t for t, _ in slabs]), whole[0])
    np.testing.assert_array_equal(np.concatenate([m for _, m in slabs]), pairs.times.months)


def test_gaps_do_not_count(pairs, card, small_model):
    pairs.hr[2, 0, 3:6, 4] = np.nan
    pairs.hr[:, 1, 15, 23] = np.nan
    gappy = replace(pairs, gaps=True)
    batch = Batches(gappy, card, small_model.network).at([(2, pairs.whole), (5, pairs.whole)])
    np.testing.assert_array_equal(batch.valid, np.isfinite(pairs.hr[[2, 5]]))
    assert (batch.target[~batch.valid] == 0).all()
    assert np.argwhere(gappy.never_known()).tolist() == [[15, 23]]
