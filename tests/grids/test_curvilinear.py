"""Grids that are known by 2-D latitude and longitude alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xdeepr
from tests.awkward_cases import open_awkward, wrf_times
from tests.conftest import TINY
from xdeepr import cf
from xdeepr.errors import AxisError, GridError
from xdeepr.grids import grid_of, relate
from xdeepr.grids.centres import CellCentres
from xdeepr.grids.sphere import EARTH_RADIUS, cell_areas, distance, unit_vectors


def turned(
    n: int, m: int, step: float, lat0: float, lon0: float, angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of a square grid of cells about a place, turned by an angle.

    The plane is stereographic, projected by hand, so any place will do, the poles too.
    """
    y, x = (np.arange(k) - (k - 1) / 2 for k in (n, m))
    x, y = np.meshgrid(x * step, y * step)
    x, y = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    rho = np.hypot(x, y)
    c = 2 * np.arctan2(rho, 2.0)
    phi = np.deg2rad(lat0)
    safe = np.where(rho == 0, 1, rho)
    lat = np.arcsin(np.clip(np.cos(c) * np.sin(phi) + y * np.sin(c) * np.cos(phi) / safe, -1, 1))
    lon = np.arctan2(x * np.sin(c), rho * np.cos(phi) * np.cos(c) - y * np.sin(phi) * np.sin(c))
    return np.rad2deg(lat), np.rad2deg(lon) + lon0


def field(lat: np.ndarray, lon: np.ndarray, times: int = 0) -> xr.Dataset:
    n, m = lat.shape
    rng = np.random.default_rng(3)
    shape = (times, n, m) if times else (n, m)
    values = rng.normal(280, 5, shape).astype("f4")
    dims = ("time", "south_north", "west_east") if times else ("south_north", "west_east")
    coords = {
        "XLAT": (dims[-2:], lat, {"units": "degree_north"}),
        "XLONG": (dims[-2:], lon, {"units": "degree_east"}),
    }
    if times:
        coords["time"] = ("time", np.datetime64("2020-01-01", "ns") + np.arange(times) * 10**13)
    return xr.Dataset({"T2": (dims, values, {"units": "K"})}, coords)


@st.composite
def places(draw: st.DrawFn, n: int = 12, m: int = 16) -> tuple[np.ndarray, np.ndarray]:
    lat0 = draw(st.sampled_from([-90.0, -60, -3, 0, 45, 89, 90]))
    lon0 = draw(st.sampled_from([-180.0, -1, 0, 100, 179.5, 300]))
    step = draw(st.sampled_from([1, 9, 50])) / EARTH_RADIUS
    lat, lon = turned(n, m, step, lat0, lon0, draw(st.floats(0, 2 * np.pi)))
    return lat, lon if draw(st.booleans()) else lon % 360


