"""Axes, time, variables and units, on made-up fields and on files as they come."""

from __future__ import annotations

import sys
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from xdeepr import cf
from xdeepr.errors import AxisError, UnitsError, VariableError
from xdeepr.grids import gridded

ITALY = "era5/era5_t2m_italy_3h_20220501_20220630.nc"
HADGEM = (
    "awkward/xclim__tasmax_day_HadGEM2-CC_rcp85_r1i1p1_na10kgrid_qm-moving-50bins-detrend_2095.nc"
)
CANESM = "awkward/xclim__pr_day_CanESM2_rcp85_r1i1p1_na10kgrid_qm-moving-50bins-detrend_2095.nc"


def open_real(data_dir: Path, name: str, **kwargs: object) -> xr.Dataset:
    return xr.open_dataset(data_dir / name, engine="netcdf4", **kwargs)


def no_compute(*args: object, **kwargs: object) -> None:
    raise AssertionError("something was computed")


@pytest.fixture
def field(rng: np.random.Generator) -> xr.DataArray:
    """Daily temperature on a latitude/longitude grid."""
    return xr.DataArray(
        rng.normal(280, 5, (3, 4, 5)).astype(np.float32),
        dims=("time", "lat", "lon"),
        coords={
            "time": np.arange("2020-01-01", "2020-01-04", dtype="datetime64[D]").astype("M8[ns]"),
            "lat": ("lat", np.linspace(40, 43, 4), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(5, 9, 5), {"units": "degrees_east"}),
        },
        name="t2m",
        attrs={"units": "K", "standard_name": "air_temperature", "long_name": "2 m temperature"},
    )


class TestFindAxes:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            (ITALY, ("latitude", "longitude", "time")),
            ("era5/ERA5_const_sfc_variables.nc", ("latitude", "longitude", "time")),
            (
                "mogreps-uk/static_land_binary_mask_200x200.nc",
                ("projection_y_coordinate", "projection_x_coordinate", None),
            ),
            ("awkward/ferret__etopo60.cdf", ("ETOPO60Y", "ETOPO60X", None)),
            ("awkward/geocat__tas_rotated_grid_EUR11.nc", ("rlat", "rlon", "time")),
            (HADGEM, ("lat", "lon", "time")),
            ("awkward/gridmet__tmmx_20190121.nc", ("lat", "lon", None)),
        ],
    )
    def test_real_files(
        self, data_dir: Path, name: str, expected: tuple[str, str, str | None]
    ) -> None:
        axes = cf.find_axes(open_real(data_dir, name))
        assert (axes.y, axes.x, axes.time) == expected

    def test_grib(self, data_dir: Path) -> None:
        pytest.importorskip("cfgrib")
        ds = xr.open_dataset(
            data_dir / "era5/era5-2mt-2019-03-uk.grib",
            engine="cfgrib",
            backend_kwargs={"indexpath": ""},
        )
        axes = cf.find_axes(ds)
        assert axes == cf.Axes("latitude", "longitude", "time")
        cf.check_time(ds, axes.time)
        assert gridded(ds).variable() == "t2m"

    def test_a_dataset_and_its_variable_agree(self, data_dir: Path) -> None:
        ds = open_real(data_dir, ITALY)
        assert cf.find_axes(ds) == cf.find_axes(ds.t2m)

    @pytest.mark.parametrize("attrs", [{"standard_name": "{}"}, {"units": "degrees_{}"}, "axis"])
    def test_criteria_not_names(self, field: xr.DataArray, attrs: dict[str, str] | str) -> None:
        field = field.rename(lat="a", lon="b")
        words = {"a": ("latitude", "north", "Y"), "b": ("longitude", "east", "X")}
        for name, (standard, direction, axis) in words.items():
            if attrs == "axis":
                field[name].attrs = {"axis": axis}
            else:
                field[name].attrs = {
                    k: v.format(standard if k == "standard_name" else direction)
                    for k, v in attrs.items()
                }
        assert cf.find_axes(field) == cf.Axes("a", "b", "time")

    def test_names_are_the_last_resort(self, field: xr.DataArray) -> None:
        assert cf.find_axes(field.drop_attrs()) == cf.Axes("lat", "lon", "time")

    @pytest.mark.parametrize("name", ["salem__wrf_mercator.nc", "salem__wrf_tip_d2.nc"])
    def test_curvilinear_grid(self, data_dir: Path, name: str) -> None:
        """The latitudes of one of the two have a dimension of time."""
        ds = open_real(data_dir, f"awkward/{name}")
        for obj in (ds, ds.T2, ds.reset_coords()):
            assert cf.find_axes(obj) == cf.Axes("south_north", "west_east", "Time")

    def test_missing(self, field: xr.DataArray) -> None:
        with pytest.raises(AxisError, match=r"no longitude axis.*standard_name"):
            cf.find_axes(field.isel(lon=0, drop=True))

    def test_ambiguous(self, field: xr.DataArray) -> None:
        staggered = field.rename(lat="lat_v").to_dataset(name="v")
        with pytest.raises(AxisError, match=r"more than one latitude axis.*lat.*drop_vars"):
            cf.find_axes(staggered.merge(field))

    def test_empty_domain(self, field: xr.DataArray) -> None:
        with pytest.raises(AxisError, match=r"'lat' has size 0.*slice\(north, south\)"):
            cf.find_axes(field.sel(lat=slice(43, 40)))


