"""From `data_configuration` to datasets: files, domains, periods, static fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xdeepr
from xdeepr.deepr_compat.configuration.data import Data, at_times, on_whole_cells, open_data, within
from xdeepr.deepr_compat.configuration.files import field_files, open_fields, open_static
from xdeepr.deepr_compat.configuration.schema_data import Coverage, DataConfiguration, Period
from xdeepr.deepr_compat.configuration.section import ConfigurationWarning, noted
from xdeepr.errors import (
    AxisError,
    DataUnavailableError,
    GridError,
    OptionError,
    VariableError,
)
from xdeepr.testing import assert_same_field


@pytest.fixture(scope="module")
def months(italy_hr: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DeepR's layout: features and labels of two months, and what else lies about."""
    folder = tmp_path_factory.mktemp("deepr")
    later = italy_hr.assign_coords(time=italy_hr.time + np.timedelta64(31, "D"))
    for month, ds in (("202205", italy_hr), ("202206", later)):
        ds = ds.isel(time=slice(0, 8))
        for name, fields, resolution in (
            ("era5", xdeepr.coarsen(ds, 4), "1deg"),
            ("cerra", ds, "025deg"),
        ):
            path = folder / f"{name}/t2m_{name}_{month}_{resolution}.nc"
            path.parent.mkdir(exist_ok=True)
            fields.to_netcdf(path)
    (folder / "cerra" / "notes.txt").write_text("not a field")
    (folder / "cerra" / "u10_cerra_202205_025deg.nc").write_bytes(
        (folder / "cerra" / "t2m_cerra_202205_025deg.nc").read_bytes()
    )
    return folder


def configured(folder: Path, **changes: Any) -> DataConfiguration:
    layout = {
        "features_configuration": {
            "variables": ["t2m"],
            "data_name": "era5",
            "spatial_resolution": "1deg",
            "data_location": str(folder / "era5"),
        },
        "label_configuration": {
            "variable": "t2m",
            "data_name": "cerra",
            "spatial_resolution": "025deg",
            "data_location": str(folder / "cerra"),
        },
    }
    return DataConfiguration.model_validate({**layout, **changes})


def labels(**changes: Any) -> DataConfiguration:
    section = {"variable": "t2m", **changes.pop("label_configuration", {})}
    return DataConfiguration.model_validate({"label_configuration": section, **changes})


# --- files --------------------------------------------------------------------------------


def test_deepr_layout_is_read_lazily(
    months: Path, italy_hr: xr.Dataset, count_computes: list[int]
) -> None:
    data = open_data(configured(months))
    part = data.parts["all"]
    assert part.hr is not None
    assert part.lr.sizes["time"] == part.hr.sizes["time"] == 16
    assert part.hr.chunks
    assert part.hr.sizes["latitude"] == 4 * part.lr.sizes["latitude"]
    assert count_computes == [0]
    first = part.hr.t2m.isel(time=slice(0, 8))
    xr.testing.assert_equal(first.load(), italy_hr.t2m.isel(time=slice(0, 8)))


def test_only_the_months_asked_for_are_opened(months: Path) -> None:
    section = configured(months).label_configuration
    assert section is not None
    with pytest.warns(ConfigurationWarning, match="1 of 2 months have no file.* is 202207"):
        found = field_files(section, "t2m", frozenset({"202206", "202207"}))
    assert [path.name for path in found] == ["t2m_cerra_202206_025deg.nc"]
    splits = {"train": {"start": "2022-06", "end": "2022-07"}}
    with pytest.warns(ConfigurationWarning, match="1 of 2 months have no file"):
        open_data(configured(months, split_coverages=splits))


def test_layout_errors_name_the_nearest_file(months: Path) -> None:
    section = configured(months).label_configuration
    assert section is not None
    with pytest.raises(DataUnavailableError, match=r"nearest: t2m_cerra_20220[56]_025deg.nc"):
        field_files(section.model_copy(update={"data_name": "cera"}), "t2m")
    with pytest.raises(DataUnavailableError, match="202205 to 202206, but none of the months"):
        field_files(section, "t2m", frozenset({"199901"}))


