"""Area-weighted coarsening."""

from __future__ import annotations

from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xdeepr
from xdeepr.errors import GridError, OptionError
from xdeepr.grids import grid_of, relate
from xdeepr.grids.coarsening import coarsen

ITALY = "era5/era5_t2m_italy_3h_20220501_20220630.nc"
MASK = "mogreps-uk/static_land_binary_mask_200x200.nc"


def no_compute(*args: object, **kwargs: object) -> None:
    raise AssertionError("something was computed")


@pytest.fixture(scope="module")
def italy(data_dir: Path) -> xr.Dataset:
    """Two days of 2 m temperature; latitude descends, 43 × 48 cells."""
    ds = xr.open_dataset(data_dir / ITALY, engine="netcdf4")
    return ds.isel(time=slice(16)).load()


def made_up(values: np.ndarray, south: float, step: float, flip: bool) -> xr.DataArray:
    lat = south + step * (np.arange(values.shape[0]) + 0.5)
    lon = 5 + step * np.arange(values.shape[1])
    da = xr.DataArray(
        values,
        dims=("lat", "lon"),
        coords={
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
        name="t",
        attrs={"units": "K"},
    )
    return da.isel(lat=slice(None, None, -1)) if flip else da


def area_mean(da: xr.DataArray) -> float:
    """Mean over the sphere, from the definition: area between two parallels is sin − sin."""
    lat = da["lat"].values
    half = abs(lat[1] - lat[0]) / 2
    area = np.sin(np.deg2rad(lat + half)) - np.sin(np.deg2rad(lat - half))
    return float((da.values * area[:, None]).sum() / area.sum() / da.sizes["lon"])


class TestItaly:
    def test_values_are_area_means_of_blocks(self, italy: xr.Dataset) -> None:
        lr = coarsen(italy, 4, boundary="trim")
        assert dict(lr.t2m.sizes) == {"time": 16, "latitude": 10, "longitude": 12}
        block = italy.t2m.isel(latitude=slice(8, 12), longitude=slice(20, 24)).astype(float)
        edge = np.deg2rad(block.latitude.values.astype(float)[:, None] + [-0.125, 0.125])
        area = xr.DataArray(np.diff(np.sin(edge))[:, 0], dims="latitude")
        expected = block.weighted(area).mean(("latitude", "longitude"))
        np.testing.assert_allclose(lr.t2m[:, 2, 5], expected, rtol=3e-7)

    def test_centres_and_bounds(self, italy: xr.Dataset) -> None:
        lr = coarsen(italy, 4, boundary="trim")
        for name, n in (("latitude", 10), ("longitude", 12)):
            fine = italy[name].values.astype(float)[: 4 * n].reshape(n, 4)
            np.testing.assert_allclose(lr[name], fine.mean(axis=1), atol=1e-5)
            bounds = lr[lr[name].attrs["bounds"]]
            assert bounds.dims == (name, "bnds")
            np.testing.assert_allclose(bounds.mean("bnds"), lr[name], atol=1e-5)
            np.testing.assert_allclose(np.abs(bounds.diff("bnds")), 1)
            # CF 7.1: cells touch, in the order of the coordinate
            np.testing.assert_allclose(bounds[1:, 0], bounds[:-1, 1])
        assert lr.latitude[0] > lr.latitude[-1]

    def test_attributes(self, italy: xr.Dataset) -> None:
        lr = coarsen(italy, 4, boundary="trim")
        assert lr.t2m.attrs["units"] == "K"
        assert lr.t2m.attrs["cell_methods"].endswith("area: mean")
        assert lr.t2m.dtype == italy.t2m.dtype
        assert lr.latitude.attrs["standard_name"] == "latitude"
        newest, *older = lr.attrs["history"].splitlines()
        assert "xdeepr" in newest
        assert "\n".join(older) == italy.attrs.get("history", "").strip()
        assert "area: mean" not in italy.t2m.attrs.get("cell_methods", "")

    def test_nests_in_the_grid_it_came_from(self, italy: xr.Dataset) -> None:
        lr = coarsen(italy, 4, boundary="trim")
        hr = italy.isel(latitude=slice(0, 40))
        assert relate(grid_of(lr), grid_of(hr)) == (4, (0, 0, 0, 0))

    def test_exact_names_sizes_and_cure(self, italy: xr.Dataset) -> None:
        with pytest.raises(GridError, match=r"latitude: 43.*factor=4.*trim"):
            coarsen(italy, 4)

    def test_survives_a_file(self, italy: xr.Dataset, tmp_path: Path) -> None:
        lr = coarsen(italy, 4, boundary="trim")
        lr.to_netcdf(tmp_path / "lr.nc")
        with xr.open_dataset(tmp_path / "lr.nc", engine="netcdf4") as read:
            xr.testing.assert_allclose(read.t2m, lr.t2m)
            np.testing.assert_allclose(grid_of(read).y.centres, grid_of(lr).y.centres)

    @pytest.mark.parametrize("chunks", [{"time": 4}, {"time": 16, "latitude": 7, "longitude": 5}])
    def test_lazy_and_the_same_in_any_chunks(
        self, italy: xr.Dataset, chunks: dict[str, int]
    ) -> None:
        with dask.config.set(scheduler=no_compute):
            lr = coarsen(italy.chunk(chunks), 4, boundary="trim")
        expected = coarsen(italy, 4, boundary="trim")
        xr.testing.assert_allclose(lr.compute(), expected, rtol=1e-6)

    def test_array_and_dataset_agree(self, italy: xr.Dataset) -> None:
        lr = coarsen(italy.t2m, 4, boundary="trim")
        assert lr.name == "t2m"
        xr.testing.assert_allclose(lr, coarsen(italy, 4, boundary="trim").t2m)

    def test_public_name_and_accessor(self, italy: xr.Dataset) -> None:
        expected = coarsen(italy.t2m, 2, boundary="trim")
        xr.testing.assert_equal(xdeepr.coarsen(italy.t2m, 2, boundary="trim"), expected)
        xr.testing.assert_equal(italy.t2m.deepr.coarsen(2, boundary="trim"), expected)


def test_projected_grid_keeps_its_mapping(data_dir: Path) -> None:
    ds = xr.open_dataset(data_dir / MASK, engine="netcdf4")
    lr = coarsen(ds, 4)
    name = lr.land_binary_mask.attrs["grid_mapping"]
    assert lr[name].attrs["grid_mapping_name"] == "lambert_azimuthal_equal_area"
    blocks = ds.land_binary_mask.values.reshape(50, 4, 50, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(
        lr.land_binary_mask.transpose(..., *ds.land_binary_mask.dims), blocks
    )
    np.testing.assert_allclose(
        lr.projection_x_coordinate, ds.projection_x_coordinate.values.reshape(50, 4).mean(axis=1)
    )


def test_other_variables_pass_through(italy: xr.Dataset) -> None:
    ds = italy.assign(co2=("time", np.arange(16.0)), note=((), 7))
    out = coarsen(ds, 4, boundary="trim")
    xr.testing.assert_identical(out.co2, ds.co2)
    assert out.note == 7


def test_further_dimensions_keep_their_place(rng: np.random.Generator) -> None:
    values = rng.normal(size=(4, 6))
    da = made_up(values, 40, 0.5, False).expand_dims(member=3).transpose("lat", "member", "lon")
    assert coarsen(da, 2).dims == ("lat", "member", "lon")


def test_missing_value_makes_its_block_missing(rng: np.random.Generator) -> None:
    values = rng.normal(size=(4, 6))
    values[0, 0] = np.nan
    out = coarsen(made_up(values, 40, 0.5, False), 2)
    assert np.isnan(out.values[0, 0])
    assert np.isnan(out.values).sum() == 1


@pytest.mark.parametrize("factor", [0, 1, -2, 2.0, True, "2"])
def test_bad_factor(italy: xr.Dataset, factor: object) -> None:
    with pytest.raises(OptionError, match="factor="):
        coarsen(italy, factor)  # type: ignore[arg-type]


def test_bad_boundary(italy: xr.Dataset) -> None:
    with pytest.raises(OptionError, match="boundary='pad' is not one of exact, trim"):
        coarsen(italy, 4, boundary="pad")  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    blocks=st.tuples(st.integers(2, 5), st.integers(2, 5)),
    factor=st.integers(2, 5),
    south=st.floats(-85, 40),
    step=st.sampled_from([0.1, 0.25, 1.0]),
    flip=st.booleans(),
)
def test_the_mean_over_the_domain_is_preserved(
    seed: int, blocks: tuple[int, int], factor: int, south: float, step: float, flip: bool
) -> None:
    shape = (blocks[0] * factor, blocks[1] * factor)
    hr = made_up(np.random.default_rng(seed).normal(size=shape), south, step, flip)
    assert area_mean(coarsen(hr, factor)) == pytest.approx(area_mean(hr), abs=1e-9)


@settings(deadline=None)
@given(factor=st.integers(2, 4), south=st.floats(-80, 60))
def test_twice_is_once_by_the_product(factor: int, south: float) -> None:
    values = np.random.default_rng(5).normal(size=(4 * factor, 4 * factor))
    hr = made_up(values, south, 0.25, False)
    xr.testing.assert_allclose(coarsen(coarsen(hr, 2), factor), coarsen(hr, 2 * factor))


@settings(deadline=None)
@given(value=st.floats(-1e3, 1e3), flip=st.booleans())
def test_a_constant_stays_constant(value: float, flip: bool) -> None:
    out = coarsen(made_up(np.full((6, 6), value), 10, 0.5, flip), 3)
    np.testing.assert_allclose(out, value, rtol=1e-12)