class TestTime:
    @pytest.mark.parametrize("name", [ITALY, HADGEM, CANESM, "awkward/climdown__tiny_gcm.nc"])
    def test_calendars_of_real_files(self, data_dir: Path, name: str) -> None:
        ds = open_real(data_dir, name)
        cf.check_time(ds, cf.find_axes(ds).time)

    def test_undecoded(self, data_dir: Path) -> None:
        ds = open_real(data_dir, ITALY, decode_times=False)
        axes = cf.find_axes(ds)
        assert axes.time == "time"
        with pytest.raises(AxisError, match=r"'time'.*decode_cf"):
            cf.check_time(ds, axes.time)

    def test_not_ascending(self, field: xr.DataArray) -> None:
        field = field.isel(time=[1, 0, 2])
        with pytest.raises(AxisError, match=r"not in ascending order.*sortby\('time'\)"):
            cf.check_time(field, cf.find_axes(field).time)

    def test_duplicates(self, field: xr.DataArray) -> None:
        field = field.isel(time=[0, 1, 1])
        with pytest.raises(AxisError, match=r"2020-01-02.*drop_duplicates\('time'\)"):
            cf.check_time(field, cf.find_axes(field).time)

    def test_no_time_is_fine(self, field: xr.DataArray) -> None:
        field = field.isel(time=0)
        axes = cf.find_axes(field)
        assert axes.time is None
        cf.check_time(field, axes.time)

    def test_dimension_without_values(self, field: xr.DataArray) -> None:
        field = field.drop_vars("time")
        with pytest.raises(AxisError, match="assign_coords"):
            cf.check_time(field, cf.find_axes(field).time)


class TestVariables:
    def test_bounds_and_grid_mapping_are_no_fields(self, data_dir: Path) -> None:
        ds = open_real(data_dir, "mogreps-uk/static_land_binary_mask_200x200.nc")
        assert len(ds.data_vars) > 1
        assert cf.spatial_variables(ds, cf.find_axes(ds)) == ["land_binary_mask"]

    def test_by_name_then_standard_name_then_the_only_one(self, field: xr.DataArray) -> None:
        ds = xr.Dataset({"t2m": field, "tp": field.assign_attrs(standard_name="rainfall_amount")})
        assert gridded(ds).variable(name="tp") == "tp"
        assert (
            gridded(ds).variable(name="tas", standard_name="air_temperature", role="predictor")
            == "t2m"
        )
        assert gridded(ds[["t2m"]]).variable(name="tas") == "t2m"

    def test_ambiguity_names_the_candidates(self, field: xr.DataArray) -> None:
        ds = xr.Dataset({"a": field, "b": field})
        with pytest.raises(VariableError, match=r"label is ambiguous.*a, b") as error:
            gridded(ds).variable(role="label")
        assert isinstance(error.value, KeyError)

    def test_another_quantity_is_not_taken(self, field: xr.DataArray) -> None:
        """The only field of a dataset does for a wrong name, never for a wrong standard name."""
        with pytest.raises(VariableError, match=r"'tp' not found.*t2m"):
            gridded(field).variable(name="tp", standard_name="rainfall_amount")


