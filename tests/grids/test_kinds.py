"""Gaussian rows, the seam of the globe, and what says where cells lie."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xdeepr
from tests.conftest import TINY
from tests.example_grids import latlon, projected
from xdeepr import cf
from xdeepr.errors import AxisError, GridError
from xdeepr.grids import KINDS, grid_of, relate

pyproj = pytest.importorskip("pyproj")


def gaussian(n: int) -> np.ndarray:
    """Gaussian latitudes, from south to north."""
    return np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(n)[0]))


def globe(n: int = 24, m: int = 48, start: float = 0.0, *, rows: str = "even") -> xr.DataArray:
    lat = gaussian(n) if rows == "gaussian" else (np.arange(n) + 0.5) * 180 / n - 90
    lon = start + np.arange(m) * 360 / m
    a, o = np.deg2rad(lat)[:, None], np.deg2rad(lon)
    wave = 280 + 10 * np.cos(a) * np.cos(o) + 5 * np.cos(a) ** 2 * np.sin(2 * o)
    return latlon(lat, lon).copy(data=wave).assign_attrs(units="K")


class TestGaussian:
    @pytest.mark.parametrize("n", [32, 64, 96, 160, 320])
    @pytest.mark.parametrize("factor", [2, 4])
    def test_rows_are_where_they_are(self, n: int, factor: int) -> None:
        """They were evened out once, by up to a hundredth of a cell."""
        da = globe(n, 2 * n, rows="gaussian")
        grid = grid_of(da)
        np.testing.assert_array_equal(grid.y.centres, da.lat)
        assert not grid.y.even
        fine = grid.refine(factor)
        assert relate(grid, fine) == (factor, (0, 0, 0, 0))
        np.testing.assert_allclose(fine.y.edges[factor:-1:factor], grid.y.edges[1:-1], atol=1e-9)
        # what was written is read again
        again = grid_of(xr.Dataset(coords=fine.coordinates()))
        np.testing.assert_allclose(again.y.centres, fine.y.centres, atol=1e-8)
        assert relate(grid, again) == (factor, (0, 0, 0, 0))

    @settings(deadline=None, max_examples=30)
    @given(n=st.sampled_from([32, 48, 96]), data=st.data())
    def test_a_cell_has_the_same_index_in_every_domain(self, n: int, data: st.DataObject) -> None:
        da = globe(n, 2 * n, rows="gaussian")
        low = data.draw(st.integers(0, n - 3))
        high = data.draw(st.integers(low + 2, n))
        part = da.isel(lat=slice(low, high))
        assert grid_of(part).origin()[0] == grid_of(da).origin()[0] + low

    def test_coarsened_rows_lie_between_their_parts(self) -> None:
        da = globe(96, 192, rows="gaussian")
        lr = xdeepr.coarsen(da, 2)
        np.testing.assert_allclose(lr.lat, da.lat.values.reshape(-1, 2).mean(axis=1), atol=1e-8)
        assert relate(grid_of(lr), grid_of(da)) == (2, (0, 0, 0, 0))
        out = xdeepr.downscale(lr, "nearest", like=da)
        np.testing.assert_array_equal(out.lat, da.lat)

    def test_areas_sum_to_the_globe(self) -> None:
        grid = grid_of(globe(96, 192, rows="gaussian"))
        weights = np.polynomial.legendre.leggauss(96)[1]
        ours = grid.area_weights() / grid.area_weights().sum()
        np.testing.assert_allclose(ours[5:-5], weights[5:-5] / 2, rtol=1e-3)

    @pytest.mark.parametrize("digits", [1, 2, 3])
    def test_rounded_decimals_are_evened_out(self, digits: int) -> None:
        step = {1: 0.5 + 1e-3, 2: 1 / 3, 3: 1 / 12}[digits]
        lat = np.round(40 + step * np.arange(25), digits)
        try:
            grid = grid_of(latlon(lat, np.arange(4.0)))
        except GridError:
            assert digits == 1  # rounded to more than a fiftieth of a cell
        else:
            assert grid.y.even
            np.testing.assert_array_equal(grid.coordinates()["lat"], lat)

    def test_stretched_rows_are_refused(self) -> None:
        lat = np.cumsum(1.02 ** np.arange(20.0))
        with pytest.raises(GridError, match=r"not evenly spaced.*linspace\(1, .*, 20\)"):
            grid_of(latlon(lat, np.arange(4.0)))


class TestSeam:
    @pytest.mark.parametrize("method", ["bilinear", "bicubic"])
    @pytest.mark.parametrize("start", [0.0, -180.0, 20.0])
    def test_interpolation_does_not_see_it(self, method: str, start: float) -> None:
        """The globe cut elsewhere gives the same field."""
        lr = globe(start=start).rename("t")
        out = xdeepr.downscale(lr, method, factor=4)
        moved = lr.roll(lon=7, roll_coords=False).assign_coords(lon=lr.lon - 7 * 7.5)
        ours = xdeepr.downscale(moved, method, factor=4)
        np.testing.assert_allclose(ours.roll(lon=-28, roll_coords=False), out, rtol=1e-6)

    def test_chunks_do_not_matter(self) -> None:
        lr = globe().rename("t")
        whole = xdeepr.downscale(lr, "bicubic", factor=4)
        parts = xdeepr.downscale(lr.chunk(lon=11, lat=5), "bicubic", factor=4)
        np.testing.assert_array_equal(whole, parts)

    def test_a_column_that_is_there_twice(self) -> None:
        lr = globe().rename("t")
        twice = xr.concat([lr, lr.isel(lon=[0]).assign_coords(lon=[360.0])], "lon")
        assert grid_of(twice).closed
        out = xdeepr.downscale(twice, "bicubic", factor=3).values
        np.testing.assert_allclose(out[:, :3], out[:, -3:], rtol=1e-6)
        once = xdeepr.downscale(lr, "bicubic", factor=3)
        np.testing.assert_allclose(out[:, :-3], once, rtol=1e-6)

    @pytest.mark.parametrize("columns", [slice(0, 40), slice(0, 47)])
    def test_a_part_has_no_seam(self, columns: slice) -> None:
        lr = globe().rename("t").isel(lon=columns)
        assert not grid_of(lr).closed
        out = xdeepr.downscale(lr, "bilinear", factor=2)  # the edge is repeated
        np.testing.assert_allclose(out[5, 0], 0.75 * lr[2, 0] + 0.25 * lr[3, 0], rtol=1e-6)

    def test_a_trained_model_is_given_the_other_side(self) -> None:
        times = np.arange("2020-01-01", "2020-01-05", dtype="datetime64[D]").astype("M8[ns]")
        hr = xr.concat([globe(32, 64) + k for k in range(4)], "time").assign_coords(time=times)
        hr = hr.assign_attrs(units="K").rename("t").astype("f4")
        lr = xdeepr.coarsen(hr, 2)
        model = xdeepr.fit(
            lr, hr, model="regression", max_steps=2, batch_size=2, validation=None, network=TINY,
            precision="float32", progress=False, time_features=(),
        )  # fmt: skip
        # a fresh network adds next to nothing: what would be seen at the edge is the base
        off = np.abs(xdeepr.downscale(lr, model).compute() - hr).isel(lat=slice(4, -4))
        inside = float(off.isel(lon=slice(8, -8)).max())
        assert float(off.isel(lon=[0, 1, -2, -1]).max()) < 1.2 * inside


class TestMappingAgainstPositions:
    @staticmethod
    def ds(**attrs: float) -> xr.Dataset:
        ds = projected()
        coords = grid_of(ds).coordinates()
        ds = ds.assign_coords(
            lat=coords["latitude"].drop_vars(list(coords["latitude"].coords)),
            lon=coords["longitude"].drop_vars(list(coords["longitude"].coords)),
        )
        ds["crs"].attrs.update(attrs)
        return ds

    def test_agreement(self) -> None:
        grid = grid_of(self.ds())
        assert grid.centres is None
        np.testing.assert_allclose(grid.coordinates()["latitude"], self.ds().lat, atol=1e-9)

    def test_the_file_is_believed_where_they_differ_a_little(self) -> None:
        ds = self.ds(semi_major_axis=6371229.0, semi_minor_axis=6371229.0)
        ds["crs"].attrs.update(latitude_of_projection_origin=54.895)
        with pytest.warns(UserWarning, match=r"'crs' puts cells up to \d+ m.*shape of the earth"):
            out = grid_of(ds).refine(3).coordinates()
        np.testing.assert_allclose(out["latitude"][1::3, 1::3], ds.lat, atol=1e-6)

    def test_a_contradiction_is_refused(self) -> None:
        ds = self.ds(longitude_of_projection_origin=10.0)
        with pytest.raises(GridError, match=r"'crs' puts cells \d+ km.*drop_vars\(\['lat', 'lon'"):
            grid_of(ds)
        for cure in (ds.drop_vars("crs"), ds.drop_vars(["lat", "lon"])):
            assert grid_of(cure).kind == "projected"

    def test_without_a_mapping_the_positions_are_interpolated(self) -> None:
        ds = self.ds().drop_vars("crs").isel(y=slice(None, None, -1))
        fine = grid_of(ds).refine(3).coordinates()
        exact = grid_of(self.ds().isel(y=slice(None, None, -1))).refine(3).coordinates()
        for name in ("latitude", "longitude"):
            np.testing.assert_allclose(fine[name], exact[name], atol=1e-5)

    def test_positions_that_were_never_written_are_left_out(self) -> None:
        ds = self.ds()
        ds = ds.assign_coords(lat=ds.lat * 0 + 9.969209968386869e36)
        assert grid_of(ds).coordinates()["latitude"].max() < 60

    def test_a_mapping_that_was_left_out(self) -> None:
        with pytest.warns(UserWarning, match=r"'t' names the grid mapping 'crs'.*decode_coords"):
            grid_of(projected()[["t"]])


def test_coordinates_that_say_nothing_are_refused() -> None:
    ds = xr.Dataset({"t": (("y", "x"), np.zeros((3, 4)))}, {"y": [1.0, 2, 3], "x": [1.0, 2, 3, 4]})
    with pytest.raises(AxisError, match=r"not known what 'y' and 'x' measure.*rename.*projection"):
        grid_of(ds)
    grid_of(ds.rename(y="lat", x="lon"))
    ds.y.attrs.update(standard_name="projection_y_coordinate", units="m")
    assert grid_of(ds).kind == "projected"


def test_missing_coordinate_values_are_refused() -> None:
    with pytest.raises(AxisError, match=r"'lat' has 1 missing"):
        grid_of(latlon(np.array([1.0, np.nan, 3]), np.arange(4.0)))


@pytest.mark.parametrize("cut", [0, 3])
@pytest.mark.parametrize("factor", [2, 3])
def test_a_rotated_pole_lr_and_hr(data_dir: Path, cut: int, factor: int) -> None:
    """HR positions by pyproj, and LR from HR and HR from LR by the file's own."""
    name = "awkward/esgf__tas_EUR-22_MPI-M-MPI-ESM-LR_rcp85_r1i1p1_GERICS-REMO2015_v1_mon_202101.nc"
    ds = xr.open_dataset(data_dir / name)
    ds = ds.isel(rlat=slice(cut, 60 + cut), rlon=slice(cut, 72 + cut))
    lr = xdeepr.coarsen(ds, factor)
    back = xdeepr.downscale(lr, "nearest", like=ds)
    for which, own in (("latitude", ds.lat), ("longitude", ds.lon)):
        off = (back[which].values - own.values + 180) % 360 - 180
        np.testing.assert_allclose(off, 0, atol=2e-3)
    crs = pyproj.CRS.from_cf(ds.rotated_latitude_longitude.attrs)
    to = pyproj.Transformer.from_crs(crs, crs.source_crs, always_xy=True)
    for obj in (lr, grid_of(ds).refine(factor).coordinates()):
        lon, lat = to.transform(*np.meshgrid(obj["rlon"].values, obj["rlat"].values))
        np.testing.assert_allclose(obj["latitude"], lat, atol=1e-7)
        np.testing.assert_allclose((obj["longitude"] - lon + 180) % 360 - 180, 0, atol=1e-7)