@pytest.mark.parametrize("kind", ["folder", "file", "pattern", "zarr", "grib"])
def test_any_other_place_of_files(kind: str, months: Path, tmp_path: Path, data_dir: Path) -> None:
    place: Path | str = months / "cerra"
    if kind == "file":
        place = months / "cerra" / "t2m_cerra_202205_025deg.nc"
    elif kind == "pattern":
        place = f"{months}/cerra/t2m_*_025deg.nc"
    elif kind == "zarr":
        place = tmp_path / "t2m.zarr"
        xr.open_dataset(months / "cerra" / "t2m_cerra_202205_025deg.nc").to_zarr(place)
    elif kind == "grib":
        place = data_dir / "era5" / "era5-2mt-2019-03-uk.grib"
    elif kind == "folder":  # names that say nothing: all files that hold the variable
        place = tmp_path / "plain"
        place.mkdir()
        for i, path in enumerate(sorted((months / "cerra").glob("t2m*.nc"))):
            (place / f"part{i}.nc").write_bytes(path.read_bytes())
        xr.Dataset({"other": ("x", [1.0])}).to_netcdf(place / "zz.nc")
    section = labels(label_configuration={"data_location": str(place)}).label_configuration
    assert section is not None
    notes: list[str] = []
    with noted(notes):
        ds = open_fields(section, section.names)
    assert next(iter(ds.data_vars)) == "t2m"
    assert ds.sizes["time"] == {"grib": 744, "file": 8, "zarr": 8}.get(kind, 16)
    assert ds.indexes["time"].is_monotonic_increasing
    assert notes == []


def test_places_without_files(tmp_path: Path) -> None:
    for place, message in (
        (tmp_path / "none", "does not exist"),
        (tmp_path / "*.nc", "no file matches"),
        (tmp_path, "holds no netCDF"),
    ):
        section = labels(label_configuration={"data_location": str(place)}).label_configuration
        assert section is not None
        with pytest.raises(DataUnavailableError, match=message):
            open_fields(section, ["t2m"])


def test_a_variable_that_is_not_there(months: Path) -> None:
    place = str(months / "cerra" / "t2m_cerra_202205_025deg.nc")
    section = labels(label_configuration={"data_location": place}).label_configuration
    assert section is not None
    with pytest.raises(VariableError, match=r"hold no variable 't2'.*nearest: t2m"):
        open_fields(section, ["t2"])


def test_files_that_do_not_fit_together(italy_hr: xr.Dataset, tmp_path: Path) -> None:
    ds = italy_hr.isel(time=slice(0, 2))
    ds.to_netcdf(tmp_path / "a.nc")
    moved = ds.assign_coords(latitude=ds.latitude + 0.1, time=ds.time + np.timedelta64(1, "D"))
    moved.to_netcdf(tmp_path / "b.nc")
    section = labels(label_configuration={"data_location": str(tmp_path)}).label_configuration
    assert section is not None
    with pytest.raises(DataUnavailableError, match=r"cannot be joined.*same grid"):
        open_fields(section, ["t2m"])


def test_variables_on_two_grids(italy_hr: xr.Dataset, tmp_path: Path) -> None:
    ds = italy_hr.isel(time=slice(0, 2))
    ds.to_netcdf(tmp_path / "a.nc")
    ds.rename(t2m="d2m").isel(latitude=slice(1, None)).to_netcdf(tmp_path / "b.nc")
    section = labels(label_configuration={"data_location": str(tmp_path)}).label_configuration
    assert section is not None
    with pytest.raises(GridError, match="'d2m' is on another grid"):
        open_fields(section, ["t2m", "d2m"])


def test_several_variables_are_merged(italy_hr: xr.Dataset, tmp_path: Path) -> None:
    ds = italy_hr.isel(time=slice(0, 4))
    ds.to_netcdf(tmp_path / "a.nc")
    ds.rename(t2m="d2m").isel(time=slice(1, None)).to_netcdf(tmp_path / "b.nc")
    section = labels(label_configuration={"data_location": str(tmp_path)}).label_configuration
    assert section is not None
    merged = open_fields(section, ["t2m", "d2m"])
    assert list(merged.data_vars) == ["t2m", "d2m"]
    assert merged.sizes["time"] == 3


