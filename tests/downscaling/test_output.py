"""CF in, CF out: coordinates, attributes, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xdeepr
from xdeepr.downscaling.output import CONVENTIONS
from xdeepr.testing import assert_same_field

QUICK = {"members": 2, "seed": 1, "steps": 2}


def complaints(path: Path) -> list[str]:
    """Return what a published CF checker finds wrong in a file, worst (3) to least (1)."""
    from compliance_checker.runner import CheckSuite

    CheckSuite.load_all_available_checkers()
    suite = CheckSuite()
    names = [name for name in suite.checkers if name.startswith("cf:1.")]
    newest = max(names, key=lambda name: int(name.partition(".")[2]))
    assert newest == f"cf:{CONVENTIONS.removeprefix('CF-')}"
    dataset = suite.load_dataset(str(path))
    groups, errors = suite.run_all(dataset, [newest])[newest]
    assert not errors
    out = []
    for group in groups:
        passed, possible = group.value if isinstance(group.value, tuple) else (group.value, 1)
        if passed != possible:
            messages = [m for m in group.msgs if "it is recommended" not in m]
            out += [f"{group.weight} {group.name}: {message}" for message in messages]
    return out


@pytest.fixture(scope="module")
def lr(italy_lr) -> xr.Dataset:
    return italy_lr.isel(time=slice(0, 3))


@pytest.fixture(scope="module")
def out(lr, checkpoint) -> xr.Dataset:
    return lr.deepr.downscale(checkpoint, **QUICK).compute()


@pytest.fixture(scope="module")
def projected(mogreps_lr, wind_model) -> xr.Dataset:
    return mogreps_lr.isel(time=slice(0, 2)).deepr.downscale(wind_model, **QUICK).compute()


# --- coordinates and attributes ------------------------------------------------------------------


def test_dimensions_coordinates_and_bounds(out, lr, italy_hr):
    assert out.t2m.dims == ("realization", "time", "latitude", "longitude")
    assert out.t2m.dtype == np.float32
    for name in ("time", "latitude", "longitude"):
        reference = lr if name == "time" else italy_hr
        np.testing.assert_array_equal(out[name], reference[name])
    assert out.realization.attrs["standard_name"] == "realization"
    assert out.realization.values.tolist() == [0, 1]
    for name in ("latitude", "longitude"):
        bounds = out[out[name].attrs["bounds"]]
        np.testing.assert_allclose(bounds.mean("bnds"), out[name], atol=1e-5)
        np.testing.assert_allclose(bounds[:-1, 1], bounds[1:, 0], atol=1e-5)
    # the truth aligns with the result without tolerance
    assert (out.t2m - italy_hr.t2m).shape == (2, 3, 40, 48)


def test_provenance(out, checkpoint):
    _, digest = xdeepr.models.checkpoint.load_card(checkpoint)
    assert out.attrs["Conventions"] == "CF-1.11"
    assert out.attrs["xdeepr_seed"] == 1
    assert out.attrs["xdeepr_factor"] == 4
    newest, *older = out.attrs["history"].splitlines()
    for part in (xdeepr.__version__, "tiny", digest, "seed 1", "EDMDPMSolverMultistep", "steps=2"):
        assert part in newest
    assert any("grib_to_netcdf" in line for line in older)
    assert out.t2m.attrs["units"] == "K"
    assert out.t2m.attrs["long_name"] == "2 metre temperature"


def test_the_input_is_left_alone(italy_lr, checkpoint):
    ds = italy_lr.isel(time=slice(0, 2)).copy(deep=True)
    ds.time.attrs["bounds"] = "time_bnds"
    ds["time_bnds"] = xr.concat([ds.time, ds.time], "bnds").transpose("time", "bnds")
    ds = ds.set_coords("time_bnds")
    for obj in (ds, ds.t2m):
        before = obj.copy(deep=True)
        obj.deepr.downscale(checkpoint, **QUICK).compute()
        obj.deepr.downscale("bilinear", factor=2).compute()
        xr.testing.assert_identical(obj, before)
        assert obj.time.encoding == before.time.encoding


def test_units_are_those_of_the_model(out, lr, checkpoint):
    celsius = lr.assign(t2m=(lr.t2m - np.float32(273.15)).assign_attrs(lr.t2m.attrs, units="degC"))
    ours = celsius.deepr.downscale(checkpoint, **QUICK)
    assert ours.t2m.attrs["units"] == "K"
    np.testing.assert_allclose(ours.t2m, out.t2m, rtol=0, atol=2e-3)


def test_dataarray_in_dataarray_out(out, lr, checkpoint, mogreps_lr, wind_model, projected):
    ours = lr.t2m.deepr.downscale(checkpoint, **QUICK)
    assert isinstance(ours, xr.DataArray)
    assert ours.name == "t2m"
    np.testing.assert_array_equal(ours, out.t2m)
    assert ours.attrs["xdeepr_seed"] == 1
    assert lr.t2m.rename(None).deepr.downscale("nearest", factor=2).name is None

    name = mogreps_lr.wind_speed.attrs["grid_mapping"]
    wind = mogreps_lr.wind_speed.isel(time=slice(0, 2)).assign_coords({name: mogreps_lr[name]})
    ours = wind.deepr.downscale(wind_model, **QUICK)
    assert ours.attrs["grid_mapping"] in ours.coords
    assert ours.coords[name].attrs == projected[name].attrs


def test_projected_grid(projected, mogreps_hr):
    import pyproj

    assert projected.wind_speed.dims[-2:] == ("projection_y_coordinate", "projection_x_coordinate")
    mapping = projected[projected.wind_speed.attrs["grid_mapping"]]
    assert mapping.attrs == mogreps_hr[mogreps_hr.wind_speed.attrs["grid_mapping"]].attrs
    for name in projected.wind_speed.dims[-2:]:
        np.testing.assert_array_equal(projected[name], mogreps_hr[name])
        assert projected[name].attrs["units"] == "m"
    crs = pyproj.CRS.from_cf(mapping.attrs)
    corner = projected.isel(projection_y_coordinate=17, projection_x_coordinate=31)
    wanted = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True).transform(
        float(corner.projection_x_coordinate), float(corner.projection_y_coordinate)
    )
    assert {"latitude", "longitude"} <= set(projected.wind_speed.coords)
    assert wanted == pytest.approx((float(corner.longitude), float(corner.latitude)), abs=1e-9)


def test_time_bounds_and_calendars_are_kept(data_dir, tmp_path):
    """Monthly means in a 360-day calendar, with time bounds and auxiliary times."""
    with xr.open_dataset(data_dir / "awkward/iris__E1_north_america.nc") as ds:
        ds = ds.isel(time=slice(0, 12), latitude=slice(0, 24)).load()
    out = ds.deepr.downscale("bicubic", factor=3)
    assert out.time.dt.calendar == "360_day"
    assert out.time.attrs["bounds"] == "time_bnds"
    xr.testing.assert_equal(out.time_bnds.variable, ds.time_bnds.variable)
    assert {"forecast_period", "height"} <= set(out.coords)
    assert out.air_temperature.attrs["cell_methods"] == ds.air_temperature.attrs["cell_methods"]
    assert "latitude_longitude" in out
    out.to_netcdf(tmp_path / "out.nc")
    with xr.open_dataset(tmp_path / "out.nc") as back:
        xr.testing.assert_allclose(back.air_temperature, out.air_temperature)
        np.testing.assert_array_equal(back.time_bnds, ds.time_bnds)


def test_a_model_works_in_another_calendar(lr, out, checkpoint):
    """The noise is keyed by seconds in the axis' own calendar."""
    days = lr.convert_calendar("360_day", align_on="date")
    ours = days.deepr.downscale(checkpoint, **QUICK)
    assert ours.time.dt.calendar == "360_day"
    assert np.isfinite(ours.t2m).all()
    assert abs(ours.t2m.values - out.t2m.values).mean() < 1  # the same fields, other noise
    alone = days.isel(time=1).deepr.downscale(checkpoint, **QUICK)
    assert_same_field(alone.t2m, ours.t2m.isel(time=1))


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["out", "projected"])
def test_netcdf_round_trip(which, request, tmp_path):
    ds = request.getfixturevalue(which)
    ds.to_netcdf(tmp_path / "out.nc")
    with xr.open_dataset(tmp_path / "out.nc") as back:
        xr.testing.assert_identical(back.load(), ds)
    # what was written is a predictor again
    with xr.open_dataset(tmp_path / "out.nc", decode_coords="all") as back:
        again = back.isel(realization=0, drop=True).deepr.coarsen(4)
        assert again.sizes["time"] == ds.sizes["time"]


