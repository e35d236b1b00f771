"""The 44 files of ``data/awkward``: what each does as it is opened, and what mends it.

``python -m tests.awkward_cases`` prints the table of ``docs/files.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr

RIGHT = "right"


@dataclass(frozen=True)
class Case:
    """One file.

    Parameters
    ----------
    file : str
        Its name in ``data/awkward``.
    what : str
        What is awkward about it.
    coarsen, downscale, fit : str
        "right", or the words of the error, with the file as it was opened.
    mend : callable, optional
        What its user has to do; afterwards all three are right.
    cure : str
        The same in words.
    warns : str, optional
        Words of the warning that comes with results that are right.
    """

    file: str
    what: str
    coarsen: str = RIGHT
    downscale: str = RIGHT
    fit: str = RIGHT
    mend: Callable[[xr.Dataset], xr.Dataset] | None = None
    cure: str = ""
    warns: str = ""


NO_TIME = "no time dimension"
NAN = "missing or infinite values"


def timed(ds: xr.Dataset) -> xr.Dataset:
    """Make a dimension of the only time."""
    return ds.expand_dims("time")


def dated(ds: xr.Dataset) -> xr.Dataset:
    """Give a field without any time one."""
    return ds.expand_dims(time=pd.to_datetime(["2000-01-01"]))


def wrf_times(ds: xr.Dataset) -> xr.Dataset:
    """Decode the times of a WRF file, which are text."""
    text = [stamp.decode() for stamp in ds["Times"].values]
    return ds.assign_coords(Time=pd.to_datetime(text, format="%Y-%m-%d_%H:%M:%S"))


def filled(name: str, **part: slice) -> Callable[[xr.Dataset], xr.Dataset]:
    """Select a variable and a part, and fill what is missing with the mean."""

    def mend(ds: xr.Dataset) -> xr.Dataset:
        mapping = ds[name].attrs.get("grid_mapping")
        ds = ds[[name, mapping] if mapping in ds.data_vars else [name]].isel(part)
        return ds.assign({name: ds[name].fillna(ds[name].mean()).assign_attrs(ds[name].attrs)})

    return mend


def chain(*steps: Callable[[xr.Dataset], xr.Dataset]) -> Callable[[xr.Dataset], xr.Dataset]:
    """Do one after the other."""

    def mend(ds: xr.Dataset) -> xr.Dataset:
        for step in steps:
            ds = step(ds)
        return ds

    return mend


def with_units(name: str, units: str) -> Callable[[xr.Dataset], xr.Dataset]:
    """State the units of a variable."""
    return lambda ds: ds.assign({name: ds[name].assign_attrs(units=units)})


def evenly(ds: xr.Dataset) -> xr.Dataset:
    """Interpolate the stretched rows and columns of the UKV to even ones."""
    import numpy as np

    return ds.interp(
        grid_latitude=np.linspace(-3.6, 3.6, 48), grid_longitude=np.linspace(358.9, 361.5, 40)
    )


def pole_of_euro_cordex(ds: xr.Dataset) -> xr.Dataset:
    """State the pole that latitude and longitude of the file follow from."""
    attrs = {"grid_north_pole_latitude": 39.25, "grid_north_pole_longitude": -162.0}
    return ds.assign(rotated_pole=ds.rotated_pole.assign_attrs(attrs))


TIME_CURE = "`ds.expand_dims` for the time"
FILL_CURE = "`ds.fillna`"

CASES = (
    Case("cfgrib__alternate-scanning.grib", "rows scanned in turn from west and from east",
         fit=NO_TIME, mend=timed, cure=TIME_CURE),
    Case("cfgrib__era5-single-level-scalar-time.grib", "a single time, three coordinates of time",
         fit=NO_TIME, mend=timed, cure=TIME_CURE),
    Case("cfgrib__lambert_grid.grib", "Lambert grid known by 2-D latitude and longitude only,"
         " across Greenwich in 0..360", fit=NO_TIME, mend=timed, cure=TIME_CURE),
    Case("cfgrib__regular_gg_wrong_increment.grib", "inconsistent grid: ecCodes refuses to open"
         " it", "WrongGridError", "WrongGridError", "WrongGridError",
         cure="correct the GRIB header (`grib_set`)"),
    Case("climdown__tiny_gcm.nc", "Gaussian latitudes, 365-day calendar, 4 × 4 cells"),
    Case("climdown__tiny_obs.nc", "missing values over sea", downscale=NAN, fit=NAN,
         mend=filled("tasmax", time=slice(0, 4)), cure=FILL_CURE),
    Case("cset__BLheight.nc", "rotated pole, rows spaced more widely towards the edges, longitudes"
         " past 360", "not evenly spaced", "not evenly spaced", "not evenly spaced", mend=evenly,
         cure="`ds.interp` to even rows and columns"),
    Case("cset__Orography2D.nc", "the same grid, a static field", "not evenly spaced",
         "not evenly spaced", "not evenly spaced", mend=chain(evenly, timed),
         cure="`ds.interp`, and `ds.expand_dims` for the time"),
    Case("cset__precipitation_360_day_calendar.nc", "a cross-section: one longitude only",
         "single value", "single value", "single value", cure="give a field of rows and columns"),
    Case("cset__u10_v10.nc", "round the globe; a height of size 1; names that begin with a digit",
         fit="label is ambiguous", mend=lambda ds: ds[["10u"]], cure="`ds[['10u']]`"),
    Case("esgf__t_E-OBS_mon_195001.nc", "missing values over sea, two fill values", downscale=NAN,
         fit=NAN, mend=filled("t"), cure=FILL_CURE),
    Case("esgf__tas_ANT-44_ECMWF-ERAINT_evaluation_r1i1p1_DMI-HIRHAM5_v1_day_20060101.nc",
         "rotated pole round the South Pole"),
    Case("esgf__tas_EUR-11_MPI-M-MPI-ESM-LR_rcp85_r1i1p1_KNMI-RACMO22E_v1_mon_209101.nc",
         "rotated pole, one month"),
    Case("esgf__tas_EUR-22_MPI-M-MPI-ESM-LR_rcp85_r1i1p1_GERICS-REMO2015_v1_mon_202101.nc",
         "rotated pole, 2-D bounds, longitudes in 0..360 across Greenwich"),
    Case("ferret__etopo20.cdf", "longitudes 20..380, one column twice, units METERS", fit=NO_TIME,
         mend=dated, cure=TIME_CURE),
    Case("ferret__etopo60.cdf", "longitudes 20..380 round the globe, units METERS", fit=NO_TIME,
         mend=dated, cure=TIME_CURE),
    Case("geocat__ST4.2002030112.06h.grb", "polar stereographic grid known by 2-D latitude and"
         " longitude only, missing values", downscale=NAN, fit=NO_TIME,
         mend=chain(filled("tp"), timed), cure=f"{FILL_CURE}, {TIME_CURE}"),
    Case("geocat__T2m.nc", "Gaussian grid; time in units of yyyymm", downscale="not times",
         fit="not times", mend=lambda ds: ds[["T"]].assign_coords(
             time=pd.to_datetime(ds.time.astype(int).astype(str), format="%Y%m")),
         cure="`ds.assign_coords(time=pd.to_datetime(...))`"),
    Case("geocat__era5_1995-07-14T12.nc", "seven variables, two without units",
         downscale="'t2m_C' has no units", fit="label is ambiguous|no time dimension",
         mend=lambda ds: timed(ds[["t2m"]]), cure="`ds[['t2m']]`, and `ds.expand_dims`"),
    Case("geocat__orog_mod3_rectilinear_grid_2D.nc", "rotated pole that is the North Pole"),
    Case("geocat__tas_rectilinear_grid_2D.nc", "Gaussian grid round the globe"),
    Case("geocat__tas_rotated_grid_EUR11.nc", "rotated pole without 2-D coordinates, a height of"
         " size 1"),
    Case("gridmet__tmmx_20190121.nc", "packed as uint16, missing values over sea", downscale=NAN,
         fit=NO_TIME, mend=chain(filled("air_temperature"), dated),
         cure=f"{FILL_CURE}, {TIME_CURE}"),
    Case("iris__E1_north_america.nc", "360-day calendar, yearly means with time bounds"),
    Case("iris__polar_stereo.grib2", "North Pole and date line inside, 2-D latitude and longitude"
         " only", fit=NO_TIME, mend=timed, cure=TIME_CURE),
    Case("iris__toa_brightness_stereographic.nc", "stereographic, missing values outside the"
         " satellite's view", downscale=NAN, fit=NO_TIME, mend=chain(filled("data"), timed),
         cure=f"{FILL_CURE}, {TIME_CURE}"),
    Case("iristest__lambert.grib2", "a million cells known by 2-D latitude and longitude only",
         fit=NO_TIME, mend=timed, cure=TIME_CURE),
    Case("iristest__mercator_toa_brightness_temperature.nc", "Mercator", fit=NO_TIME, mend=timed,
         cure=TIME_CURE),
    Case("iristest__projection_origin_attributes.nc", "3 × 2 cells that were never written: fill"
         " values for data, latitude and longitude", "at least 4 are needed", NAN,
         "at least 4 are needed", cure="give the file that was meant"),
    Case("iristest__reduced_gg.grib2", "reduced Gaussian grid", "reduced Gaussian",
         "reduced Gaussian", "reduced Gaussian", cure="`cdo setgridtype,regular`"),
    Case("iristest__small_rotPole_precipitation.nc", "the grid mapping states another pole than"
         " latitude and longitude of the file follow from", "'rotated_pole' puts cells 3206 km",
         "'rotated_pole' puts cells 3206 km", "'rotated_pole' puts cells 3206 km",
         mend=pole_of_euro_cordex, cure="correct the attributes of `rotated_pole`"),
    Case("iristest__test_lcc.nc", "Lambert; the grid mapping lacks the shape of the earth; missing"
         " values", downscale=NAN, fit=NAN, mend=filled("tas"), cure=FILL_CURE,
         warns="up to 253 m"),
    Case("iristest__toa_brightness_temperature.nc", "polar stereographic; the netCDF library's fill"
         " value for data, without the attribute that says so", downscale=NAN, fit=NO_TIME,
         mend=lambda ds: timed(filled("data")(ds.where(ds["data"] < 1e30))),
         cure=f"`ds.where(ds < 1e30)`, {FILL_CURE}, {TIME_CURE}"),
    Case("salem__era_interim_tibet.nc", "packed as int16, odd numbers of rows"),
    Case("salem__histalp_avg_1961-1990.nc", "missing values outside the Alps, no time",
         downscale=NAN, fit="label is ambiguous|no time dimension",
         mend=chain(filled("temp"), dated), cure=f"{FILL_CURE}, {TIME_CURE}"),
    Case("salem__riosan_srtm_hgt.nc", "degrees called x and y, without units or standard names",
         "not known what 'y' and 'x' measure", "not known what 'y' and 'x' measure",
         "not known what 'y' and 'x' measure",
         mend=chain(lambda ds: ds.rename(y="lat", x="lon"), with_units("srtm", "m"), dated),
         cure="`ds.rename(y='lat', x='lon')`, units, `ds.expand_dims`"),
    Case("salem__rotated_grid.nc", "rotated pole, coordinates without any field",
         downscale="nothing to interpolate", fit=NO_TIME,
         mend=lambda ds: dated(ds.assign(t=(ds.latitude_t * 1).assign_attrs(
             units="K", standard_name="air_temperature",
             grid_mapping="rotated_latitude_longitude"))),
         cure="give a dataset with fields"),
    Case("salem__wrf_mercator.nc", "WRF: 2-D latitude and longitude with a dimension of time,"
         " times as text", downscale="'Time' has no coordinate", fit="'Time' has no coordinate",
         mend=wrf_times, cure="`ds.assign_coords(Time=pd.to_datetime(...))`"),
    Case("salem__wrf_tip_d2.nc", "WRF: 2-D latitude and longitude, times as text, a mask without"
         " time", downscale="'Time' has no coordinate", fit="'Time' has no coordinate",
         mend=lambda ds: wrf_times(ds).drop_vars("roi"),
         cure="`ds.assign_coords(Time=...)`, `ds.drop_vars('roi')`"),
    Case("sup3r__uas_test.nc", "365-day calendar, no units, missing values, bounds that are named"
         " but not there", downscale="'uas' has no units", fit="'uas' has no units",
         mend=chain(filled("uas", time=slice(0, 4)), with_units("uas", "m s-1")),
         cure=f"units, {FILL_CURE}"),
    Case("xclim__NRCAN_SECan_1981-2010.nc", "three variables, missing values", downscale=NAN,
         fit="label is ambiguous", mend=filled("tg_mean", time=slice(0, 4)),
         cure=f"`ds[['tg_mean']]`, {FILL_CURE}"),
    Case("xclim__pr_day_CanESM2_rcp85_r1i1p1_na10kgrid_qm-moving-50bins-detrend_2095.nc",
         "365-day calendar, a variable without units, missing values",
         downscale="'time_vectors' has no units", fit="label is ambiguous",
         mend=filled("pr", time=slice(0, 4)), cure=f"`ds[['pr']]`, {FILL_CURE}"),
    Case("xclim__tasmax_day_CanESM2_rcp85_r1i1p1_na10kgrid_qm-moving-50bins-detrend_2095.nc",
         "the same with temperature", downscale="'time_vectors' has no units",
         fit="label is ambiguous", mend=filled("tasmax", time=slice(0, 4)),
         cure=f"`ds[['tasmax']]`, {FILL_CURE}"),
    Case("xclim__tasmax_day_HadGEM2-CC_rcp85_r1i1p1_na10kgrid_qm-moving-50bins-detrend_2095.nc",
         "360-day calendar, a variable without units, missing values",
         downscale="'time_vectors' has no units", fit="label is ambiguous",
         mend=filled("tasmax", time=slice(0, 4)), cure=f"`ds[['tasmax']]`, {FILL_CURE}"),
)  # fmt: skip


def open_awkward(data_dir: Path, file: str) -> xr.Dataset:
    """Open a file as its user would."""
    path = data_dir / "awkward" / file
    if path.suffix in (".grib", ".grb", ".grib2"):
        # the index beside the file would be written to the user's folder
        return xr.open_dataset(path, engine="cfgrib", backend_kwargs={"indexpath": ""})
    return xr.open_dataset(path)


def table() -> str:
    """Return the table of the documentation."""
    lines = ["| file | what is awkward | as it is opened | what mends it |", "|---|---|---|---|"]
    for case in CASES:
        said = {
            verb: getattr(case, verb)
            for verb in ("coarsen", "downscale", "fit")
            if getattr(case, verb) != RIGHT
        }
        if not said:
            outcome = "right"
        elif len(set(said.values())) == 1 and len(said) == 3:
            outcome = f"refused: *{_words(case.coarsen)}*"
        else:
            outcome = "; ".join(f"`{verb}`: *{_words(words)}*" for verb, words in said.items())
        if case.warns:
            outcome += f"; warns: *{case.warns}*"
        name = case.file if len(case.file) < 48 else f"{case.file[:44]}…"
        lines.append(f"| `{name}` | {case.what} | {outcome} | {case.cure or 'nothing needed'} |")
    return "\n".join(lines)


def _words(pattern: str) -> str:
    """Return the words of an error; of two that may come the first."""
    return pattern.split("|")[0]


if __name__ == "__main__":
    print(table())
