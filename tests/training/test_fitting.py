"""The verb: alignment, options, errors, and that it learns."""

from __future__ import annotations

import cftime
import numpy as np
import pytest
import xarray as xr

from tests.conftest import TINY
from xdeepr import coarsen, fit
from xdeepr.errors import (
    AxisError,
    GridError,
    MissingValuesError,
    OptionError,
    TrainingError,
    UnitsError,
    VariableError,
)

QUICK = {"max_steps": 2, "batch_size": 4, "validation": None, "network": TINY, "progress": False}


def test_it_learns_from_real_data(italy_lr, italy_hr, statics):
    """A short training leaves less than half of the variance of the validation residual."""
    model = fit(
        italy_lr, italy_hr, covariates=statics, max_steps=80, batch_size=16, progress=False,
        network={"block_out_channels": (16, 24), "layers_per_block": 1},
    )  # fmt: skip
    losses = [entry["validation_loss"] for entry in model.curve]
    assert losses[-1] < 0.55 * losses[0]
    assert model.card.training["validation_loss"] == min(losses)
    assert [e["step"] for e in model.curve] == sorted(e["step"] for e in model.curve)


def test_the_card_tells_what_was_done(small_model, italy_hr):
    card = small_model.card
    assert (card.factor, card.margin, card.tile) == (4, (0, 0, 0, 0), (40, 48))
    assert card.resolution == pytest.approx((1.0, 1.0), rel=1e-4)
    assert [q.name for q in card.covariates] == ["z", "lsm"]
    assert card.training["period"][0].startswith("2022-05-01")
    assert card.training["times"] == italy_hr.sizes["time"]
    assert card.training["months"] == [5]
    assert "torch" in card.versions
    text = repr(small_model)
    for word in ("t2m [K]", "1 × 1°", "0.25 × 0.25°", "z, lsm", "2022-05-01", "hour"):
        assert word in text


def test_same_seed_same_model(italy_lr, italy_hr):
    ours, theirs, other = (fit(italy_lr, italy_hr, **QUICK, seed=s) for s in (1, 1, 2))
    first = [m.network.state_dict()["unet.conv_in.weight"] for m in (ours, theirs, other)]
    assert (first[0] == first[1]).all()
    assert (first[0] != first[2]).any()


@pytest.mark.parametrize("factor", [2, 5])
def test_lr_domain_larger_than_hr_domain(italy_hr, factor):
    hr = italy_hr.isel(longitude=slice(0, 40)).isel(time=slice(0, 8))
    lr = coarsen(hr, factor)
    inner = hr.isel(latitude=slice(7, 33), longitude=slice(3, 36))
    model = fit(lr, inner, **QUICK)
    # ascending latitude: the south is the low side
    assert model.card.margin == (7, 7, 3, 4)
    out = lr.deepr.downscale(model)
    assert out.t2m.shape == inner.t2m.shape
    np.testing.assert_array_equal(out.latitude, inner.latitude)
    np.testing.assert_array_equal(out.longitude, inner.longitude)
    assert np.isfinite(out.t2m.values).all()


def test_labels_in_other_units_and_under_another_name(italy_lr, italy_hr):
    hr = italy_hr.isel(time=slice(0, 8)).rename(t2m="tas")
    hr["tas"] = (hr.tas - 273.15).assign_attrs(units="degC")
    model = fit(italy_lr, hr, **QUICK)
    assert model.card.predictors[0].units == "degC"
    out = italy_lr.isel(time=slice(0, 2)).deepr.downscale(model)
    assert out.tas.attrs["units"] == "degC"
    assert -40 < float(out.tas.mean()) < 40


