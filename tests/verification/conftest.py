"""Synthetic and real fields that the verification tests share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr


def field(values: np.ndarray, *, name: str = "t2m", units: str = "K") -> xr.DataArray:
    """Field on a descending 0.25° grid, 6-hourly; a fourth, leading axis holds realizations."""
    times, ny, nx = values.shape[-3:]
    dims = ["time", "latitude", "longitude"]
    if values.ndim == 4:
        dims = ["realization", *dims]
    return xr.DataArray(
        values,
        dims=dims,
        coords={
            "time": pd.date_range("2022-06-01", periods=times, freq="6h"),
            "latitude": ("latitude", 60 - 0.25 * np.arange(ny), {"units": "degrees_north"}),
            "longitude": ("longitude", 5 + 0.25 * np.arange(nx), {"units": "degrees_east"}),
        },
        name=name,
        attrs={"units": units, "long_name": "2 metre temperature"},
    )


@pytest.fixture
def make_field() -> Callable[..., xr.DataArray]:
    return field


@pytest.fixture
def truth() -> xr.DataArray:
    return field(np.random.default_rng(1).normal(285, 3, (12, 8, 10)))


@pytest.fixture
def ensemble(truth) -> xr.DataArray:
    """Six realizations around a signal that the truth shares, so that all scores are ordinary."""
    noise = np.random.default_rng(2).normal(0, 1, (6, *truth.shape))
    return field(0.8 * (truth.values - 285) + 285 + noise)


@pytest.fixture
def smooth(truth) -> xr.DataArray:
    return truth.rolling(longitude=3, center=True, min_periods=1).mean().assign_attrs(truth.attrs)