class TestCellCentres:
    @settings(deadline=None, max_examples=40)
    @given(coords=places(), factor=st.integers(2, 4))
    def test_middles_of_the_parts_are_the_cells(
        self, coords: tuple[np.ndarray, np.ndarray], factor: int
    ) -> None:
        """Over poles and date line alike."""
        own = CellCentres.of(*coords)
        again = own.refine(factor).merge(factor)
        assert (distance(own.vectors, again.vectors) / own.size)[1:-1, 1:-1].max() < 5e-3
        lat, lon = own.refine(factor).degrees()
        assert (np.abs(lat) <= 90).all()
        assert own.west <= lon.min()
        assert lon.max() < own.west + 360

    @settings(deadline=None, max_examples=40)
    @given(coords=places(n=24, m=32), factor=st.sampled_from([2, 4]), data=st.data())
    def test_nesting_is_found(
        self, coords: tuple[np.ndarray, np.ndarray], factor: int, data: st.DataObject
    ) -> None:
        hr = field(*coords)
        lr = xdeepr.coarsen(hr, factor)
        cut = [data.draw(st.integers(0, 6)) for _ in range(4)]
        n, m = coords[0].shape
        part = hr.isel(south_north=slice(cut[0], n - cut[1]), west_east=slice(cut[2], m - cut[3]))
        assert relate(grid_of(lr), grid_of(part)) == (factor, tuple(cut))

    def test_areas_fill_the_sphere(self) -> None:
        lat, lon = np.meshgrid(np.arange(-88.0, 90, 4), np.arange(0.0, 360, 4), indexing="ij")
        areas = cell_areas(CellCentres.of(lat, lon).vectors)
        assert areas.sum() == pytest.approx(4 * np.pi, rel=2e-3)
        edges = np.deg2rad(np.arange(-90.0, 91, 4))
        exact = np.diff(np.sin(edges)) * np.deg2rad(4)
        # the edges of rows are great circles here and parallels there
        np.testing.assert_allclose(areas[5:-5, 3], exact[5:-5], rtol=2e-3)

    def test_the_values_of_the_file_are_kept_to_the_bit(self) -> None:
        lat, lon = turned(6, 8, 0.001, 50, 10, 0.3)
        lat, lon = lat.astype("f4"), lon.astype("f4")
        coords = grid_of(field(lat, lon)).coordinates()
        assert coords["XLAT"].dtype == np.float32
        np.testing.assert_array_equal(coords["XLAT"], lat)
        np.testing.assert_array_equal(coords["XLONG"], lon)
        assert coords["XLAT"].attrs["standard_name"] == "latitude"

    def test_parts_are_located(self) -> None:
        whole = CellCentres.of(*turned(20, 30, 0.002, 70, 179, 1.0))
        assert whole.locate(whole.cut(slice(3, 9), slice(5, 30))).first == (3, 5)
        assert not whole.locate(CellCentres.of(*turned(20, 30, 0.002, 60, 179, 1.0))).same()
        assert whole.cut(slice(0, 9), slice(0, 9)).locate(whole).part() is None
        # one row on: the last is not there
        moved = CellCentres(np.roll(whole.vectors, -1, axis=0))
        assert not whole.locate(moved).same()


class TestNesting:
    LR = staticmethod(lambda: field(*turned(10, 12, 0.008, 50, 10, 0.2)))

    @pytest.mark.parametrize(
        ("n", "step", "move", "message"),
        [
            (20, 0.0032, 0.0, r"an LR cell holds 2\.5 HR cells along 'south_north'"),
            (20, 0.0040, 0.05, r"off by 0\.\d+ of an HR cell.*xdeepr.coarsen"),
            (24, 0.0040, 0.0, r"2 HR cells beyond the LR domain on the low side of 'south_north'"),
            (10, 0.0008, 0.0, r"one whole number from 2 to 8"),
        ],
    )
    def test_refused(self, n: int, step: float, move: float, message: str) -> None:
        hr = field(*turned(n, n, step, 50 + move, 10, 0.2))
        with pytest.raises(GridError, match=message):
            relate(grid_of(self.LR()), grid_of(hr))

    def test_other_kinds_are_refused(self) -> None:
        lat, lon = np.linspace(45, 55, 11), np.linspace(5, 15, 11)
        other = xr.Dataset(coords={"lat": lat, "lon": lon})
        with pytest.raises(GridError, match=r"LR grid is curvilinear, the HR grid latlon"):
            relate(grid_of(self.LR()), grid_of(other))


class TestRefusals:
    def test_missing_coordinates(self) -> None:
        lat, lon = turned(6, 8, 0.001, 50, 10, 0.3)
        lat[2, 3] = np.nan
        with pytest.raises(AxisError, match=r"'XLAT' has 1 missing.*assign_coords.*select"):
            grid_of(field(lat, lon))

    def test_a_grid_that_moves(self) -> None:
        ds = field(*turned(6, 8, 0.001, 50, 10, 0.3), times=2)
        ds["XLAT"] = xr.concat([ds.XLAT, ds.XLAT + 1], "time").assign_attrs(ds.XLAT.attrs)
        with pytest.raises(AxisError, match=r"'XLAT' changes along 'time': the grid moves"):
            grid_of(ds)

    def test_a_grid_that_could_move_but_stays(self) -> None:
        ds = field(*turned(6, 8, 0.001, 50, 10, 0.3), times=2)
        expected = grid_of(ds).values()
        for name in ("XLAT", "XLONG"):
            ds[name] = xr.concat([ds[name]] * 2, "time").assign_attrs(ds[name].attrs)
        np.testing.assert_array_equal(grid_of(ds).values()[0], expected[0])

    def test_one_row(self) -> None:
        with pytest.raises(AxisError, match=r"at least 2 are needed"):
            grid_of(field(*turned(1, 8, 0.001, 50, 10, 0.3)))