def test_two_predictands_and_three_predictors(italy_lr, italy_hr):
    hr = italy_hr.isel(time=slice(0, 8)).assign(
        wind=lambda ds: (ds.t2m * 0.1).assign_attrs(units="m s-1", standard_name="wind_speed")
    )
    lr = coarsen(hr, 4).assign(sp=lambda ds: (ds.t2m * 300).assign_attrs(units="Pa"))
    model = fit(lr, hr, variables=["wind", "t2m"], **QUICK)
    assert [q.name for q in model.card.predictands] == ["wind", "t2m"]
    assert {q.name for q in model.card.predictors} == {"t2m", "wind", "sp"}
    out = lr.deepr.downscale(model, members=2)
    # a network of two steps changes little: each variable is near its own interpolation
    base = lr.deepr.downscale("bicubic", factor=4)
    for name, units in (("wind", "m s-1"), ("t2m", "K")):
        assert out[name].attrs["units"] == units
        scale = float(base[name].std())
        assert float(np.abs(out[name] - base[name]).mean()) < 3 * scale


def test_other_calendars(italy_lr, italy_hr):
    times = [cftime.Datetime360Day(2000, 2, 1 + i // 8, 3 * (i % 8)) for i in range(24)]
    lr, hr = (ds.isel(time=slice(0, 24)).assign_coords(time=times) for ds in (italy_lr, italy_hr))
    model = fit(lr, hr, **QUICK)
    out = lr.deepr.downscale(model)
    assert out.time.dt.calendar == "360_day"
    assert model.card.training["months"] == [2]


def shifted(ds: xr.Dataset, **by: float) -> xr.Dataset:
    return ds.assign_coords({name: ds[name] + value for name, value in by.items()})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda lr, hr: (lr, hr.assign_coords(time=hr.time + np.timedelta64(365, "D"))),
            AxisError,
            r"share no time.*same period",
        ),
        (
            lambda lr, hr: (lr, hr.convert_calendar("noleap", use_cftime=True)),
            AxisError,
            r"calendars differ.*convert_calendar",
        ),
        (lambda lr, hr: (lr, hr.isel(time=0)), AxisError, r"labels have no time dimension"),
        (lambda lr, hr: (lr, shifted(hr, latitude=0.1)), GridError, r"does not nest.*deepr\.nest"),
        (
            lambda lr, hr: (lr.isel(longitude=slice(2, 9)), hr),
            GridError,
            r"beyond the LR domain.*'longitude'",
        ),
        (
            lambda lr, hr: (lr, hr.assign(skt=hr.t2m.assign_attrs(standard_name="x"))),
            VariableError,
            r"label.*ambiguous.*t2m, skt",
        ),
        (
            lambda lr, hr: (lr.rename(t2m="z").assign(u=lambda ds: ds.z + 1), hr),
            VariableError,
            r"label 't2m' has no coarse version among the predictors z \[K\], u .*standard_name",
        ),
        (
            lambda lr, hr: (lr.assign(t2m=lr.t2m.assign_attrs(units="m")), hr),
            UnitsError,
            r"'t2m'.*'m'.*'K'",
        ),
        (
            lambda lr, hr: (lr, hr.assign(t2m=hr.t2m.drop_attrs())),
            UnitsError,
            r"'t2m' has no units",
        ),
        (
            lambda lr, hr: (lr, hr.where(hr.t2m != hr.t2m[5, 3, 3])),
            MissingValuesError,
            r"label 't2m' has \d+ missing.*2022-05-01.15:00",
        ),
        (
            lambda lr, hr: (lr.assign(z=lr.t2m.isel(time=0).drop_vars("time")), hr),
            AxisError,
            r"'z' does not vary along 'time'.*covariates",
        ),
    ],
)
def test_bad_data(change, error, message, italy_lr, italy_hr):
    lr, hr = change(italy_lr, italy_hr)
    with pytest.raises(error, match=message):
        fit(lr, hr, **QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "dppm"}, r"model='dppm'.*ddpm"),
        ({"variables": ["tp"]}, r"no 'tp'.*t2m"),
        ({"variables": "t2m"}, r"list"),
        ({"validation": 1.5}, r"validation=1\.5.*fraction"),
        ({"window": 2}, r"window=2"),
        ({"network": {"in_channels": 3}}, r"'in_channels' follows from the data"),
        ({"diffusion": {"sigma_dat": 1}}, r"'sigma_dat'.*sigma_data"),
        ({"time_features": ("minute",)}, r"'minute'.*hour"),
        ({"max_steps": 0}, r"max_steps=0"),
        ({"max_time": "soon"}, r"max_time='soon'"),
    ],
)
def test_bad_options(options, message, italy_lr, italy_hr):
    with pytest.raises((OptionError, VariableError), match=message):
        fit(italy_lr, italy_hr, **{**QUICK, **options})


