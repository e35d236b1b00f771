"""On a cluster: the model is loaded once by a worker, tasks are small, and workers may die."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask._task_spec import convert_legacy_graph
from distributed import Client, LocalCluster, as_completed, futures_of

from xdeepr.errors import CheckpointError, MissingValuesError
from xdeepr.grids import grid_of, gridded
from xdeepr.inputs import covariates
from xdeepr.inputs.quantities import Quantity
from xdeepr.models import cache as model_cache
from xdeepr.models.stored_arrays import load_covariates

OPTIONS = {"members": 2, "seed": 1, "steps": 2, "batch_size": 1}


@pytest.fixture(scope="module")
def lr(italy_lr) -> xr.Dataset:
    return italy_lr.isel(time=slice(0, 6)).chunk(time=2)


@pytest.fixture(scope="module")
def whole(lr, checkpoint) -> np.ndarray:
    with dask.config.set(scheduler="synchronous"):
        return lr.deepr.downscale(checkpoint, **OPTIONS).t2m.values


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Client]:
    """Two processes with a nanny each, in which nobody has set the number of threads."""
    environment = {"distributed.nanny.pre-spawn-environ": {}, "distributed.nanny.environ": {}}
    kept = {name: os.environ.pop(name, None) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    with (
        dask.config.set(environment),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        os.environ.update({name: value for name, value in kept.items() if value is not None})
        yield client


def count_loads() -> None:
    """Count in this process how often a model is loaded."""
    original = model_cache.load_folder

    def counting(folder: Path, **options: bool):
        model_cache.LOADS.append(folder)
        return original(folder, **options)

    model_cache.LOADS, model_cache.load_folder = [], counting


def loads() -> int:
    return len(model_cache.LOADS)


def threads() -> tuple[int, bool]:
    import torch

    from xdeepr.models import devices

    return torch.get_num_threads(), devices._Process.threads_limited


# --- the model ---------------------------------------------------------------------------------


def test_each_worker_loads_the_model_once(lr, checkpoint, whole, two_workers):
    two_workers.run(count_loads)
    for _ in range(2):  # the second time it is still there
        out = lr.deepr.downscale(checkpoint, **OPTIONS).t2m
        assert out.data.npartitions == 12
        np.testing.assert_array_equal(out.compute(), whole)
    assert list(two_workers.run(loads).values()) == [1, 1]


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_so_does_a_single_process(scheduler, lr, checkpoint, whole, monkeypatch):
    monkeypatch.setattr(model_cache, "_LOADED", {})
    monkeypatch.setattr(model_cache, "load_folder", model_cache.load_folder)
    monkeypatch.setattr(model_cache, "LOADS", [], raising=False)
    count_loads()
    out = lr.deepr.downscale(checkpoint, **OPTIONS).t2m
    np.testing.assert_array_equal(out.compute(scheduler=scheduler, num_workers=4), whole)
    assert loads() == 1


def test_workers_in_the_same_process_share_it(lr, checkpoint, whole, monkeypatch):
    """And leave the user's process as it is."""
    import torch

    monkeypatch.setattr(model_cache, "_LOADED", {})
    monkeypatch.setattr(model_cache, "load_folder", model_cache.load_folder)
    monkeypatch.setattr(model_cache, "LOADS", [], raising=False)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: pytest.fail("threads were set"))
    monkeypatch.setattr("xdeepr.models.devices._Process.threads_limited", False)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    count_loads()
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as cluster,
        Client(cluster),
    ):
        out = lr.deepr.downscale(checkpoint, **OPTIONS).t2m
        np.testing.assert_array_equal(out.compute(), whole)
    assert loads() == 1


def test_a_folder_that_a_worker_does_not_see(tmp_path):
    """The folder was there where the work was planned."""
    with pytest.raises(CheckpointError, match=r"does not see the model's folder.*all workers"):
        model_cache.load_once(str(tmp_path / "elsewhere"), "0" * 8, "cpu")


# --- threads -----------------------------------------------------------------------------------


def test_workers_share_the_cores(lr, checkpoint, two_workers):
    """Two workers with one thread of dask each take one of torch's each."""
    lr.deepr.downscale(checkpoint, **OPTIONS).t2m.compute()
    assert set(two_workers.run(threads).values()) == {(1, True)}


# --- the graph ---------------------------------------------------------------------------------


def tasks_of(ds: xr.Dataset) -> dict:
    """All tasks as dask sends them, before it fuses any."""
    return convert_legacy_graph(dict(ds.t2m.data.__dask_graph__()))