class TestFillValues:
    FILL = np.float32(9.969209968386869e36)

    def test_are_missing(self) -> None:
        da = globe().astype("f4").rename("t")
        hole = da.copy()
        hole[3, 4] = self.FILL
        lr = xdeepr.coarsen(hole, 2)
        assert np.isnan(lr[1, 2])
        assert np.isnan(lr).sum() == 1
        with pytest.raises(xdeepr.errors.MissingValuesError, match=r"'t' has 1 missing"):
            xdeepr.downscale(hole, "nearest", factor=2).compute()

    @settings(deadline=None)
    @given(value=st.floats(-(2.0**100), 2.0**100, width=32))
    def test_nothing_else_is(self, value: float) -> None:
        da = xr.DataArray(np.array([value, np.nan], "f4"), attrs={"units": "K"})
        xr.testing.assert_identical(cf.without_fill_values(da), da)

    def test_integers_are_left_alone(self) -> None:
        da = xr.DataArray(np.arange(3))
        assert cf.without_fill_values(da) is da


@pytest.mark.parametrize(
    ("stated", "known"),
    [("METERS", "m"), ("KELVIN", "K"), ("degrees_celsius", "degC"), ("Degrees_Celsius", "degC")],
)
def test_names_of_units_in_any_case(stated: str, known: str) -> None:
    da = xr.DataArray([1.0], name="v", attrs={"units": stated})
    np.testing.assert_allclose(cf.convert_units(da, known), 1.0)


