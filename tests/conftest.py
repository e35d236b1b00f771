"""Shared fixtures: real data, a seeded random generator, and no network."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, settings

import xdeepr

if TYPE_CHECKING:
    from xdeepr import Downscaler

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
TINY = {"block_out_channels": (8, 16, 16), "layers_per_block": 1}
"""A network that takes milliseconds."""

# how long examples take says how busy the machine is, and nothing about the code
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first: a worker takes whole files, and long ones must not end."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to anything but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            raise OSError(f"tests may not use the network (tried {address[0]})")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep models that tests make out of the user's cache."""
    os.environ["XDEEPR_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data; in CI it must be there."""
    folder = Path(os.environ.get("XDEEPR_DATA_DIR") or SHARED)
    if not (folder / "era5").is_dir():
        message = f"real data not found in {folder}: set XDEEPR_DATA_DIR to its folder"
        if os.environ.get("CI") == "true" and SHARED.parent.is_dir():
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that gives the same numbers in every run."""
    return np.random.default_rng(20240611)


@pytest.fixture(scope="session")
def italy_hr(data_dir: Path) -> xr.Dataset:
    """ERA5 2 m temperature over Italy: 48 three-hourly fields of 40 × 48 cells."""
    file = data_dir / "era5/era5_t2m_italy_3h_20220501_20220630.nc"
    with xr.open_dataset(file) as ds:
        return ds.isel(time=slice(0, 48), latitude=slice(0, 40)).astype("float32").load()


@pytest.fixture(scope="session")
def statics(data_dir: Path) -> xr.Dataset:
    """Geopotential and land–sea mask of the globe at 0.25°, cut to Europe."""
    with xr.open_dataset(data_dir / "era5/ERA5_const_sfc_variables.nc") as ds:
        return ds.sel(latitude=slice(60, 30), longitude=slice(0, 30)).load()


@pytest.fixture(scope="session")
def italy_lr(italy_hr: xr.Dataset) -> xr.Dataset:
    """The Italian fields on cells of 1°, 10 × 12."""
    return xdeepr.coarsen(italy_hr, 4)


@pytest.fixture(scope="session")
def small_model(italy_lr: xr.Dataset, italy_hr: xr.Dataset, statics: xr.Dataset) -> Downscaler:
    """A tiny ×4 model after a handful of steps, its output layer roughened.

    Fresh networks predict 0; with random numbers instead every condition and the noise matter.
    """
    import torch

    model = xdeepr.fit(
        italy_lr, italy_hr, covariates=statics, max_steps=5, batch_size=4, validation=None,
        network=TINY, precision="float32", progress=False, name="tiny",
    )  # fmt: skip
    weight = model.network.unet.conv_out.weight
    with torch.no_grad():
        weight += 0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    return model


@pytest.fixture(scope="session")
def checkpoint(small_model: Downscaler, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which the tiny model is saved."""
    return small_model.save(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture
def count_computes() -> Iterator[list[int]]:
    """Count dask computations while a test runs, in a list of one number."""
    counted = [0]

    def scheduler(graph: object, keys: object, **options: object) -> object:
        counted[0] += 1
        return dask.get(graph, keys, **options)

    with dask.config.set(scheduler=scheduler):
        yield counted


@pytest.fixture(scope="session")
def mogreps_hr(data_dir: Path) -> xr.Dataset:
    """Wind speed of MOGREPS-UK, 200 × 200 cells of 2 km: 8 members, each as a time of its own."""
    name = "20170602T0300Z-PT0012H-horizontal_wind_speed_at_10m.nc"
    with xr.open_dataset(data_dir / "mogreps-uk" / name) as ds:
        ds = ds.drop_vars(["time", "forecast_period", "forecast_reference_time"]).load()
    times = np.datetime64("2017-06-02T03:00", "ns") + np.arange(12) * np.timedelta64(3600, "s")
    ds = ds.rename(realization="time").assign_coords(time=("time", times))
    ds.time.attrs["standard_name"] = "time"
    return ds.isel(time=slice(0, 8))


@pytest.fixture(scope="session")
def mogreps_lr(mogreps_hr: xr.Dataset) -> xr.Dataset:
    """The same on cells of 8 km, 50 × 50."""
    return xdeepr.coarsen(mogreps_hr, 4)


@pytest.fixture(scope="session")
def wind_model(mogreps_lr: xr.Dataset, mogreps_hr: xr.Dataset) -> Downscaler:
    """A tiny ×4 model for a projected grid, trained for some seconds on windows."""
    return xdeepr.fit(
        mogreps_lr.isel(time=slice(0, 6)), mogreps_hr.isel(time=slice(0, 6)), time_features=(),
        max_steps=60, batch_size=4, window=32, validation=None, network=TINY,
        precision="float32", progress=False, name="wind",
    )  # fmt: skip