@pytest.mark.parametrize("times", [2, 40])
def test_tasks_are_small(times, italy_lr, checkpoint, statics):
    """Each pickled by itself, as a scheduler gets it; inputs of the user are not counted."""
    lr = italy_lr.isel(time=slice(0, times)).chunk(time=1)
    options = {**OPTIONS, "tile": 16, "overlap": 4}
    blocks = [
        len(pickle.dumps(task))
        for key, task in tasks_of(lr.deepr.downscale(checkpoint, **options)).items()
        if isinstance(key, tuple) and str(key[0]).startswith("deepr-downscale")
    ]
    assert len(blocks) == 2 * times
    assert max(blocks) < 2_000


@pytest.fixture
def globe() -> xr.Dataset:
    """A lazy field of 37 million cells; nothing of it may be computed."""
    shape, step = (1, 4320, 8640), 1 / 24
    return xr.Dataset(
        {"t2m": (("time", "lat", "lon"), da.zeros(shape, chunks=(1, 1080, 1080)), {"units": "K"})},
        {
            "time": np.array(["2000-01-01T06"], "datetime64[ns]"),
            "lat": ("lat", -90 + (np.arange(4320) + 0.5) * step, {"units": "degrees_north"}),
            "lon": ("lon", (np.arange(8640) + 0.5) * step, {"units": "degrees_east"}),
        },
    )


def test_fields_of_the_sun_are_made_in_parts(globe, count_computes):
    features = {"cos_solar_zenith": "field", "local_solar_time": "field"}
    out = covariates.solar_on(grid_of(globe), features, globe.time)
    assert out.shape == (1, 3, 4320, 8640)
    assert max(map(max, out.chunks)) <= 1024
    tasks = convert_legacy_graph(dict(out.__dask_graph__()))
    assert max(len(cloudpickle.dumps(task)) for task in tasks.values()) < 2 * 8 * 8640
    assert count_computes == [0]
    noon = int(np.argmax(out[0, 0, 2160].compute(scheduler="synchronous")))
    assert globe.lon.values[noon] == pytest.approx(90, abs=1)  # 6 UTC


def test_varying_covariates_on_the_grid_stay_in_their_chunks(globe, count_computes):
    wanted = [Quantity("t2m", "K")]
    out = covariates.varying_on(grid_of(globe), gridded(globe), wanted, globe.time)
    assert max(map(max, out.chunks)) <= 1080
    region = globe.isel(lat=slice(100, 900), lon=slice(3000, 3200))
    part = covariates.varying_on(grid_of(region), gridded(globe), wanted, globe.time)
    assert part.shape == (1, 1, 800, 200)
    assert count_computes == [0]


def test_varying_covariates_off_the_grid_are_cut_to_parts(globe, count_computes, rng):
    """On other cells: a part of the result is made of what lies around it, to the same bits."""
    wanted = [Quantity("t2m", "K")]
    fine = globe.isel(lat=slice(100, 3400), lon=slice(3000, 5200)).interp(
        lat=np.arange(-80, 60, 1 / 16), lon=np.arange(130, 215, 1 / 16)
    )
    for name in ("lat", "lon"):
        fine[name].attrs = globe[name].attrs
    out = covariates.varying_on(grid_of(fine), gridded(globe), wanted, globe.time)
    assert out.shape == (1, 1, 2240, 1360)
    assert max(map(max, out.chunks)) <= 1024
    assert count_computes == [0]
    (corner,) = (part := out[..., :10, :10]).__dask_keys__()[0][0][0]
    needed = dict(part.__dask_graph__().cull([corner]))
    source = globe.t2m.data
    assert 0 < sum(key[0] == source.name for key in needed if isinstance(key, tuple)) <= 9
    assert source.npartitions == 32
    values = rng.normal(size=(400, 500)).astype("f4")
    small = globe.isel(lat=slice(0, 400), lon=slice(0, 500)).assign(
        t2m=(("time", "lat", "lon"), values[None], {"units": "K"})
    )
    near = {"lat": slice(10, 60), "lon": slice(20, 90)}
    other = small.isel(near).assign_coords(
        lat=small.lat[near["lat"]] + 0.01, lon=small.lon[near["lon"]] + 0.02
    )
    for name in ("lat", "lon"):
        other[name].attrs = globe[name].attrs
    lazy = covariates.statics_on(grid_of(other), gridded(small.chunk(lat=100)), wanted)
    whole = covariates.covariates_on(grid_of(other), gridded(small), wanted)
    np.testing.assert_array_equal(lazy, whole)