class TestVerbs:
    def test_coarsen_weighs_by_area(self) -> None:
        """Cells of a polar stereographic grid grow away from the pole, those here by a lot."""
        ds = field(*turned(40, 40, 0.03, 90, 0, 0.0))
        area = grid_of(ds).area_weights()
        assert area.max() / area.min() > 1.3
        lr = xdeepr.coarsen(ds, 2)
        v = ds.T2.values.astype(float)
        blocks, cells = (a.reshape(20, 2, 20, 2) for a in (v * area, area))
        np.testing.assert_allclose(lr.T2, blocks.sum((1, 3)) / cells.sum((1, 3)), rtol=1e-6)
        again = xdeepr.coarsen(ds.transpose("west_east", "south_north"), 2)
        np.testing.assert_allclose(again.T2, lr.T2.T, rtol=1e-6)
        np.testing.assert_allclose(again.XLAT.T, lr.XLAT, atol=1e-9)

    def test_lazy(self, count_computes: list[int]) -> None:
        ds = field(*turned(12, 16, 0.001, 50, 10, 0.3), times=2).chunk(time=1)
        ds = ds.assign_coords(XLAT=ds.XLAT.compute(), XLONG=ds.XLONG.compute())
        count_computes[0] = 0
        xdeepr.downscale(xdeepr.coarsen(ds, 2), "bicubic", factor=2)
        assert count_computes == [0]

    def test_positions_among_the_data_variables(self) -> None:
        ds = field(*turned(12, 16, 0.001, 50, 10, 0.3), times=2)
        expected = xdeepr.downscale(ds, "bicubic", factor=2)
        for verb in (xdeepr.downscale, None):
            ours = ds.reset_coords(["XLAT", "XLONG"])
            if verb is None:
                assert set(xdeepr.coarsen(ours, 2).coords) >= {"XLAT", "XLONG"}
            else:
                xr.testing.assert_identical(
                    verb(ours, "bicubic", factor=2).drop_attrs(), expected.drop_attrs()
                )

    def test_interpolation_to_a_part(self) -> None:
        hr = field(*turned(24, 32, 0.001, 50, 10, 0.3))
        part = hr.isel(south_north=slice(4, 20), west_east=slice(6, 31))
        lr = xdeepr.coarsen(hr, 4)
        out = xdeepr.downscale(lr, "bilinear", like=part)
        whole = xdeepr.downscale(lr, "bilinear", factor=4)
        np.testing.assert_array_equal(out.T2, whole.T2[4:20, 6:31])
        np.testing.assert_array_equal(out.XLAT, part.XLAT)


class TestNoise:
    def test_counted_from_the_first_cell(self) -> None:
        ds = field(*turned(12, 16, 0.001, 50, 10, 0.3))
        assert grid_of(ds).origin() == (0, 0)
        assert grid_of(ds).refine(3).crop((2, 0, 4, 0)).origin() == (2, 4)
        assert grid_of(ds).period is None

    def test_or_by_integer_coordinates(self) -> None:
        ds = field(*turned(12, 16, 0.001, 50, 10, 0.3))
        ds = ds.assign_coords(south_north=np.arange(12), west_east=np.arange(16.0))
        part = ds.isel(south_north=slice(3, 9), west_east=slice(5, 16))
        assert grid_of(ds).origin() == (0, 0)
        assert grid_of(part).origin() == (3, 5)
        assert grid_of(part).refine(4).origin() == (12, 20)
        assert grid_of(part).kind == "curvilinear"


