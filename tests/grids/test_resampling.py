"""Fields of one grid at the cells of another."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xdeepr
from tests.conftest import TINY
from tests.example_grids import EUR11, latlon, open_real
from xdeepr.errors import GridError, OptionError
from xdeepr.grids import grid_of, gridded
from xdeepr.grids.resampling import EDGE
from xdeepr.inputs.covariates import covariates_on, statics_on, varying_on
from xdeepr.inputs.quantities import Quantity

METRES = [Quantity("z", "m")]


def globe(step: float, **options: Any) -> xr.DataArray:
    """Orography of the globe that is linear in latitude, in one row of chunks or in memory."""
    z = latlon(np.arange(-90, 90 + step / 2, step), np.arange(0, 360, step)).rename("z")
    z = (2 * z.lat).broadcast_like(z).transpose("lat", "lon").astype("f4").rename("z")
    return z.assign_attrs(units="m").chunk(**options) if options else z.assign_attrs(units="m")


# --- covariates on latitudes and longitudes ---------------------------------------------------


@pytest.fixture(params=["projected", "rotated", "curvilinear"])
def other(request: pytest.FixtureRequest, data_dir: Path, mogreps_hr: xr.Dataset) -> xr.Dataset:
    """A grid of each other kind, the rotated and the curvilinear one of EURO-CORDEX."""
    if request.param == "projected":
        return mogreps_hr
    ds = open_real(data_dir, EUR11)
    if request.param == "rotated":
        return ds
    lat, lon = ds.lat.load(), ds.lon.load()
    bare = ds.tas.drop_vars(["rlat", "rlon"], errors="ignore")
    bare.attrs.pop("grid_mapping", None)
    bare.encoding.pop("grid_mapping", None)
    return bare.assign_coords(lat=lat, lon=lon).to_dataset(name="tas")


def test_latitudes_and_longitudes_serve_all_kinds_of_grids(other: xr.Dataset) -> None:
    grid = grid_of(other)
    found = covariates_on(grid, gridded(globe(0.5)), METRES)[0]
    latitude, _ = grid.positions()
    assert found.shape == grid.shape
    np.testing.assert_allclose(found, 2 * latitude, atol=1e-3)


def test_lazy_fields_are_interpolated_in_parts(mogreps_hr: xr.Dataset, monkeypatch) -> None:
    """With the same bits, and each part from what lies around it."""
    grid = grid_of(mogreps_hr)
    rng = np.random.default_rng(4)
    z = globe(0.25)
    z = z.copy(data=rng.normal(size=z.shape).astype("f4")).to_dataset()
    whole = covariates_on(grid, gridded(z), METRES)
    monkeypatch.setattr("xdeepr.grids.resampling.EDGE", 64)
    lazy = statics_on(grid, gridded(z.chunk(lat=100, lon=100)), METRES)
    assert lazy.shape == whole.shape
    np.testing.assert_array_equal(lazy, whole)
    assert EDGE == 1024  # what the parts are by default


def test_varying_covariates_too(mogreps_hr: xr.Dataset) -> None:
    grid = grid_of(mogreps_hr)
    time = mogreps_hr.time[:3]
    z = globe(0.5, lat=100).expand_dims(time=time).to_dataset()
    found = varying_on(grid, gridded(z + np.arange(3)[:, None, None]), METRES, time)
    latitude, _ = grid.positions()
    for number, field in enumerate(np.asarray(found)[:, 0]):
        np.testing.assert_allclose(field, 2 * latitude + number, atol=1e-3)


def test_a_model_on_a_projection_with_global_statics(
    mogreps_lr: xr.Dataset, mogreps_hr: xr.Dataset, statics: xr.Dataset, data_dir: Path
) -> None:
    file = data_dir / "era5/ERA5_const_sfc_variables.nc"
    with xr.open_dataset(file, chunks={}) as ds:
        covariates = ds[["z", "lsm"]].isel(time=0, drop=True)
        times = slice(0, 2)
        model = xdeepr.fit(
            mogreps_lr.isel(time=times), mogreps_hr.isel(time=times), covariates=covariates,
            network=TINY, max_steps=2, batch_size=2, validation=None, progress=False,
        )  # fmt: skip
        kept = mogreps_lr.isel(time=[0]).deepr.downscale(model, steps=2)
        given = mogreps_lr.isel(time=[0]).deepr.downscale(model, steps=2, covariates=covariates)
    xr.testing.assert_equal(kept.wind_speed.compute(), given.wind_speed.compute())
    land = model.covariate_arrays["values"][1]
    assert 0.2 < land.mean() < 0.8


def test_what_does_not_cover_or_fit_is_refused(mogreps_hr: xr.Dataset, italy_hr: xr.Dataset):
    grid = grid_of(mogreps_hr)
    part = globe(0.5).sel(lat=slice(50, 60))
    with pytest.raises(GridError, match=r"covariate 'z' covers lat 50 to 60.*that covers it"):
        covariates_on(grid, gridded(part), METRES)
    with pytest.raises(GridError, match=r"on a projected grid, the HR grid is latlon: regrid"):
        covariates_on(
            grid_of(italy_hr), gridded(mogreps_hr.isel(time=0)), [Quantity("wind_speed", "m s-1")]
        )
    with pytest.raises(OptionError, match=r"method='cubic' is not one of bilinear, conservative"):
        xdeepr.nest(globe(0.5), italy_hr, method="cubic")  # type: ignore[arg-type]


# --- conservative -------------------------------------------------------------------------------


def rain(step: float, **chunks: int) -> xr.Dataset:
    """Showers on a part of the globe: most cells are dry."""
    rng = np.random.default_rng(7)
    field = latlon(np.arange(30 + step / 2, 60, step), np.arange(-10 + step / 2, 30, step))
    values = rng.gamma(0.2, 5, (2, *field.shape)).astype("f4")
    time = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    out = field.expand_dims(time=time).copy(data=values).assign_attrs(units="mm/day").rename("tp")
    return out.to_dataset().chunk(chunks) if chunks else out.to_dataset()


def total(field: xr.DataArray, rows: slice, columns: slice) -> float:
    """Integral over an area whose edges need not be those of cells."""
    grid = grid_of(field)

    def shared(edges: np.ndarray, low: float, high: float) -> np.ndarray:
        return np.diff(np.clip(edges, low, high))

    weights = [
        np.diff(np.sin(np.deg2rad(np.clip(grid.y.edges, rows.start, rows.stop)))),
        shared(grid.x.edges, columns.start, columns.stop),
    ]
    values = field.sortby("lat" if "lat" in field.dims else "latitude").values
    return float(np.einsum("yx,y,x", values, *weights))


@pytest.fixture
def labels() -> xr.DataArray:
    """A fine grid in which cells of 1° do not nest."""
    return latlon(np.arange(38.15, 52, 0.3), np.arange(2.05, 20, 0.3))


def test_conservative_keeps_totals(labels: xr.DataArray) -> None:
    """Rain on cells of 1° on cells of 1.2°: what falls on an area is the same."""
    coarse = rain(1.0)
    out = coarse.deepr.nest(labels, factor=4, method="conservative")
    assert "averaged over cells" in out.attrs["history"]
    bilinear = coarse.deepr.nest(labels, factor=4)
    inner = {"lon": slice(1, -1)}  # the outermost cells reach beyond the coarse data
    grid = grid_of(out.isel(inner))
    area = slice(*grid.y.edges[[0, -1]]), slice(*grid.x.edges[[0, -1]])
    for time in range(2):
        fell = total(coarse.tp[time], *area)
        assert total(out.tp[time].isel(inner), *area) == pytest.approx(fell, rel=2e-4)
        assert total(bilinear.tp[time].isel(inner), *area) != pytest.approx(fell, rel=2e-3)
    assert out.tp.dtype == np.float32
    assert out.tp.attrs["units"] == "mm/day"
    xr.testing.assert_equal(out.lat, bilinear.lat)


def test_conservative_on_a_projection(mogreps_hr: xr.Dataset) -> None:
    """Cells of one area: the sum over them is kept, of wind over 2 km moved by half a cell."""
    field = mogreps_hr.wind_speed.isel(time=[0])
    y, x = field.dims[-2:]
    labels = field.assign_coords({y: field[y] + 700, x: field[x] - 900}).isel(
        {y: slice(10, 90), x: slice(10, 90)}
    )
    out = field.deepr.coarsen(4).deepr.nest(labels, method="conservative")
    grid, coarse = grid_of(out), grid_of(field.deepr.coarsen(4))
    inner = {y: slice(1, -1), x: slice(1, -1)}
    area = grid.crop((1, 1, 1, 1))

    def shared(axis: Any, own: Any) -> np.ndarray:
        return np.diff(np.clip(own.edges, axis.edges[0], axis.edges[-1]))

    weights = shared(area.y, coarse.y), shared(area.x, coarse.x)
    expected = np.einsum("yx,y,x", field.deepr.coarsen(4)[0].values, *weights)
    cell = grid.y.step * grid.x.step
    assert float(out[0].isel(inner).astype("f8").sum()) * cell == pytest.approx(expected, rel=1e-6)


def test_conservative_is_lazy_and_the_same_in_chunks(labels, count_computes) -> None:
    whole = rain(1.0).deepr.nest(labels, factor=4, method="conservative")
    lazy = rain(1.0, time=1, lat=7, lon=11).deepr.nest(labels, factor=4, method="conservative")
    assert count_computes == [0]
    assert lazy.tp.chunks is not None
    np.testing.assert_allclose(lazy.tp, whole.tp, rtol=1e-5, atol=1e-6)


def test_conservative_across_the_seam() -> None:
    """A constant stays one, on both sides of Greenwich and in another convention."""
    field = (globe(1.0) * 0 + 7).assign_attrs(units="m").to_dataset()
    labels = latlon(np.arange(38.15, 52, 0.3), np.arange(-8.0, 8, 0.3))
    out = field.deepr.nest(labels, factor=4, method="conservative")
    np.testing.assert_allclose(out.z, 7, rtol=1e-6)


def test_conservative_over_missing_values(labels: xr.DataArray) -> None:
    """An average of what is there, if that is half of the cell."""
    coarse = rain(1.0)
    coarse["tp"] = xr.where(coarse.lon > 10, coarse.tp * 0 + 3, np.nan).transpose(*coarse.tp.dims)
    coarse["tp"].attrs["units"] = "mm/day"
    out = coarse.deepr.nest(labels, factor=4, method="conservative").tp[0]
    there = np.isfinite(out).all("lat")
    np.testing.assert_allclose(out.where(there, drop=True), 3, rtol=1e-6)
    assert not there.sel(lon=slice(None, 9)).any()
    assert there.sel(lon=slice(11, None)).all()
    assert float(out.lon[there].min()) == pytest.approx(10.5, abs=0.6)


def test_conservative_between_kinds_or_without_the_library(
    labels: xr.DataArray, mogreps_hr: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = globe(0.1)
    with pytest.raises(GridError, match=r"only method='bilinear'.*xesmf"):
        field.deepr.nest(mogreps_hr, factor=6, method="conservative")
    imported = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == "xarray_regrid":
            raise ImportError(name)
        return imported(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(OptionError, match=r"needs xarray-regrid: pip install 'xdeepr\[regrid\]'"):
        rain(1.0).deepr.nest(labels, factor=4, method="conservative")
