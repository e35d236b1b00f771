"""Round the globe: tiles go on across the seam, and rows on the poles stay on the earth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

import xdeepr
from tests.conftest import TINY
from tests.downscaling.test_model_kinds import AUTOENCODER, QUICK, SWIN, roughen
from xdeepr.downscaling.model_source import resolve
from xdeepr.grids import grid_of, gridded
from xdeepr.testing import tolerance
from xdeepr.tiling.plan import make_plan

WINDOW, STRIDE = (32, 40), 32
"""Tiles of this size overlap by 8; with strides of 32 they close a ring of 128 columns."""

KINDS: dict[str, dict[str, Any]] = {
    "ddpm": {"network": TINY, "time_features": ("hour", "day_of_year")},
    "the sun's position": {
        "network": TINY,
        "time_features": {"cos_solar_zenith": "field", "local_solar_time": "field"},
    },
    "regression": {"model": "regression", "network": TINY},
    "swin2sr": {"model": "swin2sr", "network": SWIN},
    "conv-swin2sr": {"model": "conv-swin2sr", "network": SWIN},
    "conv-baseline": {"model": "conv-baseline"},
    "latent": {"model": "latent", "network": TINY},
    "on a base": {"network": TINY},
    "instance": {"network": TINY, "normalization": "instance", "target": "field"},
}


def weather(rows: int, columns: int) -> xr.DataArray:
    """Return smooth fields that know no seam."""
    rng = np.random.default_rng(8)
    waves = np.hypot(np.fft.fftfreq(rows)[:, None] * rows, np.fft.fftfreq(columns) * columns)
    noise = np.fft.fft2(rng.standard_normal((6, rows, columns)))
    smooth = np.fft.ifft2(noise / (1 + waves**2)).real
    return xr.DataArray(
        (285 + 5 * smooth / smooth.std()).astype("f4"),
        dims=("time", "lat", "lon"),
        coords={
            "time": np.datetime64("2021-06-01", "ns") + np.arange(6) * np.timedelta64(6, "h"),
            "lat": ("lat", -90 + (np.arange(rows) + 0.5) * 180 / rows, {"units": "degrees_north"}),
            "lon": ("lon", (np.arange(columns) + 0.5) * 360 / columns, {"units": "degrees_east"}),
        },
        name="t2m",
        attrs={"units": "K"},
    )


def train(hr: xr.DataArray, factor: int, **options: Any) -> xdeepr.Downscaler:
    """Train on windows, with orography that differs on the two sides of the seam."""
    z = (hr.lon * np.cos(np.deg2rad(hr.lat))).transpose("lat", "lon").astype("f4")
    statics = z.assign_attrs(units="m2 s-2").to_dataset(name="z")
    common = {"covariates": statics, "time_features": (), **QUICK}
    return roughen(xdeepr.fit(xdeepr.coarsen(hr, factor), hr, **{**common, **options}))


@pytest.fixture(scope="module")
def hr() -> xr.DataArray:
    return weather(32, 128)


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, hr: xr.DataArray) -> xdeepr.Downscaler:
    """A model of each kind, trained on windows."""
    parts: dict[str, Any] = {}
    if request.param == "latent":
        options = {"model": "autoencoder", "network": AUTOENCODER}
        parts = {"autoencoder": train(hr, 4, window=WINDOW, **options)}
    if request.param == "on a base":
        options = {"model": "regression", "network": TINY}
        parts = {"base": train(hr, 4, window=WINDOW, **options)}
    return train(hr, 4, window=WINDOW, **KINDS[request.param], **parts)


def turned(field: xr.DataArray, columns: int) -> xr.DataArray:
    """Return the same field of the globe, cut open elsewhere."""
    step = float(field.lon[1] - field.lon[0])
    lon = field.lon.copy(data=field.lon.values + columns * step)
    return field.roll(lon=-columns, roll_coords=False).assign_coords(lon=lon)


def ask(field: xr.DataArray, model: Any, **options: Any) -> xr.DataArray:
    """Downscale two times, with two members where the model has any."""
    if model.card.stochastic:
        options = {"members": 2, "steps": 3, **options}
    return field.isel(time=slice(0, 2)).deepr.downscale(model, **options).compute()


def off_by_turning(hr: xr.DataArray, model: Any, columns: int, **options: Any) -> xr.DataArray:
    """Return the change if the globe is cut open elsewhere, in tolerances, by longitude."""
    factor = model.card.factor
    lr = xdeepr.coarsen(hr, factor)
    here = ask(lr, model, **options)
    there = ask(turned(lr, columns // factor), model, **options)
    lon = here.lon.roll(lon=-columns, roll_coords=False).values
    np.testing.assert_allclose(there.lon % 360, lon, atol=1e-9)
    off = np.abs(here.copy(data=np.roll(there.values, columns, axis=-1)) - here)
    return (off / tolerance(here)).max([d for d in off.dims if d != "lon"])


# --- the seam -------------------------------------------------------------------------------------


def test_where_the_globe_is_cut_open_does_not_matter(model, hr: xr.DataArray) -> None:
    """With the same tiles the result is the same but for rounding."""
    assert off_by_turning(hr, model, STRIDE).max() <= 1


def test_tiles_of_a_fixed_size() -> None:
    """The network takes 8 × 8 LR cells with their context and nothing else."""
    hr = weather(40, 120)
    model = train(hr, 5, model="conv-baseline", window=40)
    assert model.card.fixed_size
    assert off_by_turning(hr, model, 30).max() < 10


@pytest.mark.parametrize("tile", [None, 200])
def test_one_tile_round_the_globe(tile: int | None, hr: xr.DataArray) -> None:
    """A domain that is one tile sees itself on the other side of the seam.

    As far as the network sees: not so far with windows of attention, all over with a U-Net.
    """
    model = train(hr, 4, **KINDS["swin2sr"])
    off = off_by_turning(hr, model, 20, tile=tile, overlap=16)
    blind = off_by_turning(hr, model, 20, tile=tile, overlap=0)
    seams = [-2, -1, 0, 1, 18, 19, 20, 21]
    assert off.isel(lon=seams).max() < 0.2 * blind.isel(lon=seams).max()


def test_blocks_round_the_globe(hr: xr.DataArray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut into blocks, each computed by itself, the field hardly changes, at the seam too."""
    model = train(hr, 4, window=WINDOW, network=TINY)
    lr = xdeepr.coarsen(hr, 4)
    whole = ask(lr, model)
    monkeypatch.setattr(
        "xdeepr.downscaling.request.make_plan",
        lambda *args, **kw: make_plan(*args, **{**kw, "block": 32}),
    )
    lazy = lr.isel(time=[0]).deepr.downscale(model, members=1, steps=3)
    assert lazy.chunksizes["lon"] == (32, 32, 32, 32)
    assert off_by_turning(hr, model, STRIDE).max() <= 1
    blocks = ask(lr, model)
    off = np.abs(blocks - whole).mean(("realization", "time", "lat"))
    assert float(off.max()) < 0.05 * float(whole.std())


