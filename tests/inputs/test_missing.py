"""Missing values in predictors and labels: refused, masked or filled."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xdeepr
from tests.conftest import TINY
from xdeepr.errors import MissingValuesError, OptionError
from xdeepr.inputs.missing import filled, under_gaps
from xdeepr.testing import assert_same_field

QUICK = {"max_steps": 3, "batch_size": 4, "validation": None, "precision": "float32",
         "progress": False, "network": TINY}  # fmt: skip


@pytest.fixture
def lr(italy_lr) -> xr.Dataset:
    return italy_lr.isel(time=slice(0, 8))


@pytest.fixture
def hr(italy_hr) -> xr.Dataset:
    return italy_hr.isel(time=slice(0, 8))


@pytest.fixture
def sea(statics, italy_hr) -> xr.DataArray:
    """Where there is no land on the HR grid."""
    land = statics.lsm.isel(time=0, drop=True).interp_like(italy_hr.t2m, method="nearest")
    return (land < 0.5).drop_attrs()


@pytest.fixture
def holes(lr) -> xr.Dataset:
    """A corner that is always missing and a cell that is missing at one time."""
    mask = xr.zeros_like(lr.t2m, dtype=bool)
    mask[:, :3, :2] = True
    mask[2, 6, 7] = True
    return lr.assign(t2m=lr.t2m.where(~mask))


def test_filled_takes_the_nearest_value_and_keeps_the_rest(rng):
    fields = rng.normal(size=(2, 3, 9, 11)).astype(np.float32)
    gappy = fields.copy()
    gappy[0, 1, 2:5, 3] = np.nan
    gappy[1, 2] = np.nan  # nothing to fill from
    out = filled(gappy)
    known = np.isfinite(gappy)
    np.testing.assert_array_equal(out[known], gappy[known])
    assert out[0, 1, 3, 3] in (fields[0, 1, 3, 2], fields[0, 1, 3, 4])
    assert np.isnan(out[1, 2]).all()
    chunked = filled(da.from_array(gappy, chunks=(1, 1, 4, 5)))
    np.testing.assert_array_equal(chunked.compute(), out)
    assert filled(fields) is fields


def test_cells_under_gaps_are_those_of_the_lr_cell_within_the_domain():
    lr = np.zeros((1, 2, 2, 2))
    lr[0, 1, 0, 0] = np.nan
    fine = under_gaps(lr, 3, (1, 0, 0, 2))
    assert fine.shape == (1, 1, 5, 4)
    assert fine.sum() == 6
    lazy = under_gaps(da.from_array(lr, chunks=1), 3, (1, 0, 0, 2))
    np.testing.assert_array_equal(lazy.compute(), fine)


def test_missing_predictors_are_refused_by_default(holes, checkpoint):
    with pytest.raises(MissingValuesError, match=r"'t2m' has 6 missing"):
        holes.deepr.downscale(checkpoint, steps=2).compute()
    with pytest.raises(OptionError, match=r"missing='drop' is not one of.*mask"):
        holes.deepr.downscale(checkpoint, missing="drop")


@pytest.mark.parametrize("model", ["bicubic", "trained"])
def test_masked_cells_are_missing_and_change_nothing_far_away(model, holes, lr, checkpoint):
    options = {"factor": 4} if model == "bicubic" else {"members": 2, "steps": 2}
    model = model if model == "bicubic" else checkpoint
    out = holes.deepr.downscale(model, missing="mask", **options)
    values = out.t2m.transpose("time", "latitude", "longitude", ...).compute()
    expected = np.isnan(holes.t2m.values).repeat(4, 1).repeat(4, 2)
    nan = np.isnan(values.values).reshape(*expected.shape, -1)
    np.testing.assert_array_equal(nan, np.broadcast_to(expected[..., None], nan.shape))
    if options.get("factor"):  # interpolation looks two cells far
        whole = lr.deepr.downscale(model, **options).t2m.compute()
        np.testing.assert_array_equal(values[0, 24:, 20:], whole[0, 24:, 20:])


def test_filled_cells_have_values_that_do_not_depend_on_chunks(holes, checkpoint):
    out = holes.deepr.downscale(checkpoint, missing="fill", steps=2).t2m.compute()
    assert np.isfinite(out).all()
    chunked = holes.chunk(time=1, latitude=3, longitude=5)
    again = chunked.deepr.downscale(checkpoint, missing="fill", steps=2).t2m
    assert_same_field(again.compute(), out)


def test_a_time_without_any_value_is_an_error(holes, checkpoint):
    nothing = holes.assign(t2m=holes.t2m.where(holes.time != holes.time[1]))
    with pytest.raises(MissingValuesError, match="2022-05-01T03"):
        nothing.deepr.downscale(checkpoint, missing="mask", steps=2).compute()


def test_masked_labels_are_not_learnt(lr, hr, sea, statics, tmp_path):
    """What stands over sea makes no difference at all, and the model leaves the sea missing."""
    land_only = hr.assign(t2m=hr.t2m.where(~sea))
    with pytest.raises(MissingValuesError, match="label 't2m'"):
        xdeepr.fit(lr, land_only, covariates=statics, **QUICK)
    model = xdeepr.fit(lr, land_only, covariates=statics, missing="mask", **QUICK)
    assert model.card.training["masked"]
    out = lr.deepr.downscale(model.save(tmp_path / "land"), steps=2).t2m.compute()
    np.testing.assert_array_equal(np.isnan(out[0]), sea.transpose("latitude", "longitude"))
    part = lr.isel(latitude=slice(2, 8)).deepr.downscale(tmp_path / "land", steps=2).t2m.compute()
    np.testing.assert_array_equal(np.isnan(part[0]), sea[8:32])
    # normalization and loss see the land alone
    over_land = hr.t2m.where(~sea) - lr.deepr.downscale("bicubic", like=hr).t2m
    scale = float(np.sqrt((over_land**2).mean()))
    assert model.card.normalization["target"].std.item() == pytest.approx(scale, rel=1e-4)


def test_the_loss_of_a_masked_batch_is_that_of_what_is_known(rng):
    import torch

    from xdeepr.networks.calling import Conditions
    from xdeepr.training.batches import Batch
    from xdeepr.training.objectives import Regression

    class Zero(torch.nn.Module):
        multiple = 1

        def forward(self, inputs, label):
            return torch.zeros_like(inputs)

    field = torch.from_numpy(rng.standard_normal((2, 1, 8, 8), dtype=np.float32))
    valid = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    valid[..., 5:] = False
    batch = Batch(field.where(valid, torch.zeros(())), Conditions(field), (0, 1), valid)
    loss = Regression("l2", 2).losses(Zero(), batch)
    torch.testing.assert_close(loss, field[..., :5].square().mean(dim=(1, 2, 3)))


@pytest.mark.parametrize("kind", ["regression", "swin2sr", "autoencoder"])
def test_other_kinds_learn_from_masked_data(kind, holes, hr, statics):
    network = {
        "regression": TINY,
        "swin2sr": {"embed_dim": 12, "depths": (2,), "num_heads": (2,)},
        "autoencoder": {"block_out_channels": (8, 8), "norm_num_groups": 4},
    }[kind]
    options = {**QUICK, "network": network, "validation": 0.25}
    model = xdeepr.fit(holes, hr, model=kind, covariates=statics, missing="mask", **options)
    assert np.isfinite(model.curve[-1]["validation_loss"])
