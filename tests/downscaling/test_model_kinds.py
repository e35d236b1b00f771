"""Every kind of model through the accessor: trains, saves, loads, and does not depend on how."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

import xdeepr
from tests.conftest import TINY
from xdeepr.errors import GridError, OptionError, VariableError
from xdeepr.testing import assert_same_field

QUICK = {"max_steps": 2, "batch_size": 4, "validation": None, "precision": "float32",
         "progress": False}  # fmt: skip
SWIN = {"embed_dim": 12, "depths": (2,), "num_heads": (2,), "window_size": 4}
AUTOENCODER = {"block_out_channels": (8, 8, 8), "norm_num_groups": 4}

KINDS: dict[str, dict[str, Any]] = {
    "ddpm": {"network": TINY},
    "unet": {
        "model": "unet",
        "network": {"block_out_channels": (8, 16), "is_attention": (False, True),
                    "layers_per_block": 1},
    },
    "unet2d-condition": {"model": "unet2d-condition", "network": {"block_out_channels": (16, 32)}},
    "regression": {"model": "regression", "network": TINY},
    "swin2sr": {"model": "swin2sr", "network": SWIN},
    "conv-swin2sr": {"model": "conv-swin2sr", "network": SWIN},
    "conv-baseline": {"model": "conv-baseline"},
    "latent": {"model": "latent", "network": TINY},
    "latent-vq": {"model": "latent", "network": TINY},
    "on a base": {"network": TINY},
    "epsilon": {"network": TINY, "diffusion": {"prediction": "epsilon", "sampler": "DDIMScheduler",
                                               "steps": 4}},
    "v, cosine, field": {"network": TINY, "target": "field", "diffusion": {
        "prediction": "v_prediction", "schedule": {"beta_schedule": "squaredcos_cap_v2"}}},
    "instance": {"network": TINY, "normalization": "instance", "target": "field"},
    "pixel-wise by month": {"network": TINY, "normalization": "pixel-wise", "by_month": True},
    "landmask-wise": {"network": TINY, "normalization": "landmask-wise"},
    "class and position": {"network": TINY, "time_features": {
        "hour": "class", "day_of_year": "positional", "cos_solar_zenith": "field",
        "local_solar_time": "field"}},
}  # fmt: skip


def roughen(model: xdeepr.Downscaler) -> xdeepr.Downscaler:
    """Disturb all weights: fresh networks give 0, and then nothing they are told would matter."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.fixture(scope="module")
def lr(italy_lr) -> xr.Dataset:
    return italy_lr.isel(time=slice(0, 12))


@pytest.fixture(scope="module")
def hr(italy_hr) -> xr.Dataset:
    """Two HR pixels less on one side and five on another: LR cells are cut, and sizes are odd."""
    return italy_hr.isel(time=slice(0, 12), latitude=slice(2, 40), longitude=slice(0, 43))


@pytest.fixture(scope="module")
def parts(lr, hr, statics) -> dict[str, dict[str, Any]]:
    """What some kinds build on."""
    common = {"covariates": statics, **QUICK}
    make = {
        "latent": {"model": "autoencoder", "network": AUTOENCODER},
        "latent-vq": {"model": "autoencoder", "network": {"name": "diffusers.VQModel",
                                                          **AUTOENCODER}},
        "on a base": {"model": "regression", "network": TINY},
    }  # fmt: skip
    roles = {"latent": "autoencoder", "latent-vq": "autoencoder", "on a base": "base"}
    return {
        kind: {roles[kind]: roughen(xdeepr.fit(lr, hr, **common, **options))}
        for kind, options in make.items()
    }


@pytest.fixture(scope="module", params=KINDS)
def trained(request, lr, hr, statics, parts, tmp_path_factory):
    """A model of each kind, roughened, and the folder it is saved in."""
    options = {"covariates": statics, **QUICK, **KINDS[request.param]}
    model = roughen(xdeepr.fit(lr, hr, **options, **parts.get(request.param, {})))
    folder = model.save(tmp_path_factory.mktemp("kinds") / "model")
    return model, folder


def ask(ds: xr.Dataset, model: Any, **options: Any) -> xr.Dataset:
    """Downscale with two members where the model has any."""
    card = model.card if isinstance(model, xdeepr.Downscaler) else xdeepr.load(model).card
    if card.stochastic:
        options = {"members": 2, "steps": 3, **options}
    return ds.deepr.downscale(model, **options)


@pytest.fixture(scope="module")
def whole(trained, lr) -> xr.Dataset:
    return ask(lr.isel(time=slice(0, 5)), trained[1], tile=24, overlap=8).compute()


