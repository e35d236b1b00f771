"""Affine: fitted to data however they come, and its inverse."""

from __future__ import annotations

import json
import pickle
from itertools import product

import dask
import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xdeepr.errors import GridError, MissingValuesError, OptionError
from xdeepr.normalization import METHODS, Affine, Moments, field_statistics, summaries

FITTED = [method for method in METHODS if method != "instance"]
SHAPE = (60, 2, 7, 9)
WHOLE = (slice(0, 7), slice(0, 9))


@pytest.fixture
def fields(rng) -> np.ndarray:
    scale = np.array([1.0, 30.0])[:, None, None]
    return (280 + scale * rng.standard_normal(SHAPE)).astype(np.float32)


@pytest.fixture
def months(rng) -> np.ndarray:
    """All months but May and June."""
    return rng.choice([1, 2, 3, 4, 7, 8, 9, 10, 11, 12], SHAPE[0])


@pytest.fixture
def land(rng) -> np.ndarray:
    return rng.random(SHAPE[2:]) > 0.4


@pytest.fixture
def gaps(fields, rng) -> np.ndarray:
    """The fields with missing values; one cell never has a value."""
    holes = rng.random(SHAPE) < 0.2
    holes[:, :, 2, 3] = True
    return np.where(holes, np.float32("nan"), fields)


def told(fields: np.ndarray, months: np.ndarray) -> dict:
    """Everything that apply and invert can be given."""
    return {"months": months, "window": WHOLE, "statistics": field_statistics(np.asarray(fields))}


# --- what fit finds ------------------------------------------------------------------------------


