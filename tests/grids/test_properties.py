"""Cells, nesting, orientation and coordinates, on made-up grids and on files as they come."""

from __future__ import annotations

from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.example_grids import latlon, open_real, projected
from xdeepr import cf
from xdeepr.errors import AxisError, GridError
from xdeepr.grids import Grid, Margin, as_user_order, ascending, grid_of, relate

# PROJ inside eccodes' wheels breaks the one inside pyproj's if it is loaded first, and xarray
# loads eccodes when it looks for a backend; a test module is imported before any test runs.
pyproj = pytest.importorskip("pyproj")

ITALY = "era5/era5_t2m_italy_3h_20220501_20220630.nc"
MOGREPS = "mogreps-uk/UKV_analysis_20170604T1500Z-temperature.nc"
XCLIM = (
    "awkward/xclim__tasmax_day_HadGEM2-CC_rcp85_r1i1p1_na10kgrid_qm-moving-50bins-detrend_2095.nc"
)


def assert_same_cells(a: Grid, b: Grid) -> None:
    for ours, theirs in ((a.y, b.y), (a.x, b.x)):
        np.testing.assert_allclose(ours.edges, theirs.edges, atol=1e-6 * ours.step, rtol=0)
        assert (ours.name, ours.descending) == (theirs.name, theirs.descending)
    assert a.kind == b.kind


@st.composite
def grids(draw: st.DrawFn, least: int = 2) -> Grid:
    """Latitude/longitude grids in any order, convention, precision, and place."""
    step = draw(st.sampled_from([0.1, 0.25, 0.75, 1 / 12, 1.0, 2.5]))
    n = draw(st.tuples(st.integers(least, 12), st.integers(least, 12)))
    phase = draw(st.sampled_from([0.0, 0.5, 0.28, 0.9]))
    south = draw(st.integers(-int(80 / step), int(50 / step)))
    west = draw(st.integers(-int(180 / step), int(370 / step)))
    lat = (south + phase + np.arange(n[0])) * step
    lon = (west + phase + np.arange(n[1])) * step
    convention = draw(st.sampled_from(["as it is", "0..360", "-180..180"]))
    if convention != "as it is":
        start = 0 if convention == "0..360" else -180
        lon = (lon - start + 1e-9) % 360 + start - 1e-9
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    da = latlon(lat.astype(dtype), lon.astype(dtype))
    flip = {dim: slice(None, None, -1) for dim in ("lat", "lon") if draw(st.booleans())}
    return grid_of(da.isel(flip))