@pytest.mark.parametrize("which", ["out", "projected"])
def test_the_file_passes_a_cf_checker(which, request, tmp_path):
    request.getfixturevalue(which).to_netcdf(tmp_path / "out.nc")
    assert complaints(tmp_path / "out.nc") == []


@pytest.mark.parametrize("kind", ["baseline", "coarse", "monthly"])
def test_other_files_pass_too(kind, lr, data_dir, tmp_path):
    if kind == "monthly":
        with xr.open_dataset(data_dir / "awkward/iris__E1_north_america.nc") as ds:
            out = ds.isel(time=slice(0, 3), latitude=slice(0, 6)).deepr.downscale(
                "nearest", factor=2
            )
            del out.air_temperature.attrs["Model scenario"]  # the file's own fault
            out.to_netcdf(tmp_path / "out.nc")
    else:
        source = lr.assign_attrs(title="ERA5", Conventions=CONVENTIONS)
        source = source.assign_coords(time=source.time.assign_attrs(standard_name="time"))
        source.time.encoding["calendar"] = "standard"
        baseline = kind == "baseline"
        out = source.deepr.downscale("bicubic", factor=4) if baseline else source
        out.to_netcdf(tmp_path / "out.nc")
    assert complaints(tmp_path / "out.nc") == []