# --- domain and period --------------------------------------------------------------------


def globe(longitudes: np.ndarray) -> xr.Dataset:
    latitudes = np.arange(-88.0, 89.0, 4.0)
    values = np.add.outer(latitudes, longitudes % 360)
    ds = xr.Dataset(
        {"a": (("lat", "lon"), values, {"units": "K"})}, {"lat": latitudes, "lon": longitudes}
    )
    ds.lat.attrs.update(standard_name="latitude", units="degrees_north")
    ds.lon.attrs.update(standard_name="longitude", units="degrees_east")
    return ds


@pytest.mark.parametrize("start", [0.0, -180.0])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("box", [(-20.0, 40.0), (350.0, 420.0), (170.0, 190.0), (0.0, 8.0)])
def test_the_box_is_cut_in_any_convention(
    start: float, flip: bool, box: tuple[float, float]
) -> None:
    """Every pixel keeps its place on the globe, and the longitudes are those asked for."""
    ds = globe(start + np.arange(0.0, 360.0, 4.0))
    ds = ds.isel(lat=slice(None, None, -1)) if flip else ds
    pair = box[::-1] if flip else box
    notes: list[str] = []
    with noted(notes):
        inside = within(ds, Coverage(longitude=pair, latitude=(40, -12)), "x")
    np.testing.assert_allclose(inside.lon.values, np.arange(box[0] // 4 * 4 + 4 * (box[0] % 4 > 0),
                                                            box[1] + 1, 4))  # fmt: skip
    assert inside.lat.min() == -12 and inside.lat.max() == 40
    expected = np.add.outer(inside.lat.values, inside.lon.values % 360)
    np.testing.assert_allclose(inside.a.values, expected)
    assert notes == []


def test_a_box_outside_and_a_box_not_filled(italy_hr: xr.Dataset) -> None:
    with pytest.raises(GridError, match="holds no cell: the data cover latitude"):
        within(italy_hr, Coverage(longitude=(100, 110), latitude=(0, 10)), "x")
    with pytest.warns(ConfigurationWarning, match="latitude 30 to 42") as warned:
        within(italy_hr, Coverage(longitude=(8, 12), latitude=(30, 42)), "x")
    assert len(warned) == 1


def test_a_box_in_degrees_needs_degrees(mogreps_hr: xr.Dataset) -> None:
    with pytest.raises(GridError, match="projected"):
        within(mogreps_hr, Coverage(longitude=(8, 12), latitude=(30, 42)), "x")


def test_periods_reach_to_the_end_of_what_they_name(italy_hr: xr.Dataset) -> None:
    one = at_times(italy_hr, Period(start="2022-05-02", end="2022-05-03"), "x")
    assert str(one.time.values[0])[:13] == "2022-05-02T00"
    assert str(one.time.values[-1])[:13] == "2022-05-03T21"
    with pytest.raises(AxisError, match="no time from 2021 to 2021"):
        at_times(italy_hr, Period(start="2021", end="2021"), "x")
    with pytest.raises(AxisError, match="no time"):  # the frequency names January only
        at_times(italy_hr, Period(start="2022-01", end="2022-12", frequency="YS"), "x")


def test_periods_in_another_calendar(italy_hr: xr.Dataset) -> None:
    other = italy_hr.convert_calendar("noleap")
    cut = at_times(other, Period(start="2022-05-02", end="2022-05-02"), "x")
    assert cut.sizes["time"] == 8


@pytest.mark.parametrize("north_first", [False, True])
@pytest.mark.parametrize("cut", [0, 1, 3])
def test_labels_on_whole_lr_cells(italy_hr: xr.Dataset, north_first: bool, cut: int) -> None:
    """What is left is the coarsened field's, cell by cell, whichever way the axes run."""
    hr = italy_hr.isel(time=[0], latitude=slice(None, 40)).sortby("latitude")
    lr = xdeepr.coarsen(hr, 4)
    inner = hr.isel(latitude=slice(cut, None), longitude=slice(None, 48 - cut))
    if north_first:
        inner = inner.isel(latitude=slice(None, None, -1))
    whole = on_whole_cells(lr, inner).sortby("latitude")
    first = 1 if cut else 0
    assert dict(whole.sizes) == {"time": 1, "latitude": 40 - 4 * first, "longitude": 48 - 4 * first}
    expected = lr.isel(latitude=slice(first, None), longitude=slice(None, 12 - first))
    assert_same_field(xdeepr.coarsen(whole, 4).t2m, expected.t2m.sortby("latitude"))