def test_statics_that_are_lazy_stay_so(italy_lr, italy_hr, small_model, tmp_path, count_computes):
    """Kept with the model, or in a file: tasks read their part, and the graph holds none."""
    folder = small_model.save(tmp_path / "model")
    kept = italy_lr.deepr.downscale(folder)
    grid = grid_of(italy_hr)
    own = load_covariates(folder, small_model.card, grid, "digest")
    own.to_netcdf(tmp_path / "statics.nc")
    lazy = xr.open_dataset(tmp_path / "statics.nc", chunks={})
    given = italy_lr.deepr.downscale(folder, covariates=lazy)
    for out in (kept, given):
        sizes = sorted(len(cloudpickle.dumps(task)) for task in tasks_of(out).values())
        assert sizes[-1] < italy_lr.t2m.nbytes + 2_000  # the predictors, which are in memory
        assert sizes[-2] < 3_000
    computed = count_computes[0]
    np.testing.assert_array_equal(kept.t2m.isel(time=0).compute(), given.t2m.isel(time=0).compute())
    assert count_computes[0] == computed + 2


def test_lazy_statics_are_checked_by_the_tasks(italy_lr, statics, checkpoint):
    holes = statics.where(statics.latitude > 40).chunk(latitude=50)
    out = italy_lr.isel(time=[0]).deepr.downscale(checkpoint, covariates=holes)
    with pytest.raises(MissingValuesError, match=r"'z' has missing values.*fillna"):
        out.t2m.compute(scheduler="synchronous")


def test_covariates_on_the_grid_are_taken_as_they_are(italy_hr, rng):
    """Those of a larger grid with the same cells too."""
    field = italy_hr.t2m[0].drop_vars("time")
    z = field.copy(data=rng.normal(size=field.shape)).assign_attrs(units="K").to_dataset(name="z")
    inner = {"latitude": slice(4, 30), "longitude": slice(5, 40)}
    for part in ({}, inner):
        grid = grid_of(italy_hr.isel(part))
        found = covariates.covariates_on(grid, gridded(z), [Quantity("z", "K")])[0]
        expected = z.z.isel(part).sortby("latitude").values.astype("float32")
        np.testing.assert_array_equal(found, expected)


def test_no_worker_is_the_users_process(two_workers):
    def where() -> bool:
        from xdeepr.models import devices

        return devices.is_worker_process()

    assert set(two_workers.run(where).values()) == {True}


# --- workers that die --------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_workers_change_nothing(lr, checkpoint, two_workers):
    """Each dies amid the work; its nanny starts another, which loads the model again."""
    options = {**OPTIONS, "members": 6}
    with dask.config.set(scheduler="synchronous"):
        whole = lr.deepr.downscale(checkpoint, **options).t2m.values
    processes = list(two_workers.run(os.getpid).values())
    out = lr.deepr.downscale(checkpoint, **options).t2m.persist()
    blocks = futures_of(out)
    assert len(blocks) == 36
    finished = as_completed(blocks)
    for process in processes:
        for _ in range(3):
            next(finished)
        assert not all(block.done() for block in blocks)
        os.kill(process, signal.SIGKILL)
    np.testing.assert_array_equal(out.compute(), whole)
    two_workers.wait_for_workers(2, timeout=60)
    assert set(processes).isdisjoint(two_workers.run(os.getpid).values())


def test_kept_statics_wait_in_no_memory(italy_lr, small_model, tmp_path):
    """Tasks read them: no chunk of them is a task of its own, whatever is downscaled."""
    folder = small_model.save(tmp_path / "model")
    out = italy_lr.isel(time=slice(0, 2)).deepr.downscale(folder, tile=16, overlap=4, **OPTIONS)
    assert not [key for key in tasks_of(out) if "deepr-kept" in str(key)]
    values = small_model.covariate_arrays["values"]
    given = xr.Dataset(
        {q.name: (("latitude", "longitude"), field[::-1], {"units": q.units})
         for q, field in zip(small_model.card.covariates, values, strict=True)},
        {"latitude": out.latitude, "longitude": out.longitude},
    )  # fmt: skip
    same = italy_lr.isel(time=slice(0, 2)).deepr.downscale(
        folder, tile=16, overlap=4, covariates=given, **OPTIONS
    )
    np.testing.assert_array_equal(out.t2m.compute(), same.t2m.compute())