def test_a_margin_of_the_training_is_not_cut_off_at_the_seam(hr: xr.DataArray) -> None:
    """Trained inside a larger LR domain, used all the way round."""
    part = hr.isel(lon=slice(32, 96), lat=slice(4, 28))
    lr = xdeepr.coarsen(hr, 4)
    model = roughen(
        xdeepr.fit(lr.isel(lon=slice(6, 26)), part, network=TINY, time_features=(), **QUICK)
    )
    assert min(model.card.margin) > 0
    out = ask(lr, model)
    assert out.sizes["lon"] == 128
    assert out.sizes["lat"] == 24
    assert grid_of(out).closed


# --- the poles ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_poles() -> xr.DataArray:
    """Rows centred on the poles, as ERA5 has them."""
    lat = ("lat", np.linspace(-90, 90, 17), {"units": "degrees_north"})
    return weather(17, 32).isel(time=[0]).assign_coords(lat=lat)


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("ascending", [True, False])
def test_rows_on_the_poles(
    with_poles: xr.DataArray, factor: int, method: str, *, ascending: bool
) -> None:
    lr = with_poles if ascending else with_poles.isel(lat=slice(None, None, -1))
    out = lr.to_dataset().deepr.downscale(method, factor=factor).compute()
    lat, step = out.lat.values, 11.25 / factor
    assert out.sizes["lat"] == 17 * factor - 2 * (factor // 2)
    assert np.abs(lat).max() == pytest.approx(90 if factor % 2 else 90 - step / 2)
    np.testing.assert_allclose(np.abs(np.diff(lat)), step)
    assert np.abs(out.lat_bnds).max() == 90
    # the rows are where an HR grid without the poles has them
    inner = lr.isel(lat=slice(1, -1)).deepr.downscale(method, factor=factor)
    same = out.t2m.sel(lat=inner.lat, method="nearest").isel(lat=slice(2 * factor, -2 * factor))
    np.testing.assert_allclose(same.lat, inner.lat[2 * factor : -2 * factor])
    np.testing.assert_allclose(same, inner.isel(lat=slice(2 * factor, -2 * factor)), rtol=1e-6)


def test_a_trained_model_on_the_poles() -> None:
    """The margin that leaves out what is beyond them is that of the base too."""
    hr = weather(64, 64)
    inner = hr.isel(lat=slice(2, -2))  # its LR cells touch those that are centred on the poles
    options = {"network": TINY, "time_features": (), "window": 20, **QUICK}
    lr = xdeepr.coarsen(inner, 4)
    base = roughen(xdeepr.fit(lr, inner, model="regression", **options))
    model = roughen(xdeepr.fit(lr, inner, base=base, **options))
    south = lr.isel(lat=[0]).assign_coords(lat=[-90.0])
    north = lr.isel(lat=[-1]).assign_coords(lat=[90.0])
    globe = xr.concat([south, lr, north], "lat").assign_coords(lat=np.linspace(-90, 90, 17))
    globe["lat"].attrs["units"] = "degrees_north"
    source = gridded(globe)
    found = resolve(model, source)
    cropped = found.on(source.grid)
    assert found.hr_grid(source.grid).shape == (64, 64)
    assert cropped.margin == (2, 2, 0, 0)
    assert cropped.base is not None
    assert cropped.base.margin == (2, 2, 0, 0)
    out = ask(globe, model)
    np.testing.assert_allclose(out.lat, hr.lat, atol=1e-9)
    assert np.isfinite(out).all()