def test_the_result_is_on_the_grid_of_the_labels(trained, whole, hr):
    xr.testing.assert_equal(whole.latitude.drop_attrs(), hr.latitude.drop_attrs())
    xr.testing.assert_equal(whole.longitude.drop_attrs(), hr.longitude.drop_attrs())
    assert np.isfinite(whole.t2m).all()
    assert ("realization" in whole.dims) == trained[0].card.stochastic


def test_loaded_equals_saved_to_the_bit(trained, lr):
    model, folder = trained
    few = lr.isel(time=slice(0, 2))
    np.testing.assert_array_equal(
        ask(few, model).t2m.compute(), ask(few, xdeepr.load(folder)).t2m.compute()
    )


def test_it_does_not_depend_on_chunks_batches_or_parts(trained, whole, lr):
    folder, few = trained[1], lr.isel(time=slice(0, 5))
    tiles = {"tile": 24, "overlap": 8}
    chunked = ask(few.chunk(time=2, latitude=4), folder, batch_size=3, **tiles)
    assert_same_field(chunked.t2m.compute(), whole.t2m)
    alone = ask(few.isel(time=[3]), folder, batch_size=1, **tiles).compute()
    assert_same_field(alone.t2m, whole.t2m.isel(time=[3]))
    part = chunked.t2m.isel(time=4, latitude=slice(5, 9)).compute()
    expected = whole.t2m.isel(time=4, latitude=slice(5, 9))
    assert_same_field(part, expected)


def test_what_the_model_is_told_matters(trained, whole, lr, statics):
    """Terrain and coast upside down, and half a day later."""
    few, folder = lr.isel(time=slice(0, 5)), trained[1]
    tiles = {"tile": 24, "overlap": 8}
    turned = statics.copy(data={"z": statics.z.values[:, ::-1], "lsm": statics.lsm.values[:, ::-1]})
    other = ask(few, folder, covariates=turned, **tiles).compute()
    assert np.abs(other.t2m - whole.t2m).max() > 1e-3
    if trained[0].card.time_features:
        later = few.assign_coords(time=few.time + np.timedelta64(12, "h"))
        moved = ask(later, folder, **tiles).compute()
        assert np.abs(moved.t2m.values - whole.t2m.values).max() > 1e-3


def test_graph_and_card_tell_the_kind(trained):
    model, _ = trained
    assert model.card.kind in repr(model)
    assert repr(xdeepr.load(trained[1])) == repr(model)


# --- several fields at once ----------------------------------------------------------------------


def test_two_predictands_and_a_further_predictor(lr, hr, statics):
    """Each with its own units and normalization; wind is given in other units than it is made."""
    wind = hr.assign(wind=(0.1 * (hr.t2m - 280)).assign_attrs(units="m s-1"))
    coarse = lr.assign(
        wind=(0.36 * (lr.t2m - 280)).assign_attrs(units="km h-1"),
        msl=(1e5 + lr.t2m).assign_attrs(units="Pa"),
    )
    model = xdeepr.fit(
        coarse, wind, variables=["wind", "t2m"], covariates=statics, network=TINY, **QUICK
    )
    assert [q.name for q in model.card.predictands] == ["wind", "t2m"]
    assert [q.name for q in model.card.predictors] == ["t2m", "wind", "msl"]
    target = model.card.normalization["target"]
    assert target.std[0, 0, 0, 0] == pytest.approx(0.1 * target.std[0, 1, 0, 0], rel=1e-3)
    out = coarse.isel(time=slice(0, 2)).deepr.downscale(model, members=2, steps=2).compute()
    assert out.wind.attrs["units"] == "m s-1"
    assert out.wind.dims == out.t2m.dims
    assert float(np.abs(out.wind - 0.1 * (out.t2m - 280)).max()) < 10
    assert not np.array_equal(out.wind, out.t2m)


def test_covariates_that_vary_in_time(lr, hr, statics, tmp_path):
    """A covariate that is the truth itself, in °C on the HR grid, and one on the LR grid."""
    told = hr[["t2m"]].rename(t2m="told")
    told["told"] = (told.told - 273.15).assign_attrs(units="degC")
    both = told.assign(z=statics.z.isel(time=0, drop=True).interp_like(hr, method="nearest"))
    both["z"].attrs["units"] = "m2 s-2"
    model = roughen(xdeepr.fit(lr, hr, covariates=both, network=TINY, **QUICK))
    assert [q.name for q in model.card.varying] == ["told"]
    folder = model.save(tmp_path / "model")
    few = lr.isel(time=slice(2, 5))
    out = ask(few.chunk(time=2), folder, covariates=both.chunk(time=5)).compute()
    again = ask(few.isel(time=[1]), folder, covariates=both).compute()
    assert_same_field(again.t2m, out.t2m.isel(time=[1]))
    other = ask(few, folder, covariates=both.assign(told=both.told + 5)).compute()
    assert np.abs(other.t2m - out.t2m).max() > 1e-3
    with pytest.raises(GridError, match=r"needs.*told.*vary in time.*covariates="):
        ask(few, folder)