# --- splits -------------------------------------------------------------------------------

ITALY = "era5/era5_t2m_italy_3h_20220501_20220630.nc"


def times(data: Data) -> dict[str, np.ndarray]:
    return {name: part.lr.time.values for name, part in data.parts.items()}


def test_splits_by_period(data_dir: Path) -> None:
    splits = {
        "train": {"start": "2022-05-01", "end": "2022-06-06"},
        "validation": {"start": "2022-06-08", "end": "2022-06-17"},
        "test": {"start": "2022-06-19", "end": "2022-06"},
    }
    place = {"data_location": str(data_dir / ITALY)}
    data = open_data(labels(label_configuration=place, split_coverages=splits))
    assert {name: len(t) for name, t in times(data).items()} == {
        "train": 296, "validation": 80, "test": 96
    }  # fmt: skip
    assert data.training is data.parts["train"]


@pytest.mark.parametrize(
    ("validation", "test"), [(0.3, 0.2), (0.0, 0.5), (0.25, 0.0), (0.0, 1.0), (0.5, 0.5)]
)
def test_splits_by_fraction(data_dir: Path, validation: float, test: float) -> None:
    """Training first, then validation, then test; no time is lost and none is there twice."""
    common = {
        "temporal_coverage": {"start": "2022-05", "end": "2022-06", "frequency": "MS"},
        "data_split": {"validation": validation, "test": test},
    }
    place = {"data_location": str(data_dir / ITALY)}
    data = open_data(labels(label_configuration=place, common_configuration=common))
    found = times(data)
    ordered = [found[name] for name in ("train", "validation", "test") if name in found]
    together = np.concatenate(ordered)
    assert len(together) == 488 and (np.diff(together) > np.timedelta64(0)).all()
    assert len(found.get("test", ())) == round(488 * test)
    assert len(found.get("validation", ())) == round(488 * validation)
    if validation + test == 1:
        with pytest.raises(OptionError, match="no time for training"):
            _ = data.training


# --- the coarse field and the static fields -----------------------------------------------


@pytest.mark.parametrize("factor", [None, 2, 8])
def test_the_coarse_field_is_made_of_the_labels(data_dir: Path, factor: int | None) -> None:
    place = {"data_location": str(data_dir / ITALY)}
    more = {} if factor is None else {"features_configuration": {"factor": factor}}
    notes: list[str] = []
    with noted(notes):
        data = open_data(labels(label_configuration=place, **more))
    part = data.parts["all"]
    assert part.hr is not None
    expected = xdeepr.coarsen(part.hr.isel(time=[0]), factor or 4)
    xr.testing.assert_allclose(part.lr.t2m.isel(time=[0]), expected.t2m)
    rows = {None: 40, 2: 42, 8: 40}[factor]
    assert any(f"cut to {rows} × 48" in note for note in notes)
    assert any("no features_configuration" in note for note in notes) is (factor is None)


def test_static_fields_are_on_the_hr_grid(data_dir: Path, statics: xr.Dataset) -> None:
    place = str(data_dir / "era5" / "ERA5_const_sfc_variables.nc")
    section = {"data_location": str(data_dir / ITALY), "land_mask_location": place,
               "orography_location": place}  # fmt: skip
    features = {"factor": 4, "add_auxiliary": {"lsm-high": True, "orog-high": True}}
    data = open_data(labels(label_configuration=section, features_configuration=features))
    found, hr = data.statics, data.parts["all"].hr
    assert found is not None and hr is not None
    assert sorted(found.data_vars) == ["lsm", "z"]
    assert found.sizes == {"latitude": 40, "longitude": 48}
    found = found.sortby("latitude", ascending=False)
    np.testing.assert_allclose(found.latitude, hr.latitude, atol=1e-4)
    expected = statics.isel(time=0).interp(latitude=hr.latitude, longitude=hr.longitude)
    for name in ("lsm", "z"):
        scale = float(expected[name].std())
        np.testing.assert_allclose(found[name], expected[name], atol=1e-3 * scale)


