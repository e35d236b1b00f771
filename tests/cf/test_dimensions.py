"""Members, levels and forecast times of the input are kept and looped over."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xdeepr
from tests.conftest import TINY
from xdeepr.cf.dimensions import entry_key, keyed_with
from xdeepr.errors import AxisError
from xdeepr.grids import gridded
from xdeepr.testing import assert_same_field

QUICK = {"seed": 5, "steps": 2}


@pytest.fixture
def lr(italy_lr) -> xr.Dataset:
    return italy_lr.isel(time=slice(0, 2))


@pytest.fixture
def ensemble(lr) -> xr.Dataset:
    """Three input members: the same field, warmer by 0, 1 and 2 K."""
    members = xr.DataArray(
        [0, 1, 2], dims="number", attrs={"standard_name": "realization"}, name="number"
    )
    t2m = (lr.t2m + members).transpose("time", "number", ...).assign_attrs(lr.t2m.attrs)
    return lr.assign(t2m=t2m).assign_coords(number=members)


def test_input_members_without_drawing(ensemble, checkpoint):
    """Without `members` each input member gives one field, under its own name."""
    out = ensemble.deepr.downscale(checkpoint, **QUICK)
    assert out.t2m.dims == ("number", "time", "latitude", "longitude")
    assert out.number.values.tolist() == [0, 1, 2]
    assert out.number.attrs["standard_name"] == "realization"
    assert set(out.data_vars) == {"t2m", "latitude_bnds", "longitude_bnds"}
    assert out.latitude_bnds.dims == ("latitude", "bnds")


def test_n_input_members_times_m_realizations(ensemble, checkpoint):
    out = ensemble.deepr.downscale(checkpoint, members=2, **QUICK)
    assert dict(out.t2m.sizes) == {"realization": 6, "time": 2, "latitude": 40, "longitude": 48}
    assert out.realization.values.tolist() == [0, 1, 2, 3, 4, 5]
    assert out.input_realization.values.tolist() == [0, 0, 1, 1, 2, 2]
    assert out.drawn_realization.values.tolist() == [0, 1, 0, 1, 0, 1]
    assert "number" not in out.coords
    fields = out.t2m.compute()
    flat = fields.stack(point=("time", "latitude", "longitude"))
    residual = flat - flat.mean("realization")
    correlation = np.corrcoef(residual.transpose("realization", ...).values)
    np.fill_diagonal(correlation, 0)
    assert correlation.max() < 0.5  # no two share their noise


def test_a_member_alone_equals_its_slice(ensemble, checkpoint):
    whole = ensemble.deepr.downscale(checkpoint, members=2, **QUICK).t2m.compute()
    for number in range(3):
        alone = ensemble.isel(number=number).deepr.downscale(checkpoint, members=2, **QUICK).t2m
        mine = whole.isel(realization=whole.input_realization.values == number)
        assert_same_field(alone.values, mine.values)
    # the first member is that of a file without the coordinate
    plain = ensemble.isel(number=0, drop=True).deepr.downscale(checkpoint, members=2, **QUICK).t2m
    assert_same_field(plain.values, whole[:2].values)


def test_levels_are_kept(lr):
    """Also where the dimension has no coordinate."""
    high = xr.concat([lr.t2m, lr.t2m - 6], "level").assign_attrs(lr.t2m.attrs)
    ds = high.to_dataset(name="t2m")
    out = ds.deepr.downscale("bicubic", factor=4)
    assert out.t2m.dims == ("level", "time", "latitude", "longitude")
    expected = lr.deepr.downscale("bicubic", factor=4).t2m
    np.testing.assert_allclose(out.t2m[0], expected, atol=1e-4)
    np.testing.assert_allclose(out.t2m[1], expected - 6, atol=1e-4)
    field = high.rename("t2m").deepr.downscale("bicubic", factor=4)
    assert field.dims == out.t2m.dims
    # a field without the dimension is repeated along none
    both = ds.assign(sea=lr.t2m).deepr.downscale("bicubic", factor=4)
    assert "level" in both.t2m.dims


def test_it_is_lazy(ensemble, checkpoint, count_computes):
    ensemble.chunk(time=1).deepr.downscale(checkpoint, members=2, **QUICK)
    assert count_computes == [0]


def test_forecasts_are_told_the_time_they_are_valid_at(lr, checkpoint):
    """Starts × lead times: hour and noise are those of the valid time, and of the start."""
    starts = lr.time.values
    leads = np.array([0, 6], dtype="timedelta64[h]").astype("timedelta64[ns]")
    fields = xr.concat([lr.t2m, lr.t2m + 1], "step").transpose("time", "step", ...)
    ds = fields.assign_attrs(lr.t2m.attrs).to_dataset(name="t2m").assign_coords(step=leads)
    ds = ds.assign_coords(
        valid_time=(("time", "step"), starts[:, None] + leads, {"standard_name": "time"})
    )
    ds.time.attrs["standard_name"] = "forecast_reference_time"
    out = ds.deepr.downscale(checkpoint, **QUICK)
    assert out.t2m.dims == ("step", "time", "latitude", "longitude")
    moved = (lr + 1).assign_coords(time=starts + leads[1])
    moved.t2m.attrs = lr.t2m.attrs
    alone = moved.deepr.downscale(checkpoint, **QUICK).t2m
    assert_same_field(out.t2m.isel(step=1).values, alone.values)


def test_keys_of_entries():
    plain = xr.Dataset(coords={"number": 0, "surface": 3.0})
    assert entry_key(plain) == 0
    second = entry_key(plain.assign_coords(number=1))
    assert second != 0
    assert second == entry_key(xr.Dataset(coords={"realization": 1}))
    started = plain.assign_coords(forecast_reference_time=np.datetime64("2020-01-01", "ns"))
    assert entry_key(started) not in (0, second)
    keys = np.arange(4)
    assert keyed_with(keys, 0) is keys
    mixed = keyed_with(keys, second)
    assert mixed.dtype == np.int64
    assert len({*mixed, *keys}) == 8
    np.testing.assert_array_equal(keyed_with(keys[2:], second), mixed[2:])


@pytest.fixture(scope="module")
def mogreps(data_dir) -> xr.Dataset:
    """Screen temperature of a real forecast at 2 km: 12 members, two days, 48 × 64 cells."""
    from xdeepr import datasets

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDEEPR_DATA_DIR", str(data_dir))
        ds = datasets.open_mogreps_uk()
        part = {"projection_y_coordinate": slice(60, 108), "projection_x_coordinate": slice(0, 64)}
        return ds.isel(time=slice(0, 2), realization=slice(0, 4), **part).load()


def test_training_on_an_ensemble_sees_every_member(mogreps):
    """The members are fields of their own, each with its own coarse version."""
    from xdeepr.training.alignment import align

    lr = mogreps.deepr.coarsen(4)
    assert "realization" in lr.air_temperature.dims
    aligned = align(gridded(lr), gridded(mogreps))
    assert aligned.hr.shape == (8, 1, 48, 64)
    assert aligned.source.further == ("realization",)
    hr = mogreps.air_temperature.transpose("time", "realization", ...)
    np.testing.assert_array_equal(aligned.hr[5, 0], hr[1, 1].sortby("projection_y_coordinate"))
    assert aligned.time.values[5] == mogreps.time.values[1]
    options = {"max_steps": 2, "batch_size": 2, "validation": 0.5, "progress": False,
               "network": TINY, "precision": "float32"}  # fmt: skip
    base = lr.deepr.fit(mogreps, model="regression", **options)
    assert base.card.training["times"] == 4  # the first time only: the second is held out
    model = lr.deepr.fit(mogreps, base=base, **options)
    out = lr.deepr.downscale(model, members=2, steps=2)
    assert out.air_temperature.sizes["realization"] == 8
    assert np.isfinite(out.air_temperature.isel(realization=[0, 7]).compute()).all()


def test_dimensions_that_do_not_match(mogreps):
    lr = mogreps.deepr.coarsen(4)
    with pytest.raises(AxisError, match=r"only one .* 'realization'.*isel"):
        lr.deepr.fit(mogreps.isel(realization=0))
    moved = mogreps.assign_coords(realization=mogreps.realization + 100)
    with pytest.raises(AxisError, match=r"do not share the entries along 'realization'"):
        lr.deepr.fit(moved)


def test_verify_takes_the_joined_ensemble(ensemble, italy_hr, checkpoint):
    out = ensemble.deepr.downscale(checkpoint, members=2, **QUICK).compute()
    scores = out.deepr.verify(italy_hr.isel(time=slice(0, 2)))
    assert float(scores.crps.isel(system=0)) > 0
    assert isinstance(xdeepr.coarsen(out, 2), xr.Dataset)
