"""Axes by CF criteria, variables, units, history."""

from __future__ import annotations

import cftime
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from xdeepr import cf
from xdeepr.errors import AxisError, UnitsError, VariableError
from xdeepr.grids import gridded


def field(dims=("time", "lat", "lon"), *, shape=(3, 4, 5), **attrs) -> xr.Dataset:
    coords = {
        "time": np.arange("2020-01-01", "2020-01-04", dtype="datetime64[D]"),
        "lat": ("lat", np.arange(4.0), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(5.0), {"units": "degrees_east"}),
    }
    sizes = dict(zip(("time", "lat", "lon"), shape, strict=True))
    data = np.ones([sizes[d] for d in dims], np.float32)
    return xr.Dataset({"t": (dims, data, {"units": "K", **attrs})}, coords)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("era5/era5_t2m_italy_3h_20220501_20220630.nc", ("latitude", "longitude", "time")),
        (
            "mogreps-uk/UKV_analysis_20170602T1500Z-temperature.nc",
            ("projection_y_coordinate", "projection_x_coordinate", None),
        ),
        ("awkward/ferret__etopo20.cdf", ("ETOPO20Y", "ETOPO20X1_1081", None)),
        ("awkward/geocat__tas_rotated_grid_EUR11.nc", ("rlat", "rlon", "time")),
        ("awkward/salem__era_interim_tibet.nc", ("latitude", "longitude", "time")),
        (
            "awkward/xclim__tasmax_day_HadGEM2-CC_rcp85_r1i1p1_na10kgrid_qm-moving-50bins-detrend_2095.nc",
            ("lat", "lon", "time"),
        ),
    ],
)
def test_axes_of_real_files(data_dir, file, expected):
    with xr.open_dataset(data_dir / file) as ds:
        axes = cf.find_axes(ds)
        assert (axes.y, axes.x, axes.time) == expected
        cf.check_time(ds, axes.time)


def test_names_do_not_matter_where_attributes_speak():
    ds = field().rename(lat="north", lon="lat", time="when")
    assert cf.find_axes(ds) == cf.Axes("north", "lat", "when")


@pytest.mark.parametrize("order", ["as it is", "transposed"])
def test_axes_of_curvilinear_grids(data_dir, order):
    with xr.open_dataset(data_dir / "awkward/salem__wrf_tip_d2.nc") as ds:
        ds = ds.transpose() if order == "transposed" else ds
        assert cf.find_axes(ds) == cf.Axes("south_north", "west_east", "Time")
        assert cf.spatial_variables(ds.reset_coords(), cf.find_axes(ds)) == ["T2", "roi"]


def folded(*, longitude: bool = True, stations: bool = False) -> xr.Dataset:
    dims = ("cell",) if stations else ("j", "i")
    shape = (4,) if stations else (3, 4)
    lat = (dims, np.zeros(shape), {"units": "degrees_north"})
    lon = (dims, np.zeros(shape), {"units": "degrees_east"})
    coords = {"lat": lat, **({"lon": lon} if longitude else {})}
    return xr.Dataset({"t": (dims, np.zeros(shape))}, coords)


@pytest.mark.parametrize(
    ("ds", "message"),
    [
        (folded(longitude=False), r"no latitude axis: 'lat' is two-dimensional.*assign_coords"),
        (folded(stations=True), r"both run along 'cell'.*reduced Gaussian.*cdo"),
        (
            xr.Dataset({"t": (("r", "x"), np.zeros((2, 3)))}, {"north": ("r", [1.0, 2])}),
            r"no latitude axis found.*standard_name",
        ),
        (
            xr.Dataset(
                {"t": (("r", "lon"), np.zeros((2, 3)))},
                {"lat": ("r", [1.0, 2], {"units": "degrees_north"}), "lon": [1.0, 2, 3]},
            ),
            r"'lat' runs along the dimension 'r'.*swap_dims\(r='lat'\)",
        ),
        (
            xr.Dataset(
                {"t": ("lat", np.zeros(2))},
                {"lat": [1.0, 2], "lon": ((), 3.0, {"units": "degrees_east"})},
            ),
            r"'lon' is a single value.*at least 2",
        ),
        (
            xr.merge([folded(), folded().rename(j="jv", i="iv", lat="lat_v", lon="lon_v", t="v")]),
            r"more than one curvilinear grid: .*ds\[\['name'\]\]",
        ),
    ],
)
def test_what_is_no_grid_of_rows_and_columns(ds, message):
    with pytest.raises(AxisError, match=message):
        cf.find_axes(ds)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds.drop_vars("lat"), r"no latitude axis.*standard_name"),
        (lambda ds: ds.drop_vars("lon"), r"no longitude axis"),
        (lambda ds: ds.isel(lat=slice(0, 0)), r"empty.*'lat'.*slice\(north, south\)"),
        (
            lambda ds: ds.assign_coords(y2=("y2", [1.0], {"units": "degrees_north"})),
            r"more than one latitude axis: .*drop_vars",
        ),
    ],
)
def test_bad_axes(change, message):
    with pytest.raises(AxisError, match=message):
        cf.find_axes(change(field()))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.array(["2020-01-02", "2020-01-01", "2020-01-03"], "datetime64[D]"), r"sortby"),
        (np.array(["2020-01-01", "2020-01-01", "2020-01-03"], "datetime64[D]"), r"duplicates"),
        (np.array([0.0, 1.0, 2.0]), r"not times.*decode_cf"),
    ],
)
def test_bad_times(times, message):
    ds = field().assign_coords(time=("time", times))
    with pytest.raises(AxisError, match=message):
        cf.check_time(ds, cf.find_axes(ds).time)