def test_rotated_pole(data_dir, tmp_path):
    """2-D latitude and longitude that were computed agree with those of the file."""
    name = "esgf__tas_EUR-22_MPI-M-MPI-ESM-LR_rcp85_r1i1p1_GERICS-REMO2015_v1_mon_202101.nc"
    with xr.open_dataset(data_dir / "awkward" / name) as ds:
        ds = ds.isel(rlat=slice(10, 30), rlon=slice(0, 24)).load()
    out = ds.deepr.downscale("bilinear", factor=3)
    assert out.tas.attrs["grid_mapping"] in out
    for which in ("latitude", "longitude"):
        fine, own = (
            [v for v in obj.tas.coords.values() if v.attrs.get("standard_name") == which]
            for obj in (out, ds)
        )
        assert [v.dims for v in fine] == [("rlat", "rlon")]
        off = fine[0].values[1::3, 1::3] - own[0].values
        np.testing.assert_allclose((off + 180) % 360 - 180, 0, atol=1e-3)
    out.to_netcdf(tmp_path / "out.nc")
    assert [c for c in complaints(tmp_path / "out.nc") if c.startswith("3")] == []


def test_bounds_whose_dimension_has_their_own_name(data_dir):
    """time_bnds(time, time_bnds): the second dimension is no time axis."""
    file = data_dir / "awkward/iristest__small_rotPole_precipitation.nc"
    with xr.open_dataset(file) as ds:
        # its grid mapping contradicts its latitudes and longitudes, which is another matter
        part = ds.isel(rlat=slice(0, 8), rlon=slice(0, 8)).drop_vars(["lat", "lon"])
        out = part.deepr.downscale("nearest", factor=2)
    assert out.pr.dims == ("time", "rlat", "rlon")
    assert out.time.attrs["bounds"] in out.variables


def test_two_predictands_need_a_dataset(lr):
    both = lr.assign(skin=lr.t2m.assign_attrs(long_name="skin temperature"))
    out = both.deepr.downscale("bicubic", factor=2)
    assert {"t2m", "skin"} <= set(out.data_vars)
