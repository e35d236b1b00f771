"""Fields that the tests of pictures share, and a check that a figure can be written."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

pytest.importorskip("matplotlib")


@pytest.fixture
def save(tmp_path):
    def check(figure) -> None:
        path = tmp_path / "figure.png"
        figure.savefig(path, dpi=50)
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5000

    return check


@pytest.fixture
def truth() -> xr.DataArray:
    y, x = np.meshgrid(np.linspace(0, 6, 24), np.linspace(0, 9, 32), indexing="ij")
    phase = np.arange(3)[:, np.newaxis, np.newaxis]
    return xr.DataArray(
        285 + 5 * np.sin(x + phase) * np.cos(y),
        dims=("time", "lat", "lon"),
        coords={
            "time": pd.date_range("2022-06-01", periods=3, freq="6h"),
            "lat": ("lat", 46 - 0.25 * np.arange(24), {"units": "degrees_north"}),
            "lon": ("lon", (356 + 0.25 * np.arange(32)) % 360, {"units": "degrees_east"}),
        },
        name="t2m",
        attrs={"units": "K", "standard_name": "air_temperature"},
    )


@pytest.fixture
def forecast(truth) -> xr.DataArray:
    noise = np.random.default_rng(3).normal(0, 0.5, (4, *truth.shape))
    members = xr.DataArray(noise, dims=("realization", *truth.dims)) + truth
    return members.assign_coords(realization=range(4)).assign_attrs(truth.attrs).rename("t2m")