def plain(values: np.ndarray, axis: tuple[int, ...], center: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation, in the plainest way."""
    values = values.astype(np.float64)
    if center:
        return np.nanmean(values, axis=axis), np.nanstd(values, axis=axis)
    root = np.sqrt(np.nanmean(values**2, axis=axis))
    return np.zeros_like(root), root


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("by_month", [False, True])
def test_fit_finds_mean_and_deviation(fields, months, land, by_month, center):
    for month in np.unique(months) if by_month else [None]:
        those = fields if month is None else fields[months == month]
        at = 0 if month is None else month - 1
        fit = {
            method: Affine.fit(
                fields, months=months, by_month=by_month, method=method, land=land, center=center
            )
            for method in FITTED
        }
        mean, std = plain(those, (0, 2, 3), center)
        np.testing.assert_allclose(fit["domain-wise"].mean[at, :, 0, 0], mean, rtol=1e-12)
        np.testing.assert_allclose(fit["domain-wise"].std[at, :, 0, 0], std, rtol=1e-9)
        mean, std = plain(those, (0,), center)
        np.testing.assert_allclose(fit["pixel-wise"].mean[at], mean, rtol=1e-12)
        varied = std > 0  # a month may have one time
        np.testing.assert_allclose(fit["pixel-wise"].std[at][varied], std[varied], rtol=1e-9)
        for where in (land, ~land):
            mean, std = plain(those[..., where], (0, 2), center)
            mean, std = mean[:, None], std[:, None]
            np.testing.assert_allclose(
                fit["landmask-wise"].mean[at][:, where], mean + np.zeros(where.sum()), rtol=1e-12
            )
            np.testing.assert_allclose(
                fit["landmask-wise"].std[at][:, where], std + np.zeros(where.sum()), rtol=1e-9
            )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("by_month", [False, True])
def test_fitted_data_has_mean_zero_and_deviation_one(fields, months, land, method, by_month):
    months = np.where(months > 6, 7, 1)  # enough times in each month for each cell
    fit = Affine.fit(fields, months=months, by_month=by_month, method=method, land=land)
    scaled = fit.apply(fields, **told(fields, months)).astype(float)
    for month in (1, 7) if by_month else (None,):
        those = scaled if month is None else scaled[months == month]
        groups = {
            "domain-wise": [(those, (0, 2, 3))],
            "pixel-wise": [(those, (0,))],
            "landmask-wise": [(those[..., land], (0, 2)), (those[..., ~land], (0, 2))],
            "instance": [(those, (2, 3))],
        }
        for values, axis in groups[method]:
            np.testing.assert_allclose(values.mean(axis=axis), 0, atol=2e-4)
            np.testing.assert_allclose(values.std(axis=axis), 1, rtol=1e-4)


def test_without_centre_the_data_are_only_scaled(fields):
    fit = Affine.fit(fields - 280, center=False)
    assert (fit.mean == 0).all()
    scaled = fit.apply(fields - 280).astype(float)
    np.testing.assert_allclose((scaled**2).mean(axis=(0, 2, 3)), 1, rtol=1e-5)


@pytest.mark.parametrize("offset", [290.0, 1e5, -1e6])
def test_a_small_deviation_survives_a_large_mean(rng, offset):
    """The difference of large squares would lose it; so would sums in float32."""
    values = (offset + 10 * rng.standard_normal((200, 1, 40, 40))).astype(np.float32)
    exact = values.astype(np.float64)
    expected = np.sqrt(((exact - exact.mean()) ** 2).mean())
    for data in (values, da.from_array(values, chunks=(7, 1, 13, 40))):
        found = Affine.fit(data)
        assert found.std[0, 0, 0, 0] == pytest.approx(expected, rel=1e-9)
        assert found.mean[0, 0, 0, 0] == pytest.approx(exact.mean(), rel=1e-13)


# --- data in parts -------------------------------------------------------------------------------


def assert_same(a: Affine, b: Affine) -> None:
    assert a.method == b.method
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12)
    np.testing.assert_allclose(a.std, b.std, rtol=1e-9)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("by_month", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_chunked_and_incremental_equal_whole(gaps, months, land, method, by_month, center):
    how = {"by_month": by_month, "method": method, "land": land}
    whole = Affine.fit(gaps, months=months, center=center, **how)
    for chunks in ((60, 2, 7, 9), (7, 1, 3, 4), (1, 2, 7, 9)):
        lazy = da.from_array(gaps, chunks=chunks)
        assert_same(Affine.fit(lazy, months=months, center=center, **how), whole)
    if method == "instance":
        return
    batches = Moments(**how)
    for first in range(0, len(gaps), 11):
        part = slice(first, first + 11)
        batches.update(torch.from_numpy(gaps[part]), months[part])
    assert_same(Affine.from_moments(batches, center=center), whole)


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), max_size=6), st.integers(0, 2**32 - 1), st.booleans())
def test_any_cut_gives_the_same(cuts, seed, by_month):
    rng = np.random.default_rng(seed)
    values = 1e4 + rng.standard_normal((30, 1, 3, 2))
    values[rng.random(values.shape) < 0.3] = np.nan
    months = rng.integers(1, 13, 30)
    for method in ("domain-wise", "pixel-wise"):
        parts = Moments(by_month=by_month, method=method)
        for part in np.split(np.arange(30), sorted(cuts)):
            parts.update(values[part], months[part])
        whole = Affine.fit(values, months=months, by_month=by_month, method=method)
        ours = Affine.from_moments(parts)
        np.testing.assert_allclose(ours.mean, whole.mean, rtol=1e-12)
        np.testing.assert_allclose(ours.std, whole.std, rtol=1e-6)


def test_slabs_equal_whole(fields, months, monkeypatch):
    whole = Affine.fit(fields, months=months, by_month=True, method="pixel-wise")
    monkeypatch.setattr(summaries, "_SLAB", 300)
    assert_same(Affine.fit(fields, months=months, by_month=True, method="pixel-wise"), whole)


def test_each_chunk_is_read_once(fields, months, land):
    seen = []

    def read(block: np.ndarray, block_info=None) -> np.ndarray:
        seen.append(block_info[0]["chunk-location"])
        return block

    lazy = da.from_array(fields, chunks=(20, 1, 4, 9))
    lazy = lazy.map_blocks(read, meta=np.empty((0,) * 4, np.float32))
    for method in FITTED:
        seen.clear()
        with dask.config.set(scheduler="synchronous"):
            Affine.fit(lazy, months=months, by_month=True, method=method, land=land)
        assert sorted(seen) == sorted(np.ndindex(lazy.numblocks))


def test_update_says_what_does_not_fit(fields, land):
    moments = Moments()
    with pytest.raises(OptionError, match="no data"):
        moments.result()
    with pytest.raises(OptionError, match=r"time, channel, y, x"):
        moments.update(fields[0])
    moments.update(fields)
    with pytest.raises(GridError, match="one domain"):
        moments.update(fields[..., 1:])


# --- what is missing -----------------------------------------------------------------------------


def test_a_constant_channel_is_only_shifted():
    constant = np.full((4, 1, 5, 5), 0.3, np.float32)
    for method in ("domain-wise", "pixel-wise"):
        normalization = Affine.fit(constant, method=method)
        assert (normalization.std == 1).all()
        scaled = normalization.apply(constant, window=(slice(0, 5), slice(0, 5)))
        np.testing.assert_allclose(scaled, 0, atol=1e-6)


def test_rounding_is_no_variance(rng):
    """A constant that float32 rounds to and fro."""
    wobble = np.nextafter(np.float32(288.15), np.float32(rng.choice([0, 999], (9, 1, 4, 4))))
    assert (Affine.fit(wobble).std == 1).all()
    assert (field_statistics(wobble)[:, 1] == 1).all()


def test_a_constant_cell_gets_deviation_one_alone(fields):
    fields[:, :, 3, 3] = 273
    fit = Affine.fit(fields, method="pixel-wise")
    assert (fit.std[0, :, 3, 3] == 1).all()
    assert (fit.mean[0, :, 3, 3] == 273).all()
    assert (np.delete(fit.std.reshape(2, 63), 3 * 9 + 3, axis=1) != 1).all()


def test_scaling_zeros_leaves_zeros():
    fit = Affine.fit(np.zeros((3, 2, 4, 4)), center=False)
    assert (fit.std == 1).all()
    assert (fit.mean == 0).all()


def test_nan_is_left_out(gaps, fields):
    fit = Affine.fit(gaps)
    np.testing.assert_allclose(fit.mean[0, :, 0, 0], np.nanmean(gaps.astype(float), (0, 2, 3)))
    np.testing.assert_allclose(fit.std[0, :, 0, 0], np.nanstd(gaps.astype(float), (0, 2, 3)))
    cells = Affine.fit(gaps, method="pixel-wise")
    assert (cells.mean[0, :, 2, 3] == 0).all()
    assert (cells.std[0, :, 2, 3] == 1).all()
    with np.errstate(all="raise"):
        lazy = da.from_array(gaps, chunks=(10, 1, 2, 2))
        assert np.isfinite(Affine.fit(lazy, method="pixel-wise").std).all()


def test_infinity_is_refused(fields):
    fields[3, 1, 2, 2] = np.inf
    for method in FITTED:
        with pytest.raises(MissingValuesError, match="channel 1"):
            Affine.fit(fields, method=method, land=np.ones((7, 9), bool))


@pytest.mark.parametrize("method", ["domain-wise", "pixel-wise", "landmask-wise"])
def test_a_new_month_takes_the_nearest(fields, land, method):
    months = np.resize([1, 4, 9], len(fields))
    fit = Affine.fit(fields, months=months, by_month=True, method=method, land=land)
    # of two equally near months the earlier one; December and November are next to January
    nearest = [1, 1, 4, 4, 4, 4, 9, 9, 9, 9, 9, 1]
    for at, month in enumerate(nearest):
        np.testing.assert_array_equal(fit.mean[at], fit.mean[month - 1])
        np.testing.assert_array_equal(fit.std[at], fit.std[month - 1])
    assert len(np.unique(fit.mean[:, 0, 0, 0])) == 3


def test_equally_near_months_give_the_earlier(fields):
    months = np.resize([3, 5], len(fields))
    fit = Affine.fit(fields, months=months, by_month=True)
    assert fit.mean[3, 0, 0, 0] == fit.mean[2, 0, 0, 0]  # April as March
    assert fit.mean[9, 0, 0, 0] == fit.mean[4, 0, 0, 0]  # October, 5 months away, as May
    assert fit.mean[10, 0, 0, 0] == fit.mean[2, 0, 0, 0]  # November, 4 months before March


def test_one_month_serves_all(fields):
    fit = Affine.fit(fields, months=np.full(len(fields), 8), by_month=True)
    assert (fit.mean == fit.mean[0]).all()
    assert (fit.std == fit.std[0]).all()


def test_a_cell_without_values_in_a_month_takes_its_own_nearest(fields):
    """Sea ice has no temperature in summer."""
    months = np.resize([2, 8], len(fields))
    fields[months == 8, :, 1, 1] = np.nan
    fit = Affine.fit(fields, months=months, by_month=True, method="pixel-wise")
    np.testing.assert_array_equal(fit.mean[7, :, 1, 1], fit.mean[1, :, 1, 1])
    assert (fit.mean[7, :, 0, 0] != fit.mean[1, :, 0, 0]).all()


@pytest.mark.parametrize("value", [True, False])
def test_all_land_or_all_sea_equals_domain_wise(fields, value):
    fit = Affine.fit(fields, method="landmask-wise", land=np.full((7, 9), value))
    assert fit.pixelwise
    whole = Affine.fit(fields)
    np.testing.assert_allclose(fit.mean, np.broadcast_to(whole.mean, fit.mean.shape))
    np.testing.assert_allclose(fit.std, np.broadcast_to(whole.std, fit.std.shape))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("wrap", [np.asarray, da.from_array])
def test_no_channels(method, wrap):
    """A model without covariates."""
    nothing = np.zeros((1, 0, 7, 9), np.float32)
    fit = Affine.fit(wrap(nothing), method=method, land=np.ones((7, 9), bool))
    assert fit.channels == 0
    told = {"window": WHOLE, "statistics": field_statistics(nothing)}
    assert fit.apply(nothing, **told).shape == nothing.shape
    again = Affine.from_json(json.loads(json.dumps(fit.to_json())), fit.tensors())
    assert again.mean.shape == fit.mean.shape


# --- apply and invert ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(np.asarray, "float32"), (np.asarray, "float64"), (torch.as_tensor, "float32"),
     (torch.as_tensor, "float64")],
)  # fmt: skip
@pytest.mark.parametrize("by_month", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_round_trip(fields, months, land, method, by_month, kind, dtype):
    fit = Affine.fit(fields, months=months, by_month=by_month, method=method, land=land)
    values = kind(fields.astype(dtype))
    how = told(fields, months)
    scaled = fit.apply(values, **how)
    again = fit.invert(scaled, **how)
    for out in (scaled, again):
        assert type(out) is type(values)
        assert out.dtype == values.dtype
        assert out.shape == values.shape
    # a cell whose month has few times may have a small deviation, so an absolute bound
    tolerance = 2e-3 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(again, fields, atol=tolerance)


@pytest.mark.parametrize("by_month", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_torch_equals_numpy(fields, months, land, method, by_month):
    fit = Affine.fit(fields, months=months, by_month=by_month, method=method, land=land)
    how = told(fields, months)
    tensors = {**how, "statistics": torch.from_numpy(how["statistics"])}
    ours = fit.apply(torch.from_numpy(fields), **tensors)
    np.testing.assert_array_equal(ours.numpy(), fit.apply(fields, **how))


def test_low_precision_is_kept(fields):
    values = torch.from_numpy(fields).to(torch.bfloat16)
    assert Affine.fit(fields).apply(values).dtype == torch.bfloat16
    meta = torch.empty(SHAPE, device="meta")
    assert Affine.fit(fields).invert(meta).device == meta.device


def test_domain_wise_needs_no_time_axis(fields):
    fit = Affine.fit(fields)
    np.testing.assert_array_equal(fit.apply(fields[3]), fit.apply(fields)[3])
    mean = fit.mean.ravel().astype(np.float32)[:, None, None]
    std = fit.std.ravel().astype(np.float32)[:, None, None]
    np.testing.assert_array_equal(fit.apply(fields), (fields - mean) / std)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("by_month", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_parts_equal_those_parts_of_the_whole(fields, months, land, method, by_month, kind):
    fit = Affine.fit(fields, months=months, by_month=by_month, method=method, land=land)
    how = told(fields, months)
    whole = fit.apply(kind(fields), **how)
    times, window = slice(13, 31), (slice(2, 6), slice(3, 9))
    part = fit.apply(
        kind(fields[times][:, :, *window]),
        months=months[times],
        window=window,
        statistics=how["statistics"][times],
    )
    np.testing.assert_array_equal(part, whole[times][:, :, *window])
    one = fit.apply(
        kind(fields[5:6]), months=months[5:6], window=WHOLE, statistics=how["statistics"][5:6]
    )
    np.testing.assert_array_equal(one, whole[5:6])


@pytest.mark.parametrize("by_month", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_invert_takes_realizations(fields, months, land, method, by_month, rng):
    fit = Affine.fit(fields, months=months, by_month=by_month, method=method, land=land)
    how = told(fields, months)
    members = rng.standard_normal((3, *SHAPE)).astype(np.float32)
    whole = fit.invert(members, **how)
    for member, out in zip(members, whole, strict=True):
        np.testing.assert_array_equal(fit.invert(member, **how), out)


def test_months_matter(fields, months):
    """The other tests would pass if all months had the same numbers."""
    fields = fields + 10 * months[:, None, None, None].astype(np.float32)
    fit = Affine.fit(fields, months=months, by_month=True)
    assert fit.by_month
    assert not fit.pixelwise
    np.testing.assert_allclose(fit.mean[11] - fit.mean[0], 110, atol=3)


def test_window_may_be_open(fields):
    fit = Affine.fit(fields, method="pixel-wise")
    np.testing.assert_array_equal(
        fit.apply(fields, window=(slice(None), slice(None, 9))), fit.apply(fields, window=WHOLE)
    )


# --- errors of apply and invert ------------------------------------------------------------------


def test_something_needed_is_missing(fields, months, land):
    cells = Affine.fit(fields, method="landmask-wise", land=land)
    with pytest.raises(OptionError, match="window="):
        cells.apply(fields)
    monthly = Affine.fit(fields, months=months, by_month=True)
    with pytest.raises(OptionError, match="months="):
        monthly.invert(fields)
    with pytest.raises(OptionError, match="statistics="):
        Affine.instance(2).apply(fields)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.ones(3, int), "60 times"),
        (np.ones(60), "whole number"),
        (np.zeros(60, int), "give 1 to 12"),
        (np.full(60, 13), "give 1 to 12"),
    ],
)
def test_wrong_months(fields, months, wrong, message):
    monthly = Affine.fit(fields, months=months, by_month=True)
    with pytest.raises(OptionError, match=message):
        monthly.apply(fields, months=wrong)
    with pytest.raises(OptionError, match=message):
        Affine.fit(fields, months=wrong, by_month=True)


def test_months_and_statistics_need_a_time_axis(fields, months):
    monthly = Affine.fit(fields, months=months, by_month=True)
    with pytest.raises(OptionError, match="no time axis"):
        monthly.apply(fields[0], months=months[:1])
    with pytest.raises(OptionError, match="no time axis"):
        Affine.instance(2).apply(fields[0], statistics=field_statistics(fields[:1]))


@pytest.mark.parametrize(
    "window",
    [
        (slice(0, 6), slice(0, 9)),
        (slice(1, 8), slice(0, 9)),
        (slice(-7, None), slice(0, 9)),
        (slice(0, 7), slice(0, 18, 2)),
    ],
)
def test_wrong_window(fields, window):
    cells = Affine.fit(fields, method="pixel-wise")
    with pytest.raises(GridError, match="fitted domain"):
        cells.apply(fields, window=window)


def test_wrong_statistics(fields):
    each = Affine.instance(2)
    statistics = field_statistics(fields)
    with pytest.raises(OptionError, match=r"\(60, 2, 2\)"):
        each.apply(fields, statistics=statistics[:-1])
    with pytest.raises(OptionError, match="greater than 0"):
        each.apply(fields, statistics=statistics * 0)


def test_wrong_values(fields):
    fit = Affine.fit(fields)
    with pytest.raises(OptionError, match="2 channels"):
        fit.apply(fields[:, :1])
    with pytest.raises(OptionError, match="2 channels"):
        fit.apply(fields[0, 0])
    for whole in (fields.astype(int), torch.from_numpy(fields).int()):
        with pytest.raises(OptionError, match="floating point"):
            fit.apply(whole)


def test_wrong_ways_to_fit(fields):
    with pytest.raises(OptionError, match="domain-wise, pixel-wise, landmask-wise"):
        Affine.fit(fields, method="field-wise")
    with pytest.raises(OptionError, match="not one of"):
        Moments(method="instance")
    with pytest.raises(OptionError, match="mask as covariate"):
        Affine.fit(fields, method="landmask-wise")
    with pytest.raises(OptionError, match=r"> 0\.5"):
        Affine.fit(fields, method="landmask-wise", land=np.ones((7, 9)))
    with pytest.raises(GridError, match=r"\(9, 7\)"):
        Affine.fit(fields, method="landmask-wise", land=np.ones((9, 7), bool))


@pytest.mark.parametrize(
    ("mean", "std", "method", "message"),
    [
        (np.zeros((1, 2, 1, 1)), np.ones((1, 3, 1, 1)), "domain-wise", "shape"),
        (np.zeros((3, 2, 1, 1)), np.ones((3, 2, 1, 1)), "domain-wise", "1 or 12"),
        (np.zeros((2, 2)), np.ones((2, 2)), "domain-wise", "shape"),
        (np.zeros((1, 2, 1, 1)), np.zeros((1, 2, 1, 1)), "domain-wise", "greater than 0"),
        (np.full((1, 2, 1, 1), np.nan), np.ones((1, 2, 1, 1)), "domain-wise", "finite"),
        (np.zeros((1, 2, 3, 3)), np.ones((1, 2, 3, 3)), "domain-wise", "each cell"),
        (np.zeros((1, 2, 1, 1)), np.ones((1, 2, 1, 1)), "other", "is not one of"),
    ],
)
def test_impossible_numbers_are_refused(mean, std, method, message):
    with pytest.raises(OptionError, match=message):
        Affine(mean, std, method)


# --- field statistics ----------------------------------------------------------------------------


def test_field_statistics_are_those_of_each_field(gaps):
    found = field_statistics(gaps)
    assert found.shape == (60, 2, 2)
    assert found.dtype == np.float64
    for statistic, plain in ((0, np.nanmean), (1, np.nanstd)):
        np.testing.assert_allclose(found[:, statistic], plain(gaps.astype(float), axis=(2, 3)))


def test_field_statistics_of_parts(fields):
    np.testing.assert_array_equal(field_statistics(fields[7:20]), field_statistics(fields)[7:20])


def test_field_without_variance_or_values():
    fields = np.full((1, 3, 4, 4), 5.0)
    fields[:, 1] = 0
    fields[:, 2] = np.nan
    np.testing.assert_array_equal(field_statistics(fields)[0], [[5, 0, 0], [1, 1, 1]])


# --- on disk -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "by_month"), list(product(METHODS, [False, True])))
def test_json_round_trip_is_exact(rng, method, by_month):
    fields = (280 + rng.standard_normal((24, 2, 50, 60))).astype(np.float32)
    months = np.resize(np.arange(1, 13), 24)
    land = rng.random((50, 60)) > 0.5
    fit = Affine.fit(fields, months=months, by_month=by_month, method=method, land=land)
    tensors = fit.tensors()
    assert bool(tensors) == fit.pixelwise
    assert all(array.dtype == np.float32 for array in tensors.values())
    text = json.dumps(fit.to_json(), allow_nan=False)
    assert len(text) < 2000
    again = Affine.from_json(json.loads(text), tensors)
    assert (again.method, again.by_month, again.pixelwise) == (method, fit.by_month, fit.pixelwise)
    # exact: a model gives the same before it is saved and after it is loaded
    np.testing.assert_array_equal(again.mean, fit.mean)
    np.testing.assert_array_equal(again.std, fit.std)


def test_small_arrays_stay_in_the_text(fields):
    fit = Affine.fit(fields, method="pixel-wise")
    assert fit.tensors() == {}
    again = Affine.from_json(json.loads(json.dumps(fit.to_json())))
    np.testing.assert_array_equal(again.std, fit.std)


def test_cards_of_version_1_are_read():
    old = Affine.from_json({"mean": [280.5, 3.0], "std": [12.0, 0.5]})
    assert old.method == "domain-wise"
    assert old.mean.shape == (1, 2, 1, 1)
    values = np.full((4, 2, 3, 3), 280.5, np.float32)
    np.testing.assert_allclose(old.apply(values)[0, :, 0, 0], [0, 555])
    assert Affine.from_json({"mean": [], "std": []}).channels == 0


@pytest.mark.parametrize(
    "data",
    [
        {"mean": [0.0]},
        {"mean": [0.0], "std": [1.0, 2.0]},
        {"mean": [0.0], "std": ["wide"]},
        {"mean": "0", "std": "1"},
        {"mean": 0.0, "std": 1.0},
        {"mean": None, "std": None},
        {"mean": [0.0], "std": [0.0]},
        {"mean": [0.0], "std": [1.0], "method": "other"},
        {"mean": [0.0], "std": [1.0], "shape": [1, 2, 1, 1]},
        {"mean": [0.0], "std": [1.0], "shape": [1, -1, 1, 1]},
        {"mean": [0.0], "std": [1.0], "shape": 3},
        {"mean": [0.0], "std": [1.0], "scale": 2},
        {"mean": {"tensor": True}, "std": {"tensor": True}, "shape": [1, 1, 80, 80]},
        {"mean": {"tensor": "x"}, "std": [1.0]},
        [],
        None,
    ],
)
def test_malformed_data_is_refused(data):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Affine.from_json(data)


def test_tensors_of_another_size_are_refused(rng):
    fields = rng.standard_normal((5, 2, 50, 60))
    fit = Affine.fit(fields, method="pixel-wise")
    cut = {name: array[..., 1:] for name, array in fit.tensors().items()}
    with pytest.raises(ValueError, match="reshape"):
        Affine.from_json(fit.to_json(), cut)


def test_pickle(fields):
    fit = Affine.fit(fields, method="pixel-wise")
    assert pickle.loads(pickle.dumps(fit)) == fit


def test_one_number_for_each_channel_will_do():
    short = Affine([0.0, 1.0], [1.0, 2.0])
    assert short.mean.shape == (1, 2, 1, 1)
    assert short.std.dtype == np.float64