def test_static_fields_cover_the_lr_domain_where_they_can(
    data_dir: Path, months: Path, italy_hr: xr.Dataset, statics: xr.Dataset, tmp_path: Path
) -> None:
    """A normalization by land and sea needs the mask around the HR domain too."""
    place = {"longitude": [8.5, 16.5], "latitude": [40.0, 44.5]}
    wide = str(data_dir / "era5" / "ERA5_const_sfc_variables.nc")
    narrow = tmp_path / "narrow.nc"
    cells = statics.sel(latitude=slice(44.75, 39.75), longitude=slice(8.25, 16.75))
    cells.to_netcdf(narrow)
    for mask, sizes in ((wide, (40, 48)), (str(narrow), None)):
        base = configured(months).model_dump(exclude_unset=True, by_alias=True)
        base["label_configuration"] |= {"land_mask_location": mask, "spatial_coverage": place}
        base["features_configuration"]["add_auxiliary"] = {"lsm-high": True}
        data = open_data(DataConfiguration.model_validate(base))
        hr, found = data.parts["all"].hr, data.statics
        assert hr is not None and found is not None
        wanted = sizes or (hr.sizes["latitude"], hr.sizes["longitude"])
        assert (found.sizes["latitude"], found.sizes["longitude"]) == wanted


def test_coarse_static_fields_get_names_of_their_own(
    data_dir: Path, statics: xr.Dataset, tmp_path: Path
) -> None:
    coarse = statics.coarsen(latitude=4, longitude=4, boundary="trim").mean()
    coarse.to_netcdf(tmp_path / "low.nc")
    place = str(data_dir / "era5" / "ERA5_const_sfc_variables.nc")
    section = {"data_location": str(data_dir / ITALY), "orography_location": place}
    features = {
        "factor": 4,
        "orography_location": str(tmp_path / "low.nc"),
        "add_auxiliary": {"orog-low": True, "orog-high": True},
    }
    found = open_data(labels(label_configuration=section, features_configuration=features)).statics
    assert found is not None
    assert sorted(found.data_vars) == ["z", "z_low"]
    assert float(found.z_low.std()) < float(found.z.std())
    assert np.corrcoef(found.z.values.ravel(), found.z_low.values.ravel())[0, 1] > 0.8


def test_a_static_field_without_a_place(data_dir: Path) -> None:
    features = {"factor": 4, "add_auxiliary": {"lsm-high": True}}
    section = {"data_location": str(data_dir / ITALY)}
    with pytest.raises(OptionError, match="lsm-high is asked for, but label_configuration"):
        open_data(labels(label_configuration=section, features_configuration=features))


def test_which_static_field_is_meant(statics: xr.Dataset, tmp_path: Path) -> None:
    several = xr.concat([statics.isel(time=0), 3 * statics.isel(time=0)], "time")
    several["time"] = statics.time.values[[0, 0]] + np.array([0, 1], "timedelta64[D]")
    several.drop_encoding().to_netcdf(tmp_path / "two.nc")  # their packing would clip
    mean = open_static(str(tmp_path / "two.nc"), "orography_location")
    np.testing.assert_allclose(mean.values, 2 * statics.z.isel(time=0).values, rtol=1e-5)
    strange = statics[["z"]].rename(z="a").drop_attrs().assign_coords(statics.coords)
    both = strange.assign(b=strange.a)
    for coord in ("latitude", "longitude"):
        both[coord].attrs = statics[coord].attrs
    both.to_netcdf(tmp_path / "strange.nc")
    with pytest.raises(VariableError, match="a, b; it is not clear which is meant"):
        open_static(str(tmp_path / "strange.nc"), "orography_location")
    both[["a"]].to_netcdf(tmp_path / "one.nc")
    assert open_static(str(tmp_path / "one.nc"), "orography_location").name == "a"