def test_cftime_is_time():
    times = [cftime.Datetime360Day(2000, 2, day) for day in (28, 29, 30)]
    ds = field().assign_coords(time=times).rename(time="t_axis")
    assert cf.find_axes(ds).time == "t_axis"
    cf.check_time(ds, cf.find_axes(ds).time)


def test_variables():
    ds = field(standard_name="air_temperature").assign(
        u=lambda d: d.t.assign_attrs(standard_name="eastward_wind"), scalar=1.0
    )
    assert cf.spatial_variables(ds, cf.find_axes(ds)) == ["t", "u"]
    assert gridded(ds).variable(name="u") == "u"
    assert gridded(ds).variable(name="t2m", standard_name="air_temperature") == "t"
    assert gridded(ds[["u"]]).variable() == "u"
    with pytest.raises(VariableError, match=r"label is ambiguous.*t, u.*\[\['t'\]\]"):
        gridded(ds).variable(role="label")
    with pytest.raises(VariableError, match=r"'t2m' not found.*u"):
        gridded(ds[["u"]]).variable(name="t2m", standard_name="air_temperature", role="predictor")


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (20.0, "degC", "K", 293.15),
        (293.15, "K", "degC", 20.0),
        (20.0, "Celsius", "K", 293.15),
        (86.4, "mm/day", "kg m-2 s-1", 1e-3),
        (1e-3, "kg m-2 s-1", "mm/day", 86.4),
        (1.0, "m", "kg m-2", 1000.0),
        (36.0, "km/h", "m s**-1", 10.0),
        (50.0, "%", "1", 0.5),
        (0.5, "(0 - 1)", "1", 0.5),
    ],
)
def test_units_convert_lazily(value, source, target, expected):
    data = da.full((2, 2), value, dtype=np.float32)
    found = xr.DataArray(data, dims=("y", "x"), name="v", attrs={"units": source, "kept": 1})
    out = cf.convert_units(found, target)
    assert isinstance(out.data, da.Array)
    assert out.dtype == np.float32
    assert out.attrs == {"units": target, "kept": 1}
    np.testing.assert_allclose(out.values, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("attrs", "target", "message"),
    [
        ({}, "K", r"'v' has no units.*attrs\['units'\]"),
        ({"units": "furlongs of doom"}, "K", r"'v' has the units 'furlongs of doom'"),
        ({"units": "m s-1"}, "K", r"'v' has the units 'm s-1'.*'K'"),
    ],
)
def test_bad_units(attrs, target, message):
    found = xr.DataArray(np.zeros((2, 2)), dims=("y", "x"), name="v", attrs=attrs)
    with pytest.raises(UnitsError, match=message):
        cf.convert_units(found, target)


def test_history_is_newest_first():
    attrs = cf.append_history({"history": "older", "title": "t"}, "did it")
    first, second = attrs["history"].splitlines()
    assert first.endswith("did it")
    assert "xdeepr" in first
    assert second == "older"
    assert attrs["title"] == "t"


class TestCfXarray:
    """What is known through cf_xarray and pint_xarray, and where they are not enough."""

    def test_statements_of_others_come_before_names(self):
        ds = field().drop_attrs().rename(lat="a", lon="b")
        ds.a.attrs["_CoordinateAxisType"] = "Lat"
        ds.b.attrs["cartesian_axis"] = "X"
        assert cf.find_axes(ds) == cf.Axes("a", "b", "time")

    def test_an_attribute_that_is_an_array_does_no_harm(self):
        ds = field().drop_attrs()
        ds.lat.attrs["long_name"] = np.array([1, 2])
        assert cf.find_axes(ds) == cf.Axes("lat", "lon", "time")


class TestPintXarray:
    @pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
    def test_a_conversion_keeps_type_and_laziness(self, kind):
        da = field().t.astype(kind).chunk().assign_attrs(units="degC")
        out = cf.convert_units(da, "K")
        assert out.dtype == kind
        assert out.chunks == da.chunks
        assert out.attrs["units"] == "K"
        np.testing.assert_allclose(out, 274.15, rtol=1e-3)

    def test_units_of_coordinates_are_left_alone(self):
        da = field().t.assign_coords(radar=((), 3.0, {"units": "dBZ"}))
        out = cf.convert_units(da, "degC")
        assert out.radar.attrs["units"] == "dBZ"
        assert out.lat.attrs == da.lat.attrs

    def test_whole_numbers_do_not_overflow(self):
        flux = field(units="kg m-2 s-1").t.astype("int16")
        np.testing.assert_allclose(cf.convert_units(flux, "mm day-1"), 86400.0)

    def test_between_two_offsets_float32_is_exact_to_its_last_place(self):
        warm = field(units="degF").t * np.float32(50.1)
        out = cf.convert_units(warm.assign_attrs(units="degF"), "degC")
        exact = (warm.values.astype("f8") - 32) / 1.8
        assert np.abs(out.values - exact).max() <= np.spacing(np.float32(exact.max()))