class TestRealGrids:
    def test_era5_italy(self, data_dir: Path) -> None:
        """Latitude descends; coordinates are float32."""
        grid = grid_of(open_real(data_dir, ITALY))
        assert (grid.kind, grid.shape) == ("latlon", (43, 48))
        assert grid.y.descending
        assert not grid.x.descending
        assert grid.y.step == pytest.approx(0.25, abs=1e-6)
        np.testing.assert_allclose(grid.y.edges[[0, -1]], [36.275, 47.025], atol=1e-5)
        assert (np.diff(grid.y.centres) > 0).all()

    def test_era5_uk_grib(self, data_dir: Path) -> None:
        pytest.importorskip("cfgrib")
        ds = xr.open_dataset(
            data_dir / "era5/era5-2mt-2019-03-uk.grib",
            engine="cfgrib",
            backend_kwargs={"indexpath": ""},
        )
        grid = grid_of(ds)
        assert (grid.kind, grid.shape, grid.y.descending) == ("latlon", (33, 49), True)
        np.testing.assert_allclose(grid.x.centres[[0, -1]], [-10, 2])

    def test_era5_globe(self, data_dir: Path) -> None:
        ds = open_real(data_dir, "era5/ERA5_const_sfc_variables.nc")
        grid = grid_of(ds)
        assert grid.shape == (721, 1440)
        # the rows at the poles are half as high
        np.testing.assert_allclose(grid.area_weights()[0], grid.area_weights()[1] / 8, rtol=1e-3)
        assert grid.area_weights().mean() == pytest.approx(1)

    def test_italy_lies_in_the_globe(self, data_dir: Path) -> None:
        """Longitudes 0..360 against 6..19, and a grid that is not quite on ERA5's own."""
        globe = grid_of(open_real(data_dir, "era5/ERA5_const_sfc_variables.nc")).crop((4, 5, 0, 0))
        with pytest.raises(GridError, match="does not nest"):
            relate(globe.merge(4), grid_of(open_real(data_dir, ITALY)))

    def test_mogreps(self, data_dir: Path) -> None:
        grid = grid_of(open_real(data_dir, MOGREPS))
        assert (grid.kind, grid.shape) == ("projected", (200, 200))
        assert (grid.y.step, grid.x.step) == (2000, 2000)
        assert grid.mapping is not None
        assert grid.mapping[1]["grid_mapping_name"] == "lambert_azimuthal_equal_area"
        np.testing.assert_array_equal(grid.area_weights(), 1)

    def test_mogreps_lies_in_the_united_kingdom(self, data_dir: Path) -> None:
        """A cut-out has the origin of the whole, plus where it was cut."""
        part = grid_of(open_real(data_dir, MOGREPS))
        whole = grid_of(
            open_real(data_dir, "mogreps-uk/static_UK_2km_standard_grid_landmask_970x1042.nc")
        )
        cut = np.searchsorted(whole.y.centres, part.y.centres[0] - 1)
        assert part.origin()[0] == whole.origin()[0] + cut

    @pytest.mark.parametrize("name", ["ferret__etopo20.cdf", "ferret__etopo60.cdf"])
    def test_longitudes_past_360(self, data_dir: Path, name: str) -> None:
        grid = grid_of(open_real(data_dir, f"awkward/{name}"))
        assert grid.x.centres[-1] > 360
        assert 0 <= grid.origin()[1] < round(360 / grid.x.step)
        longitude = grid.refine(2).coordinates()[grid.x.name].values
        assert (np.diff(longitude) > 0).all()

    def test_rotated_pole(self, data_dir: Path) -> None:
        grid = grid_of(open_real(data_dir, "awkward/geocat__tas_rotated_grid_EUR11.nc"))
        assert (grid.kind, grid.shape) == ("rotated", (412, 424))
        assert grid.mapping is not None
        assert grid.x.attrs["standard_name"] == "grid_longitude"

    @pytest.mark.parametrize("name", [XCLIM, "awkward/gridmet__tmmx_20190121.nc"])
    def test_rounded_coordinates_are_even(self, data_dir: Path, name: str) -> None:
        grid = grid_of(open_real(data_dir, name))
        np.testing.assert_allclose(np.diff(grid.y.centres), grid.y.step, rtol=1e-9)

    def test_stretched_grid_is_refused(self, data_dir: Path) -> None:
        with pytest.raises(GridError, match=r"'grid_latitude' is not evenly spaced.*interp"):
            grid_of(open_real(data_dir, "awkward/cset__BLheight.nc"))

    def test_one_cell_is_refused(self) -> None:
        with pytest.raises(AxisError, match=r"'lat'.*at least 2"):
            grid_of(latlon(np.array([50.0]), np.arange(4.0)))