@pytest.fixture(scope="module")
def wrf(data_dir: Path) -> xr.Dataset:
    """2 m temperature of WRF about Tibet, two times, 48 × 40 cells of 10 km."""
    ds = wrf_times(open_awkward(data_dir, "salem__wrf_tip_d2.nc"))
    ds = ds[["T2"]].isel(south_north=slice(40, 80), west_east=slice(60, 108)).load()
    return ds.assign(T2=ds.T2.assign_attrs(units="K"))


def fit(lr: xr.Dataset, hr: xr.Dataset, **options: object) -> xdeepr.Downscaler:
    return xdeepr.fit(
        lr, hr, max_steps=3, batch_size=2, validation=None, network=TINY, precision="float32",
        progress=False, **options,
    )  # fmt: skip


class TestModels:
    """Everything that a trained model keeps or checks by coordinates."""

    def test_from_file_to_scores(self, wrf: xr.Dataset, tmp_path: Path) -> None:
        lr = xdeepr.coarsen(wrf, 4)
        static = wrf.isel(Time=0, drop=True).rename(T2="orog")
        static.orog.attrs["units"] = "m"
        model = fit(lr, wrf, covariates=static, time_features=["hour", "cos_solar_zenith"])
        path = model.save(tmp_path / "wrf")
        assert model.card.grid_kind == "curvilinear"
        assert model.card.resolution == pytest.approx((40, 40), rel=0.1)
        assert "km" in repr(model)
        # covariates are kept with the model, and found again by the places of the cells
        out = xdeepr.downscale(lr, path, members=2, steps=2).compute()
        np.testing.assert_array_equal(out.XLAT, wrf.XLAT)
        scores = xdeepr.verify(out, wrf, predictor=lr)
        assert np.isfinite(scores.rmse).all()
        part = wrf.isel(south_north=slice(4, 28), west_east=slice(8, 40))
        with_part = xdeepr.verify(
            out.isel(south_north=slice(4, 28), west_east=slice(8, 40)), wrf, baseline=None
        )
        ours = xdeepr.verify(
            out.isel(south_north=slice(4, 28), west_east=slice(8, 40)), part, baseline=None
        )
        np.testing.assert_allclose(with_part.rmse, ours.rmse)
        with pytest.raises(GridError, match=r"does not have the cells"):
            xdeepr.verify(out, part, baseline=None)

    def test_the_card_says_where(self) -> None:
        lat, lon = turned(8, 10, 9 / EARTH_RADIUS, 45, 10, 0.3)
        assert grid_of(field(lat, lon)).extent() == (
            f"XLAT {lat.min():g} to {lat.max():g}, XLONG {lon.min():g} to {lon.max():g}"
        )

    def test_covariates_of_another_place_are_refused(self, wrf: xr.Dataset) -> None:
        lr = xdeepr.coarsen(wrf, 4)
        static = wrf.isel(Time=0, drop=True).rename(T2="orog")
        static.orog.attrs["units"] = "m"
        with pytest.raises(GridError, match=r"'orog' does not have the cells.*regrid"):
            fit(lr, wrf, covariates=static.assign_coords(XLAT=static.XLAT + 1))
        model = fit(lr, wrf, covariates=static)
        moved = lr.assign_coords(XLAT=lr.XLAT + 1)
        with pytest.raises(GridError, match=r"needs the covariates orog"):
            xdeepr.downscale(moved, model)

    def test_a_model_that_is_bound_to_its_cells(self, wrf: xr.Dataset) -> None:
        lr = xdeepr.coarsen(wrf, 4)
        model = fit(lr, wrf, normalization="pixel-wise")
        xdeepr.downscale(lr.isel(south_north=slice(2, 8)), model, steps=2).compute()
        with pytest.raises(GridError, match=r"normalized cell by cell"):
            xdeepr.downscale(lr.assign_coords(XLAT=lr.XLAT + 1), model)

    def test_another_resolution_is_refused(self, wrf: xr.Dataset) -> None:
        model = fit(xdeepr.coarsen(wrf, 2), wrf)
        with pytest.raises(GridError, match=r"trained on LR cells of .*'south_north'"):
            xdeepr.downscale(xdeepr.coarsen(wrf, 4), model)

    def test_pictures(self, wrf: xr.Dataset) -> None:
        plotting = pytest.importorskip("xdeepr.plotting")
        pytest.importorskip("matplotlib")
        lr = xdeepr.coarsen(wrf, 4)
        out = xdeepr.downscale(lr, "bicubic", factor=4)
        static = wrf.isel(Time=0, drop=True).rename(T2="orog")
        part = out.isel(south_north=slice(4, 30), west_east=slice(8, 40))
        figure = plotting.plot_downscaling(lr, part, wrf, statics=static)
        shown = {ax.get_title(): ax for ax in figure.axes}
        meshes = {
            name: shown[name].collections[0].get_coordinates() for name in ("input", "downscaled")
        }
        # the corner of an LR cell is that of its HR cells, although the part was cut
        step = meshes["downscaled"][0, 1, 0] - meshes["downscaled"][0, 0, 0]
        west = meshes["downscaled"][0, 0, 0] - meshes["input"][0, 0, 0]
        assert west == pytest.approx(8 * step, rel=1e-6)
        assert "km" in shown["input"].get_xlabel()