def test_coarsening_keeps_bounds_of_time_and_the_input(data_dir: Path) -> None:
    name = "awkward/iristest__small_rotPole_precipitation.nc"
    ds = xr.open_dataset(data_dir / name).drop_vars(["lat", "lon"]).isel(rlat=slice(0, 20))
    ds.rlat.attrs["bounds"] = "rlat_bounds"  # named, but not there
    before = ds.copy(deep=True)
    lr = xdeepr.coarsen(ds, 2)
    xr.testing.assert_identical(lr.time_bnds.variable, ds.time_bnds.variable)
    assert lr.time.attrs["bounds"] == "time_bnds"
    assert lr.rlat.attrs["bounds"] == "rlat_bnds"
    xr.testing.assert_identical(ds, before)


PACKAGE = Path(xdeepr.__file__).parent


def asked_kinds(tree: ast.AST) -> Iterator[int]:
    """Lines that ask which kind a grid is: by its name, or by comparing two kinds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in tuple(KINDS):
            yield node.lineno
        elif isinstance(node, ast.Compare):
            names = [n.attr for n in (node.left, *node.comparators) if isinstance(n, ast.Attribute)]
            if names.count("kind") > 1 or "grid_kind" in names:
                yield node.lineno


@pytest.mark.parametrize("wing", sorted(p.name for p in PACKAGE.iterdir() if p.name != "grids"))
def test_only_grids_know_the_kinds_of_grids(wing: str) -> None:
    """A new kind is a class in grids/kinds.py, and nothing else has to learn of it."""
    found = []
    for path in sorted({PACKAGE / wing, *(PACKAGE / wing).rglob("*.py")}):
        if path.suffix == ".py":
            lines = asked_kinds(ast.parse(path.read_text()))
            found += [f"{path.relative_to(PACKAGE)}:{line}" for line in lines]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "if grid.kind == 'latlon': pass",
        "ok = grid.kind not in ('rotated', 'projected')",
        "if lr.kind != hr.kind: pass",
        "unit = {'curvilinear': 'km'}.get(kind)",
        "if grid.kind != card.grid_kind: pass",
        "match grid.kind:\n    case 'latlon': pass",
    ],
)
def test_the_detector_sees_questions_for_a_kind(code: str) -> None:
    assert list(asked_kinds(ast.parse(code))) != []


def test_and_nothing_else() -> None:
    code = "if card.kind == 'latent': pass\nf(grid_kind=grid.kind)\nx.dtype.kind in 'iu'\ny = 'lat'"
    assert list(asked_kinds(ast.parse(code))) == []


def test_a_kind_has_all_that_is_asked_of_it() -> None:
    for name, kind in KINDS.items():
        assert kind.kind == name
        for attribute in ("unit", "map_labels", "attrs", "circle", "size_tolerance", "cure"):
            assert hasattr(kind, attribute), (name, attribute)