class TestUnits:
    @pytest.mark.parametrize(
        "units", ["degC", "m s**-1", "mm/day", "kg m-2 s-1", "1", "%", "m**2 s**-2", "Celsius"]
    )
    def test_spellings_of_real_files(self, field: xr.DataArray, units: str) -> None:
        assert cf.units_of(field.assign_attrs(units=units)) == units

    def test_fraction_of_era5(self, data_dir: Path) -> None:
        assert cf.units_of(open_real(data_dir, "era5/ERA5_const_sfc_variables.nc").lsm) == "1"

    def test_missing(self, data_dir: Path) -> None:
        uas = open_real(data_dir, "awkward/sup3r__uas_test.nc").uas
        with pytest.raises(UnitsError, match=r"'uas' has no units.*attrs\['units'\]"):
            cf.units_of(uas)
        with pytest.raises(UnitsError, match="'uas'"):
            cf.convert_units(uas, "m s-1")

    def test_a_broken_library_is_not_blamed_on_the_units(
        self, field: xr.DataArray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "cf_xarray.units", None)
        with pytest.raises(ImportError, match=r"cf_xarray\.units"):
            cf.units_of(field.assign_attrs(units="K"))

    def test_unknown(self, field: xr.DataArray) -> None:
        with pytest.raises(UnitsError, match=r"'t2m'.*'furlongs per moon'"):
            cf.units_of(field.assign_attrs(units="furlongs per moon"))

    @pytest.mark.parametrize(
        ("found", "wanted", "one"),
        [
            ("degC", "K", 274.15),
            ("K", "degC", -272.15),
            ("mm/day", "kg m-2 s-1", 1 / 86400),
            ("kg m-2 s-1", "mm/day", 86400),
            ("m", "kg m-2", 1000),
            ("kg m-2", "mm", 1),
            ("%", "1", 0.01),
            ("km h-1", "m s-1", 1 / 3.6),
        ],
    )
    def test_conversions(self, field: xr.DataArray, found: str, wanted: str, one: float) -> None:
        ones = (field * 0 + 1).astype("float64").assign_attrs(field.attrs | {"units": found})
        out = cf.convert_units(ones, wanted)
        np.testing.assert_allclose(out.values, one, rtol=1e-12)
        assert out.attrs == {**ones.attrs, "units": wanted}

    def test_wrong_dimension(self, field: xr.DataArray) -> None:
        with pytest.raises(UnitsError, match=r"'t2m'.*'K'.*'m s-1'.*attrs\['units'\]"):
            cf.convert_units(field, "m s-1")

    def test_lazy_and_float32(self, field: xr.DataArray) -> None:
        lazy = field.chunk(time=1)
        with dask.config.set(scheduler=no_compute):
            out = cf.convert_units(lazy, "degC")
        assert out.chunks == lazy.chunks
        assert out.dtype == np.float32
        assert out.name == "t2m"
        np.testing.assert_allclose(out.compute(), field - 273.15, atol=1e-4)

    def test_integers_become_floats(self, field: xr.DataArray) -> None:
        whole = field.astype("int16").assign_attrs(units="K")
        np.testing.assert_allclose(cf.convert_units(whole, "degC"), whole - 273.15)

    @settings(deadline=None)
    @given(
        value=st.floats(150, 350),
        pair=st.sampled_from([("K", "degC"), ("m s-1", "knot"), ("mm/day", "kg m-2 s-1")]),
    )
    def test_there_and_back(self, value: float, pair: tuple[str, str]) -> None:
        da = xr.DataArray([value], attrs={"units": pair[0]}, name="v")
        back = cf.convert_units(cf.convert_units(da, pair[1]), pair[0])
        np.testing.assert_allclose(back, da, rtol=1e-12)


class TestHistory:
    def test_newest_first_and_nothing_lost(self) -> None:
        attrs = {"history": "older", "title": "kept"}
        out = cf.append_history(attrs, "coarsened")
        newest, older = out["history"].splitlines()
        assert older == "older"
        assert out["title"] == "kept"
        assert newest.endswith(": coarsened")
        assert attrs["history"] == "older"

    def test_line_has_date_and_version(self) -> None:
        import xdeepr

        line = cf.history_line("made")
        np.datetime64(line.split("Z ")[0])
        assert f"xdeepr {xdeepr.__version__}: made" in line
