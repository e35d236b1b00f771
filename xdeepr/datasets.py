"""Example data: fetched once, checked against a SHA-256, kept in a cache.

Functions ``fetch_...`` return local files and take `progress`: whether to say what is downloaded
and show a progress bar. Functions ``open_...`` open them and take `chunks`, as
:func:`xarray.open_dataset` does; None leaves dask out. All raise what :func:`fetch_file` raises.

Nothing is read, written or downloaded at import. ``registry.txt`` beside this module names each
file, its hash and its public address at a fixed commit. Three environment variables matter:

``XDEEPR_DATA_DIR``
    Folder to use instead of the user's cache, laid out like the names in the registry
    (``era5/...``, ``mogreps-uk/...``). What is there is checked and never overwritten.
``XDEEPR_DATA_URL``
    Address of a mirror with the same layout, used instead of the public addresses.
``XDG_CACHE_HOME``
    Where the cache lies on Linux, as for every other program.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources, util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

from xdeepr.checks import one_of
from xdeepr.errors import DataUnavailableError

if TYPE_CHECKING:
    import pooch

__all__ = [
    "fetch_all",
    "fetch_era5_italy",
    "fetch_era5_static",
    "fetch_era5_uk",
    "fetch_file",
    "fetch_mogreps_uk",
    "fetch_mogreps_uk_static",
    "fetch_ukv_orography",
    "open_era5_italy",
    "open_era5_static",
    "open_era5_uk",
    "open_mogreps_uk",
    "open_mogreps_uk_static",
    "open_ukv_orography",
]

DATA_DIR_VARIABLE = "XDEEPR_DATA_DIR"
DATA_URL_VARIABLE = "XDEEPR_DATA_URL"

MogrepsVariable = Literal["air_temperature", "wind_speed"]
Chunks = dict[str, int] | int | Literal["auto"] | None

_MOGREPS_STEMS = {
    "air_temperature": "temperature_at_screen_level",
    "wind_speed": "horizontal_wind_speed_at_10m",
}
_MOGREPS_DATES = ("20170602", "20170603", "20170604", "20170605")


def fetch_file(name: str, *, base_url: str | None = None, progress: bool = True) -> Path:
    """Return the local path of one example file, downloading it the first time.

    Parameters
    ----------
    name : str
        Name in the registry, for instance ``"era5/ERA5_const_sfc_variables.nc"``.
    base_url : str, optional
        Address of a mirror to download from. Default: ``$XDEEPR_DATA_URL``, and without that the
        public address of each file.
    progress : bool, default True
        Say what is downloaded and show a progress bar.

    Returns
    -------
    pathlib.Path
        A file whose SHA-256 is the registered one.

    Raises
    ------
    OptionError
        If the registry has no such name.
    DataUnavailableError
        If the file is neither there nor can be downloaded whole, or if the copy in
        ``$XDEEPR_DATA_DIR`` is another file.
    """
    storage = _storage(base_url)
    one_of("name", name, storage.registry_files)
    path: Path = storage.abspath / name
    if os.environ.get(DATA_DIR_VARIABLE):
        _refuse_other_file(path, storage.registry[name], storage.get_url(name))
    try:
        with _pooch_log(progress):
            # Downloads to a temporary file beside the target and renames it once the hash agrees.
            return Path(storage.fetch(name, progressbar=progress))
    except (OSError, ValueError) as error:  # requests' errors are OSError, a wrong hash ValueError
        raise DataUnavailableError(
            f"{name}: this example file is not at {path} and could not be downloaded from "
            f"{storage.get_url(name)} ({error}). Try again with a network connection, or fetch "
            f"that address by other means and put the file into the folder {path.parent} as "
            f"{path.name} (SHA-256 {storage.registry[name]}), or set {DATA_DIR_VARIABLE} to a "
            f"folder that holds {name}."
        ) from error


def fetch_all(*, progress: bool = True) -> list[Path]:
    """Fetch every example file of the registry (20 MB), for use where there is no network later."""
    return [fetch_file(name, progress=progress) for name in _storage().registry_files]


def fetch_era5_italy(*, progress: bool = True) -> Path:
    """ERA5 2 m temperature over Italy: netCDF, 3-hourly, May and June 2022.

    488 times on 43 × 48 points of 0.25°, in K. The grid is offset from ERA5's native one.
    """
    return fetch_file("era5/era5_t2m_italy_3h_20220501_20220630.nc", progress=progress)


def fetch_era5_uk(*, progress: bool = True) -> Path:
    """ERA5 2 m temperature over the United Kingdom: GRIB, hourly, March 2019.

    744 times on 33 × 49 points of ERA5's native 0.25° grid, in K. Reading it takes the ``grib``
    extra.
    """
    return fetch_file("era5/era5-2mt-2019-03-uk.grib", progress=progress)


def fetch_era5_static(*, progress: bool = True) -> Path:
    """ERA5 surface geopotential ``z`` and land–sea mask ``lsm``, global at 0.25°."""
    return fetch_file("era5/ERA5_const_sfc_variables.nc", progress=progress)


def fetch_mogreps_uk(
    variable: MogrepsVariable = "air_temperature", *, progress: bool = True
) -> list[Path]:
    """MOGREPS-UK ensemble forecasts at 2 km: 12 realizations on 200 × 200 points.

    One file for each of 2 to 5 June 2017, 15 UTC, on a Lambert azimuthal equal-area grid.

    Parameters
    ----------
    variable : {"air_temperature", "wind_speed"}, default "air_temperature"
        Screen temperature in K, or wind speed at 10 m in m s-1.
    """
    stem = _MOGREPS_STEMS[one_of("variable", variable, _MOGREPS_STEMS)]
    names = [f"mogreps-uk/{date}T0300Z-PT0012H-{stem}.nc" for date in _MOGREPS_DATES]
    return [fetch_file(name, progress=progress) for name in names]


def fetch_mogreps_uk_static(*, progress: bool = True) -> list[Path]:
    """Land mask, then vegetative roughness length, on the grid of :func:`fetch_mogreps_uk`."""
    stems = ("static_land_binary_mask_200x200", "static_roughness_length_200x200")
    return [fetch_file(f"mogreps-uk/{stem}.nc", progress=progress) for stem in stems]


def fetch_ukv_orography(*, progress: bool = True) -> Path:
    """UKV surface altitude at 2 km over 120 × 110 points of the United Kingdom, in m."""
    return fetch_file("mogreps-uk/ukv_t_plus_orog_120x110/ukvx_orography.nc", progress=progress)


def open_era5_italy(*, chunks: Chunks = None) -> xr.Dataset:
    """Open :func:`fetch_era5_italy`: ``t2m`` (time, latitude, longitude) in K."""
    return xr.open_dataset(fetch_era5_italy(), engine="netcdf4", chunks=chunks)


def open_era5_uk(*, chunks: Chunks = None) -> xr.Dataset:
    """Open :func:`fetch_era5_uk` through cfgrib: ``t2m`` (time, latitude, longitude) in K.

    Raises
    ------
    DataUnavailableError
        If cfgrib is not installed.
    """
    if util.find_spec("cfgrib") is None:
        raise DataUnavailableError(
            "era5/era5-2mt-2019-03-uk.grib: reading GRIB needs cfgrib, which is not installed; "
            "run: pip install 'xdeepr[grib]'."
        )
    # cfgrib would write an index beside the data, which may be a shared, read-only folder.
    options: dict[str, Any] = {"indexpath": ""}
    return xr.open_dataset(fetch_era5_uk(), engine="cfgrib", chunks=chunks, backend_kwargs=options)


def open_era5_static(*, chunks: Chunks = None) -> xr.Dataset:
    """Open :func:`fetch_era5_static`, without its time dimension of length one.

    ``z`` in m2 s-2 (divide by 9.80665 for metres) and ``lsm`` in 0 to 1 are (latitude, longitude),
    with longitudes 0 to 360.
    """
    static = xr.open_dataset(fetch_era5_static(), engine="netcdf4", chunks=chunks)
    return static.isel(time=0, drop=True)


def open_mogreps_uk(
    variable: MogrepsVariable = "air_temperature", *, chunks: Chunks = None
) -> xr.Dataset:
    """Open the four files of :func:`fetch_mogreps_uk`, joined in time.

    They hold `variable` (time, realization, projection_y_coordinate, projection_x_coordinate), the
    ``grid_mapping`` variable and the coordinates' bounds. Without `chunks` the fields (8 MB) are
    read into memory.
    """
    dates = [
        xr.open_dataset(path, engine="netcdf4", chunks=chunks)
        for path in fetch_mogreps_uk(variable)
    ]
    fields = xr.concat(
        [date[[variable]] for date in dates],
        dim="time",
        coords=["forecast_reference_time"],
        compat="override",
        join="exact",
        combine_attrs="override",
    )
    # The grid mapping and the bounds are the same in all; concat would repeat them along time.
    first = dates[0]
    return fields.assign({n: first.variables[n] for n in first.data_vars if n != variable})


def open_mogreps_uk_static(*, chunks: Chunks = None) -> xr.Dataset:
    """Open :func:`fetch_mogreps_uk_static` as one dataset.

    It holds ``land_binary_mask`` (1) and ``vegetative_roughness_length`` (m).
    """
    parts = [
        xr.open_dataset(path, engine="netcdf4", chunks=chunks) for path in fetch_mogreps_uk_static()
    ]
    return xr.merge(parts, compat="override", join="exact", combine_attrs="drop_conflicts")


def open_ukv_orography(*, chunks: Chunks = None) -> xr.Dataset:
    """Open :func:`fetch_ukv_orography`.

    It holds ``surface_altitude`` (projection_y_coordinate, projection_x_coordinate) in m.
    """
    return xr.open_dataset(fetch_ukv_orography(), engine="netcdf4", chunks=chunks)


def _storage(base_url: str | None = None) -> pooch.Pooch:
    """Describe the local folder, the registry and the addresses; touches no network."""
    import pooch  # pulls in requests, which `import xdeepr` must not pay for

    mirror = base_url or os.environ.get(DATA_URL_VARIABLE, "")
    storage = pooch.create(
        path=pooch.os_cache("xdeepr"),
        base_url=f"{mirror.rstrip('/')}/",
        env=DATA_DIR_VARIABLE,
    )
    with resources.as_file(resources.files("xdeepr") / "registry.txt") as registry:
        storage.load_registry(registry)
    if mirror:
        storage.urls.clear()
    return storage


def _refuse_other_file(path: Path, sha256: str, url: str) -> None:
    """Raise when the user's own folder holds another file of that name: it is not ours to mend."""
    import pooch

    if not path.exists():
        return
    found = pooch.file_hash(str(path))
    if found != sha256:
        raise DataUnavailableError(
            f"{path}: SHA-256 is {found}, expected {sha256}: a damaged copy or another version. "
            f"Remove it, or replace it by {url}; files in ${DATA_DIR_VARIABLE} are never "
            "overwritten."
        )


@contextmanager
def _pooch_log(enabled: bool) -> Iterator[None]:
    """Keep pooch's "Downloading file ..." back while `enabled` is false."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    if not enabled:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
