"""Grids that several tests build or open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

EUR11 = "awkward/esgf__tas_EUR-11_MPI-M-MPI-ESM-LR_rcp85_r1i1p1_KNMI-RACMO22E_v1_mon_209101.nc"
EUR22 = "awkward/esgf__tas_EUR-22_MPI-M-MPI-ESM-LR_rcp85_r1i1p1_GERICS-REMO2015_v1_mon_202101.nc"


def open_real(data_dir: Path, name: str) -> xr.Dataset:
    # the time of some files cannot be decoded, which is no matter here
    return xr.open_dataset(data_dir / name, engine="netcdf4", decode_times=False)


def latlon(lat: np.ndarray, lon: np.ndarray) -> xr.DataArray:
    return xr.DataArray(
        np.arange(len(lat) * len(lon), dtype=float).reshape(len(lat), len(lon)),
        dims=("lat", "lon"),
        coords={
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
        name="t",
    )


def projected(units: str = "m", scale: float = 1.0) -> xr.Dataset:
    """Return a small grid on the projection of MOGREPS-UK."""
    mapping = {
        "grid_mapping_name": "lambert_azimuthal_equal_area",
        "longitude_of_projection_origin": -2.5,
        "latitude_of_projection_origin": 54.9,
        "false_easting": 0.0,
        "false_northing": 0.0,
        "semi_major_axis": 6378137.0,
        "semi_minor_axis": 6356752.314140356,
    }
    coords = {
        name: (
            name,
            2000.0 * scale * np.arange(n),
            {"units": units, "standard_name": f"projection_{name}_coordinate"},
        )
        for name, n in (("y", 6), ("x", 8))
    }
    field = (("y", "x"), np.zeros((6, 8)), {"grid_mapping": "crs"})
    return xr.Dataset({"t": field, "crs": ((), 0, mapping)}, coords)