def test_a_loss_that_is_not_finite_stops_the_training(italy_lr, italy_hr):
    with pytest.raises(TrainingError, match=r"loss of t2m became .* 2022-05-.*learning_rate"):
        fit(
            italy_lr, italy_hr, **{**QUICK, "max_steps": 30}, learning_rate=1e12,
            precision="float32",
        )  # fmt: skip


def test_training_windows_on_a_larger_domain(italy_lr, italy_hr):
    model = fit(italy_lr, italy_hr, **QUICK, window=(16, 24))
    assert model.card.tile == (16, 24)
    out = italy_lr.isel(time=slice(0, 2)).deepr.downscale(model)
    assert np.isfinite(out.t2m.values).all()


def test_early_stopping_keeps_the_best(italy_lr, italy_hr, monkeypatch):
    """Three evaluations without improvement end the training; the best weights are returned."""
    from xdeepr.training.loop import Trainer

    losses, kept = iter([1.0, 0.8, 0.9, 0.85, 0.8]), []

    def scripted(self):
        kept.append(self.ema.weights["unet.conv_in.weight"].clone())
        return next(losses)

    monkeypatch.setattr(Trainer, "_validation_loss", scripted)
    model = fit(
        italy_lr, italy_hr, **{**QUICK, "max_steps": 400, "patience": 3, "validation": 0.3},
    )  # fmt: skip
    assert [e["validation_loss"] for e in model.curve] == [1.0, 0.8, 0.9, 0.85, 0.8]
    assert model.card.training["steps"] == model.curve[-1]["step"] < 400
    assert model.card.training["validation_loss"] == 0.8
    weight = model.network.state_dict()["unet.conv_in.weight"]
    assert (weight == kept[1]).all()
    assert (weight != kept[4]).any()


def test_a_validation_pair_must_match(italy_lr, italy_hr):
    """Given as a pair it is used as it is, so grids, variables and units must be the same."""
    lr, hr = (ds.isel(time=slice(0, 8)) for ds in (italy_lr, italy_hr))
    later = tuple(ds.isel(time=slice(10, 14)) for ds in (italy_lr, italy_hr))
    options = {**QUICK, "validation": later}
    model = fit(lr, hr, **options)
    assert "validation_loss" in model.card.training
    half = {"latitude": slice(0, 20)}
    smaller = (later[0].isel(latitude=slice(0, 5)), later[1].isel(half))
    with pytest.raises(GridError, match=r"validation: 'latitude' .*same grids"):
        fit(lr, hr, **{**options, "validation": smaller})
    celsius = later[1].assign(t2m=(later[1].t2m - 273.15).assign_attrs(units="degC"))
    with pytest.raises(VariableError, match=r"validation: .*degC.*same units"):
        fit(lr, hr, **{**options, "validation": (later[0], celsius)})


def test_a_validation_loss_that_is_not_finite_stops_too(italy_lr, italy_hr, monkeypatch):
    """Otherwise the weights of the very start would pass for the best."""
    from xdeepr.training.loop import Trainer

    monkeypatch.setattr(Trainer, "_validation_loss", lambda self: float("nan"))
    with pytest.raises(TrainingError, match=r"validation loss of t2m became nan .*learning_rate"):
        fit(italy_lr, italy_hr, **{**QUICK, "validation": 0.3})