def test_distance_is_that_of_the_great_circle() -> None:
    a, b = (
        unit_vectors(np.array([0.0, 90]), np.array([0.0, 0])),
        unit_vectors(np.array([0.0, -90]), np.array([90.0, 0])),
    )
    np.testing.assert_allclose(
        distance(a, b), EARTH_RADIUS * np.array([np.pi / 2, np.pi]), rtol=1e-12
    )


def test_grib_on_a_projection_by_its_own_formula(data_dir: Path) -> None:
    """The header has the projection, which is not used: HR cells against pyproj."""
    pytest.importorskip("cfgrib")
    pyproj = pytest.importorskip("pyproj")
    ds = open_awkward(data_dir, "iristest__lambert.grib2").isel(y=slice(0, 60), x=slice(0, 80))
    earth = {"a": 6371200, "b": 6371200}
    attrs = ds.t2m.attrs
    proj = pyproj.Proj(
        proj="lcc", lat_1=attrs["GRIB_Latin1InDegrees"], lat_2=attrs["GRIB_Latin2InDegrees"],
        lat_0=attrs["GRIB_LaDInDegrees"], lon_0=attrs["GRIB_LoVInDegrees"], **earth,
    )  # fmt: skip
    x, y = proj(ds.longitude.values, ds.latitude.values)
    step = attrs["GRIB_DxInMetres"]
    if np.abs(np.diff(x, axis=1) - step).max() > 5:
        pytest.fail("the header's projection does not give the file's own positions")
    out = xdeepr.downscale(ds, "nearest", factor=4)
    fine_x, fine_y = proj(out.longitude.values, out.latitude.values)
    wanted = (np.arange(320) + 0.5) / 4 - 0.5
    off = (fine_x - x[0, 0]) / step - wanted
    assert np.abs(off).max() < 0.01
    wanted = (np.arange(240) + 0.5) / 4 - 0.5
    assert np.abs((fine_y - y[0, 0]) / step - wanted[:, None]).max() < 0.01


def test_nothing_else_is_taken_for_curvilinear() -> None:
    """Metres with 2-D latitude and longitude, but without a mapping, stay metres."""
    lat, lon = turned(6, 8, 0.001, 50, 10, 0.3)
    ds = field(lat, lon).assign_coords(
        south_north=("south_north", 6371.0 * np.arange(6), {"units": "m", "axis": "Y"}),
        west_east=("west_east", 6371.0 * np.arange(8), {"units": "m", "axis": "X"}),
    )
    grid = grid_of(ds)
    assert grid.kind == "projected"
    flipped = ds.isel(south_north=slice(None, None, -1))
    for obj in (ds, flipped):
        out = xdeepr.downscale(obj, "nearest", factor=3)
        assert cf.find_axes(out) == cf.Axes("south_north", "west_east", None)
        np.testing.assert_allclose(out.latitude[1::3, 1::3], obj.XLAT, atol=1e-5)
        np.testing.assert_allclose(out.longitude[1::3, 1::3], obj.XLONG, atol=1e-5)
