"""The models that DeepR published, by their names: what is known of them, and where they lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from torch.nn import functional

from tests.deepr_compat.checkpoints.folders import DDIM, UNET, unet, write_diffusion
from xdeepr.deepr_compat import from_deepr
from xdeepr.deepr_compat.checkpoints.cards import training_grids
from xdeepr.deepr_compat.checkpoints.description import (
    MEDITERRANEAN,
    PUBLISHED,
    Description,
    Facts,
)
from xdeepr.errors import CheckpointError, GridError, OptionError
from xdeepr.models.hub_answers import RENAMED

DDPM_ID = "predictia/sr_ddpm_mediterranean_reanalysis"
CONFIG = {**UNET, "sample_size": [160, 240]}


def mediterranean(times: int = 1) -> xr.Dataset:
    """ERA5 as DeepR selected it: latitude 46.45 to 35.50, longitude -8.35 to 6.60."""
    rng = np.random.default_rng(3)
    globe = xr.Dataset(
        coords={
            "latitude": ("latitude", np.arange(90, -90.1, -0.25), {"units": "degrees_north"}),
            "longitude": ("longitude", np.arange(-180, 180, 0.25), {"units": "degrees_east"}),
        }
    )
    ds = globe.sel(latitude=slice(46.45, 35.50), longitude=slice(-8.35, 6.60))
    assert dict(ds.sizes) == {"latitude": 44, "longitude": 60}
    ds = ds.expand_dims(
        time=np.datetime64("2018-07-01T12:00", "ns") + np.arange(times) * np.timedelta64(3, "h")
    )
    slope = 0.7 * (45 - ds.latitude) + 0.1 * ds.longitude
    noise = rng.standard_normal((times, 44, 60))
    ds["t2m"] = (("time", "latitude", "longitude"), (285 + slope.values + noise).astype("f4"))
    ds.t2m.attrs = {"units": "K", "standard_name": "air_temperature"}
    return ds


@pytest.fixture(scope="module")
def network():
    return unet(CONFIG)


@pytest.fixture
def folder(network, tmp_path):
    return write_diffusion(tmp_path / "model", network, config=CONFIG)


def test_the_grids_as_deepr_selected_them():
    grids = training_grids(Description("", Facts(MEDITERRANEAN)), (160, 240), lr_shape=(44, 60))
    assert grids.factor == 5
    assert grids.margin == (30, 30, 30, 30)
    assert grids.shift == (2, 0)
    lr = mediterranean()
    np.testing.assert_array_equal(grids.lr.y.known(), lr.latitude.values[::-1])
    np.testing.assert_array_equal(grids.lr.x.known(), lr.longitude.values)
    y, x = grids.coordinates().values()
    np.testing.assert_allclose([y[0], y[-1], x[0], x[-1]], [37, 44.95, -6.85, 5.1], atol=1e-9)
    assert (y.size, x.size) == (160, 240)


def test_published_diffusion_needs_nothing_but_its_name(folder, network):
    lr = mediterranean()
    model = from_deepr(folder, known_as=DDPM_ID)
    assert model.card.name == "sr_ddpm_mediterranean_reanalysis"
    out = lr.deepr.downscale(model, steps=2, seed=1)
    latitude = np.round(np.arange(44.95, 36.99, -0.05), 2)
    np.testing.assert_allclose(out.latitude, latitude, atol=1e-9)
    np.testing.assert_allclose(out.longitude, np.arange(-6.85, 5.11, 0.05), atol=1e-9)
    assert out.t2m.attrs["standard_name"] == "air_temperature"


def test_the_network_sees_what_deepr_showed_it(folder, monkeypatch):
    """The middle of the interpolated LR domain, although the HR domain lies 0.1° north of it."""
    lr = mediterranean()
    model = from_deepr(folder, known_as=DDPM_ID)
    seen = []
    forward = model.network.unet.forward
    monkeypatch.setattr(
        model.network.unet,
        "forward",
        lambda inputs, *more, **options: (
            seen.append((inputs.clone(), options["class_labels"])),
            forward(inputs, *more, **options),
        )[1],
    )
    from xdeepr.models import cache as model_cache

    monkeypatch.setattr(model_cache, "load_folder", lambda folder, **options: model)
    monkeypatch.setattr(model_cache, "_LOADED", {})
    lr.deepr.downscale(model, steps=1, seed=1).compute(scheduler="sync")
    fine = functional.interpolate(
        torch.from_numpy(lr.t2m.values)[:, None], scale_factor=5, mode="bicubic"
    )[..., 30:-30, 30:-30]
    wanted = (fine - fine.mean()) / fine.std()
    (inputs, labels), *more = seen
    assert not more
    torch.testing.assert_close(inputs[:, 1:], wanted, atol=2e-4, rtol=0)
    assert labels.tolist() == [12]


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_what_is_known(name):
    facts = PUBLISHED[name]
    assert facts.domain is MEDITERRANEAN
    assert dict(facts.predictors) == {"t2m": facts.predictors["t2m"]}
    assert facts.predictors["t2m"]["units"] == "K"
    diffusion = "ddpm" in name
    assert (facts.hour, facts.target) == (("class", "field") if diffusion else (None, None))
    assert facts.normalization == ("instance" if diffusion else "scale")


def test_renamed_models_are_known():
    assert set(RENAMED.values()) <= set(PUBLISHED)
    assert not set(RENAMED) & set(PUBLISHED)


def test_the_user_knows_better_than_the_table(folder):
    lr = mediterranean()
    moved = lr.assign_coords(longitude=lr.longitude + 10)
    model = from_deepr(
        folder, known_as=DDPM_ID, lr_grid=moved, factor=5, predictors={"t": "degC"}, name="mine"
    )
    assert model.card.predictors[0].name == "t"
    assert model.card.training["domain"].endswith("longitude 3.15 to 15.1")
    assert model.card.name == "mine"


def test_both_grids_given(folder):
    lr = mediterranean()
    hr = xr.Dataset(
        coords={
            "lat": ("lat", np.arange(37, 44.96, 0.05), {"units": "degrees_north"}),
            "lon": ("lon", np.arange(-6.85, 5.11, 0.05), {"units": "degrees_east"}),
        }
    )
    facts = {"known_as": DDPM_ID, "lr_grid": lr}
    model = from_deepr(folder, hr_grid=hr, **facts)
    assert model.card.to_json() == from_deepr(folder, known_as=DDPM_ID).card.to_json()
    with pytest.raises(OptionError, match=r"factor=4.*holds 5 cells"):
        from_deepr(folder, hr_grid=hr, factor=4, **facts)
    with pytest.raises(GridError, match=r"hr_grid has 150 × 240 cells.*160 × 240"):
        from_deepr(folder, hr_grid=hr.isel(lat=slice(0, 150)), **facts)
    with pytest.raises(OptionError, match="hr_grid= without lr_grid="):
        from_deepr(folder, known_as=DDPM_ID, hr_grid=hr)
    with pytest.raises(CheckpointError, match=r"Give factor= \("):
        from_deepr(folder, **facts)


def test_half_a_row_cannot_be_cut(folder):
    lr = mediterranean().isel(latitude=slice(1, None))
    with pytest.raises(GridError, match="215 HR cells, the model's fields have 160"):
        from_deepr(folder, known_as=DDPM_ID, lr_grid=lr, factor=5)


def test_default_solver_of_the_published_kind(folder):
    model = from_deepr(folder, known_as=DDPM_ID)
    assert model.card.diffusion.sampler == DDIM["_class_name"]
    assert model.card.diffusion.steps == 50


def test_size_of_the_published_network():
    """The file on the Hub has 257 MB: these are the widths that its configuration states."""
    from xdeepr.networks.published_unet import PublishedUNet

    config = {
        **{k: v for k, v in CONFIG.items() if not k.startswith("_")},
        "block_out_channels": [128, 256, 512],
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
        "layers_per_block": 2,
    }
    with torch.device("meta"):
        network = PublishedUNet(**config, time_labels={"hour": "class"})
    assert sum(p.numel() for p in network.parameters()) == 64_152_449
    assert network.multiple == 4