class TestRefineMergeCrop:
    @settings(deadline=None)
    @given(grid=grids(), factor=st.integers(2, 8))
    def test_merge_undoes_refine(self, grid: Grid, factor: int) -> None:
        fine = grid.refine(factor)
        assert fine.shape == (grid.y.size * factor, grid.x.size * factor)
        np.testing.assert_allclose(fine.y.edges[[0, -1]], grid.y.edges[[0, -1]], atol=1e-9)
        np.testing.assert_allclose(fine.x.edges[[0, -1]], grid.x.edges[[0, -1]], atol=1e-9)
        assert_same_cells(fine.merge(factor), grid)

    @settings(deadline=None)
    @given(lr=grids(), factor=st.integers(2, 8), margin=st.tuples(*[st.integers(0, 7)] * 4))
    def test_relate_finds_factor_and_margin(self, lr: Grid, factor: int, margin: Margin) -> None:
        fine = lr.refine(factor)
        margin = (
            min(margin[0], (fine.y.size - 2) // 2),
            min(margin[1], (fine.y.size - 2) // 2),
            min(margin[2], (fine.x.size - 2) // 2),
            min(margin[3], (fine.x.size - 2) // 2),
        )
        hr = fine.crop(margin)
        assert relate(lr, hr) == (factor, margin)

    def test_merge_needs_whole_blocks(self) -> None:
        grid = grid_of(latlon(np.arange(9.0), np.arange(8.0)))
        with pytest.raises(GridError, match=r"'lat' has 9 cells.*multiple of 4.*select 8"):
            grid.merge(4)

    def test_crop_must_leave_something(self) -> None:
        grid = grid_of(latlon(np.arange(6.0), np.arange(8.0)))
        with pytest.raises(GridError, match=r"'lon' has 8"):
            grid.crop((0, 0, 4, 3))


class TestRelate:
    LR = staticmethod(lambda: grid_of(latlon(np.arange(40.5, 50), np.arange(0.5, 20))))

    def hr(self, south: float, west: float, step: float = 0.25, n: int = 8) -> Grid:
        return grid_of(latlon(south + step * np.arange(n), west + step * np.arange(n)))

    @pytest.mark.parametrize("turn", [-360, 0, 360])
    def test_longitudes_are_compared_modulo_a_turn(self, turn: int) -> None:
        hr = self.hr(42.125, 3.125 + turn)
        assert relate(self.LR(), hr) == (4, (8, 24, 12, 60))

    def test_across_greenwich(self) -> None:
        """HR in 0..360 with the seam inside, LR in -180..180."""
        lr = grid_of(latlon(np.arange(40.5, 50), np.arange(-9.5, 10)))
        lon = (-1.75 + 0.5 * np.arange(8)) % 360
        assert lon[0] > lon[-1]
        hr = grid_of(latlon(40.25 + 0.5 * np.arange(20), lon))
        assert relate(lr, hr) == (2, (0, 0, 16, 16))

    def test_own_order_does_not_matter(self) -> None:
        lr = latlon(np.arange(40.5, 50), np.arange(0.5, 20)).isel(lat=slice(None, None, -1))
        assert relate(grid_of(lr), self.hr(42.125, 3.125)) == (4, (8, 24, 12, 60))

    def test_float32_coordinates(self) -> None:
        lr = latlon(
            (40 + 0.1 * np.arange(10)).astype("f4"), (345 + 0.1 * np.arange(10)).astype("f4")
        )
        hr = latlon(
            (39.975 + 0.05 * np.arange(20)).astype("f4"),
            (-15.025 + 0.05 * np.arange(20)).astype("f4"),
        )
        assert relate(grid_of(lr), grid_of(hr)) == (2, (0, 0, 0, 0))

    def test_shifted_cells(self) -> None:
        with pytest.raises(GridError, match=r"does not nest.*'lat'.*off by 0\.4.*deepr\.nest"):
            relate(self.LR(), self.hr(42.125 + 0.1, 3.125))

    def test_no_whole_factor(self) -> None:
        with pytest.raises(GridError, match=r"does not nest.*2\.5 HR cells.*deepr\.nest"):
            relate(self.LR(), self.hr(42.2, 3.2, step=0.4))

    @pytest.mark.parametrize("step", [1.0, 0.1])
    def test_factor_out_of_range(self, step: float) -> None:
        with pytest.raises(GridError, match="2 to 8"):
            relate(self.LR(), self.hr(42 + step / 2, 3 + step / 2, step=step, n=4))

    def test_different_factors(self) -> None:
        hr = grid_of(latlon(42.125 + 0.25 * np.arange(8), 3.25 + 0.5 * np.arange(8)))
        with pytest.raises(GridError, match=r"4 .*'lat'.*2 .*'lon'"):
            relate(self.LR(), hr)

    @pytest.mark.parametrize(
        ("south", "west", "said"),
        [
            (39.125, 3.125, r"4 HR cells.*low side of 'lat'"),
            (49.125, 3.125, r"4 HR cells.*high side of 'lat'"),
            (42.125, -0.875, r"4 HR cells.*low side of 'lon'"),
            (42.125, 19.125, r"4 HR cells.*high side of 'lon'"),
        ],
    )
    def test_outside_names_the_side(self, south: float, west: float, said: str) -> None:
        with pytest.raises(GridError, match=said):
            relate(self.LR(), self.hr(south, west))

    def test_kinds_must_agree(self) -> None:
        with pytest.raises(GridError, match=r"latlon.*projected.*regrid"):
            relate(self.LR(), grid_of(projected()))


class TestOrientation:
    @settings(deadline=None)
    @given(flips=st.tuples(st.booleans(), st.booleans()), wrapped=st.booleans())
    def test_user_order_undoes_ascending(self, flips: tuple[bool, bool], wrapped: bool) -> None:
        lon = 357.5 + np.arange(6.0)
        da = latlon(np.arange(4.0), lon % 360 if wrapped else lon)
        da = da.isel({d: slice(None, None, -1) for d, f in zip(da.dims, flips, strict=True) if f})
        axes = cf.find_axes(da)
        up = ascending(da.transpose("lon", "lat"), axes)
        assert up.dims == ("lat", "lon")
        np.testing.assert_array_equal(up.values, np.arange(24.0).reshape(4, 6))
        grid = grid_of(da)
        assert (grid.y.descending, grid.x.descending) == flips
        xr.testing.assert_identical(as_user_order(up, grid), da)

    def test_lazy(self, data_dir: Path) -> None:
        ds = open_real(data_dir, ITALY).chunk(time=100)

        def no_compute(*args: object, **kwargs: object) -> None:
            raise AssertionError("something was computed")

        with dask.config.set(scheduler=no_compute):
            grid = grid_of(ds)
            out = as_user_order(ascending(ds.t2m, cf.find_axes(ds)), grid)
        assert out.chunks == ds.t2m.chunks


class TestOrigin:
    @settings(deadline=None)
    @given(
        step=st.sampled_from([0.11, 2.0, 3.0]), start=st.integers(-500, 500), cut=st.integers(0, 20)
    )
    def test_part_of_a_projected_grid(self, step: float, start: int, cut: int) -> None:
        km = 1000 * step * (start + 0.28 + np.arange(24))
        ds = xr.Dataset({"t": (("y", "x"), np.zeros((24, 24)))}, {"y": km, "x": km})
        for dim in "yx":
            ds[dim].attrs["standard_name"] = f"projection_{dim}_coordinate"
        whole, part = grid_of(ds).origin(), grid_of(ds.isel(y=slice(cut, None))).origin()
        assert part == (whole[0] + cut, whole[1])

    def test_once_around(self) -> None:
        for lon in (np.arange(0.5, 360), np.arange(-179.5, 180), np.arange(20.5, 380)):
            da = latlon(np.arange(0.5, 4), lon)
            x = [grid_of(da.isel(lon=slice(i, i + 5))).origin()[1] for i in range(350)]
            assert x == [int(value) for value in lon[:350] % 360]


class TestCoordinates:
    def test_italy(self, data_dir: Path) -> None:
        ds = open_real(data_dir, ITALY)
        coords = grid_of(ds).refine(4).coordinates()
        latitude, bounds = coords["latitude"], coords["latitude_bnds"]
        assert latitude.attrs["bounds"] == "latitude_bnds"
        assert latitude.attrs["units"] == "degrees_north"
        assert latitude.attrs["axis"] == "Y"
        assert bounds.dims == ("latitude", "bnds")
        assert (latitude.diff("latitude") < 0).all()
        np.testing.assert_allclose(bounds[1:, 0], bounds[:-1, 1], atol=1e-9)
        np.testing.assert_allclose(bounds.mean("bnds"), latitude, atol=1e-5)
        np.testing.assert_allclose([bounds[0, 0], bounds[-1, 1]], [47.025, 36.275], atol=1e-5)

    def test_the_users_own_values_come_back(self, data_dir: Path) -> None:
        for name in (ITALY, MOGREPS, XCLIM, "awkward/ferret__etopo20.cdf"):
            ds = open_real(data_dir, name)
            grid = grid_of(ds)
            for axis in (grid.y, grid.x):
                values = grid.coordinates()[axis.name].values
                np.testing.assert_array_equal(values, ds[axis.name].values)

    def test_attributes_are_filled_in(self) -> None:
        da = latlon(np.arange(4.0), np.arange(4.0)).drop_attrs()
        coords = grid_of(da).coordinates()
        assert coords["lat"].attrs["units"] == "degrees_north"
        assert coords["lon"].attrs["standard_name"] == "longitude"

    def test_seam_inside_keeps_the_users_convention(self) -> None:
        lon = (358 + np.arange(4.0)) % 360
        coords = grid_of(latlon(np.arange(4.0), lon)).refine(2).coordinates()
        expected = [357.75, 358.25, 358.75, 359.25, 359.75, 0.25, 0.75, 1.25]
        np.testing.assert_allclose(coords["lon"], expected)
        np.testing.assert_allclose(coords["lon_bnds"].mean("bnds"), expected)

    def test_bounds_stop_at_the_pole(self, data_dir: Path) -> None:
        ds = open_real(data_dir, "era5/ERA5_const_sfc_variables.nc")
        bounds = grid_of(ds).coordinates()["latitude_bnds"]
        assert (float(bounds.max()), float(bounds.min())) == (90, -90)

    def test_projected_latitude_and_longitude(self, data_dir: Path) -> None:
        """The file carries none; its grid mapping, given to pyproj by hand, says where it is."""
        ds = open_real(data_dir, MOGREPS)
        coords = grid_of(ds).coordinates()
        attrs = ds["lambert_azimuthal_equal_area"].attrs
        proj = pyproj.Proj(
            proj="laea",
            lat_0=attrs["latitude_of_projection_origin"],
            lon_0=attrs["longitude_of_projection_origin"],
            a=attrs["semi_major_axis"],
            b=attrs["semi_minor_axis"],
        )
        x, y = np.meshgrid(ds.projection_x_coordinate, ds.projection_y_coordinate)
        lon, lat = proj(x, y, inverse=True)
        assert coords["latitude"].dims == ("projection_y_coordinate", "projection_x_coordinate")
        np.testing.assert_allclose(coords["latitude"], lat, atol=1e-6)
        np.testing.assert_allclose(coords["longitude"], lon, atol=1e-6)
        assert coords["lambert_azimuthal_equal_area"].attrs == attrs

    @pytest.mark.parametrize(
        ("name", "tolerance"),
        [
            ("iris__toa_brightness_stereographic.nc", 1e-4),
            ("iristest__mercator_toa_brightness_temperature.nc", 1e-4),
            # its mapping states no figure of the earth and is 253 m off: the file's own are kept
            ("iristest__test_lcc.nc", 0.0),
        ],
    )
    @pytest.mark.filterwarnings("ignore:the grid mapping:UserWarning")
    def test_as_in_projected_files(self, data_dir: Path, name: str, tolerance: float) -> None:
        ds = open_real(data_dir, f"awkward/{name}")
        coords = grid_of(ds).coordinates()
        np.testing.assert_allclose(coords["latitude"], ds["lat"], atol=tolerance)
        np.testing.assert_allclose(coords["longitude"], ds["lon"], atol=tolerance)

    def test_a_file_with_its_coordinates_passes_through_netcdf(self, tmp_path: Path) -> None:
        coords = grid_of(projected()).refine(2).coordinates()
        ds = xr.Dataset(coords={k: v for k, v in coords.items() if k != "crs"})
        ds = ds.assign(
            crs=coords["crs"], t=(("y", "x"), np.zeros((12, 16)), {"grid_mapping": "crs"})
        )
        ds.to_netcdf(tmp_path / "grid.nc")
        with xr.open_dataset(tmp_path / "grid.nc", engine="netcdf4") as read:
            assert_same_cells(grid_of(read), grid_of(projected()).refine(2))
            assert "_FillValue" not in read["x"].encoding


@settings(deadline=None)
@given(grid=grids())
def test_area_weights_are_areas_on_the_sphere(grid: Grid) -> None:
    south, north = np.deg2rad(grid.y.edges[:-1]), np.deg2rad(grid.y.edges[1:])
    # sin b − sin a, written another way
    area = 2 * np.cos((north + south) / 2) * np.sin((north - south) / 2)
    np.testing.assert_allclose(grid.area_weights(), area / area.mean(), rtol=1e-6)