def test_a_model_that_does_without_its_covariates(lr, hr, statics):
    model = roughen(
        xdeepr.fit(lr, hr, covariates=statics, covariate_dropout=0.5, network=TINY, **QUICK)
    )
    few = lr.isel(time=slice(0, 2))
    told = ask(few, model).compute()
    north = few.assign_coords(latitude=few.latitude + 10)
    with pytest.warns(UserWarning, match=r"works without its covariates z, lsm"):
        untold = ask(north, model).compute()
    assert np.abs(untold.t2m.values - told.t2m.values).max() > 1e-3
    strict = xdeepr.fit(lr, hr, covariates=statics, network=TINY, **QUICK)
    with pytest.raises(GridError, match="pass covariates="):
        ask(north, strict)


def test_a_factor_of_five_has_networks_of_one_size(italy_hr, statics):
    """ConvSwin2SR at ×5 belongs to 40 × 40 pixels; a larger domain is tiled with them."""
    hr = italy_hr.isel(time=slice(0, 8), latitude=slice(0, 40), longitude=slice(0, 45))
    lr = hr.deepr.coarsen(5)
    for name, network in (("conv-swin2sr", SWIN), ("conv-baseline", {})):
        model = roughen(
            xdeepr.fit(lr, hr, model=name, covariates=statics, network=network, **QUICK)
        )
        assert model.card.tile == (40, 40)
        assert model.card.fixed_size
        out = lr.isel(time=slice(0, 2)).deepr.downscale(model)
        assert out.t2m.shape == (2, 40, 45)
        assert np.isfinite(out.t2m.compute()).all()
        small = lr.isel(time=[0], longitude=slice(0, 6)).deepr.downscale(model).compute()
        assert small.t2m.shape == (1, 40, 30)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "gan"}, "ddpm"),
        ({"model": "swin2srr"}, "swin2sr"),
        ({"network": {"name": "unett"}}, "unet"),
        ({"loss": "l1"}, "loss of its own"),
        ({"model": "regression", "loss": "l3"}, "three-term"),
        ({"model": "latent"}, "autoencoder="),
        ({"target": "difference"}, "residual"),
        ({"covariate_dropout": 1.5}, "0 to 1"),
        ({"covariate_dropout": 0.5}, "no covariates="),
        ({"normalization": "landmask-wise"}, "land_binary_mask"),
        ({"normalization": "global"}, "domain-wise"),
        ({"network": {"in_channels": 3}}, "follows from the data"),
        ({"diffusion": {"prediction": "noise"}}, "epsilon"),
        ({"model": "swin2sr", "context": -1}, "context"),
        ({"time_features": {"hour": "clas"}}, "class"),
    ],
)
def test_bad_options(options, words, lr, hr):
    with pytest.raises(OptionError, match=words):
        xdeepr.fit(lr, hr, **{**QUICK, "network": TINY, **options})


def test_parts_must_suit(parts, lr, hr, italy_hr):
    base, autoencoder = parts["on a base"]["base"], parts["latent"]["autoencoder"]
    with pytest.raises(OptionError, match="regression model is needed"):
        xdeepr.fit(lr, hr, base=autoencoder, **QUICK)
    with pytest.raises(OptionError, match="model='latent' only"):
        xdeepr.fit(lr, hr, autoencoder=autoencoder, **QUICK)
    with pytest.raises(OptionError, match="base= goes with diffusion"):
        xdeepr.fit(lr, hr, model="regression", base=base, **QUICK)
    with pytest.raises(GridError, match="same grids"):
        xdeepr.fit(lr, italy_hr, base=base, **QUICK)
    with pytest.raises(VariableError, match=r"makes t2m \[K\].*labels are t2m \[degC\]"):
        celsius = hr.assign(t2m=(hr.t2m - 273.15).assign_attrs(units="degC"))
        xdeepr.fit(lr, celsius, base=base, **QUICK)
    with pytest.raises(OptionError, match="autoencoder, which compresses"):
        lr.deepr.downscale(autoencoder)
    with pytest.raises(OptionError, match=r"members=3.*deterministic"):
        lr.deepr.downscale(base, members=3)


def test_cell_by_cell_normalization_belongs_to_its_domain(lr, hr, statics):
    model = xdeepr.fit(
        lr, hr, normalization="pixel-wise", covariates=statics, network=TINY, **QUICK
    )
    few = lr.isel(time=[0])
    model.network.eval()
    with pytest.raises(GridError, match=r"only on its training domain.*domain-wise"):
        few.assign_coords(latitude=few.latitude + 1).deepr.downscale(model, covariates=statics)
