"""The promises of the verb on real data: same answer, lazy, bounded, no seams; bad input."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from xdeepr.downscaling import graph as lazy
from xdeepr.testing import assert_same_field
from xdeepr.tiling.plan import make_plan

QUICK = {"members": 3, "seed": 1, "steps": 3}

CHUNKINGS = [
    {},
    {"time": 1},
    {"time": 3},
    {"latitude": 3},
    {"longitude": 5, "time": 2},
    {"time": 4, "latitude": 5, "longitude": 6},
]


@pytest.fixture(scope="module")
def lr(italy_lr) -> xr.Dataset:
    return italy_lr.isel(time=slice(0, 4))


@pytest.fixture(scope="module")
def whole(lr, checkpoint) -> xr.DataArray:
    """The field that all ways to compute it must agree with."""
    with dask.config.set(scheduler="synchronous"):
        return lr.deepr.downscale(checkpoint, batch_size=4, **QUICK).t2m.compute()


# --- promise 1: the answer does not depend on how it was computed ----------------------------


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize("chunks", CHUNKINGS, ids=str)
def test_chunks_of_the_input_do_not_matter_to_the_bit(chunks, scheduler, lr, checkpoint, whole):
    out = lr.chunk(chunks).deepr.downscale(checkpoint, batch_size=4, **QUICK)
    with dask.config.set(scheduler=scheduler, num_workers=2):
        np.testing.assert_array_equal(out.t2m.values, whole.values)


@pytest.mark.parametrize("batch_size", [1, 5, 12])
@pytest.mark.parametrize("chunks", CHUNKINGS, ids=str)
def test_batch_size_does_not_matter(chunks, batch_size, lr, checkpoint, whole):
    out = lr.chunk(chunks).deepr.downscale(checkpoint, batch_size=batch_size, **QUICK)
    assert_same_field(out.t2m, whole)


def test_processes_do_not_matter(lr, checkpoint, whole):
    """Two worker processes, each with its own copy of the model."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for batch_size, chunks in ((4, {"time": 1}), (1, {"latitude": 3}), (5, {})):
            out = lr.chunk(chunks).deepr.downscale(checkpoint, batch_size=batch_size, **QUICK)
            assert_same_field(out.t2m.compute(), whole)
        loaded = client.run(lambda: len(sys.modules["xdeepr.models.cache"]._LOADED))
        assert list(loaded.values()) == [1, 1]


@pytest.mark.parametrize("sampler", ["ddim", {"name": "ddim", "eta": 1.0}, "ddpm", "lms"], ids=str)
def test_it_holds_for_other_solvers(sampler, lr, checkpoint):
    """Stochastic ones too: their noise is keyed by position."""
    options = {"members": 2, "seed": 3, "steps": 4, "sampler": sampler}
    ours = lr.deepr.downscale(checkpoint, batch_size=2, **options).t2m
    theirs = lr.chunk(time=3).deepr.downscale(checkpoint, batch_size=7, **options).t2m
    assert_same_field(ours, theirs)
    assert_same_field(
        theirs.isel(time=3, realization=1), ours.isel(time=3, realization=1).compute()
    )


def test_it_holds_for_many_tiles(lr, checkpoint):
    options = {**QUICK, "tile": (16, 24), "overlap": 8}
    ours = lr.deepr.downscale(checkpoint, batch_size=3, **options).t2m
    theirs = lr.chunk(time=1).deepr.downscale(checkpoint, batch_size=50, **options).t2m
    assert_same_field(ours, theirs)


@pytest.mark.parametrize(
    "part",
    [
        {"time": 3, "realization": 2},
        {"time": [1]},
        {"realization": slice(1, 2)},
        {"time": [2, 0], "realization": [2, 0]},
        {"latitude": slice(5, 17), "longitude": slice(30, 41)},
        {"latitude": 39, "longitude": 0, "time": -1},
    ],
    ids=str,
)
def test_a_part_is_the_slice_of_the_whole(part, lr, checkpoint, whole):
    out = lr.deepr.downscale(checkpoint, batch_size=4, **QUICK).t2m
    np.testing.assert_array_equal(out.isel(part).values, whole.isel(part).values)


def test_times_that_were_selected_first_are_the_same(lr, checkpoint, whole):
    picked = lr.isel(time=[3, 0, 2]).sortby("time")
    assert_same_field(picked.deepr.downscale(checkpoint, **QUICK).t2m, whole.isel(time=[0, 2, 3]))
    alone = lr.isel(time=2)
    assert_same_field(alone.deepr.downscale(checkpoint, **QUICK).t2m, whole.isel(time=2))


def test_number_of_members_does_not_matter(lr, checkpoint, whole):
    five = lr.deepr.downscale(checkpoint, **{**QUICK, "members": 5}).t2m
    assert_same_field(five.isel(realization=slice(0, 3)), whole)
    only = lr.deepr.downscale(checkpoint, **{**QUICK, "members": None}).t2m
    assert "realization" not in only.dims
    assert_same_field(only, whole.isel(realization=0))


def test_seeds_share_no_member(lr, checkpoint, whole):
    other = lr.deepr.downscale(checkpoint, **{**QUICK, "seed": 2}).t2m.values
    pairs = [(a, b) for a in whole.values for b in other]
    pairs += [(whole.values[i], whole.values[j]) for i in range(3) for j in range(i)]
    for ours, theirs in pairs:
        spread = (ours - theirs)[:, ::5, ::5]
        assert np.abs(spread).mean() > 0.1
        noise = [field - whole.values.mean(axis=0) for field in (ours, theirs)]
        assert np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1] < 0.9


def test_orientation_and_order_of_dimensions_do_not_matter(lr, checkpoint, whole):
    flipped = lr.sortby("latitude").transpose("longitude", "latitude", "time", ...)
    out = flipped.deepr.downscale(checkpoint, batch_size=4, **QUICK).t2m
    assert out.dims == ("realization", "time", "latitude", "longitude")
    assert (np.diff(out.latitude) > 0).all()
    np.testing.assert_array_equal(out.sortby("latitude", ascending=False).values, whole.values)


def test_longitude_conventions_do_not_matter(italy_lr, italy_hr, checkpoint):
    """The same fields moved to the Atlantic, as -60..-48 and as 300..312."""
    lr = italy_lr.isel(time=slice(0, 2))
    statics = xr.zeros_like(italy_hr.t2m[0]).to_dataset(name="z").assign(lsm=italy_hr.t2m[0] * 0)
    statics.z.attrs, statics.lsm.attrs = {"units": "m2 s-2"}, {"units": "1"}

    def moved(ds, by):
        longitude = ("longitude", (ds.longitude + by).values, ds.longitude.attrs)
        return ds.assign_coords(longitude=longitude)

    fields = {}
    for by in (-66.57, 300 - 6.57):
        out = moved(lr, by).deepr.downscale(
            checkpoint, covariates=moved(statics, by), batch_size=4, **QUICK
        )
        fields[by] = out.t2m
        np.testing.assert_allclose(out.longitude, italy_hr.longitude + by, atol=1e-4)
    assert_same_field(*fields.values())


def test_noise_does_not_depend_on_where_the_domain_begins(lr, checkpoint):
    """A sub-domain of the input sees the same noise; only the edges see another context."""
    options = {"members": 1, "steps": 1, "sampler": "dpm++", "tile": (8, 8), "overlap": 0}
    options["covariates"] = None
    whole = lr.deepr.downscale(checkpoint, **options).t2m
    part = lr.isel(latitude=slice(2, 8), longitude=slice(4, 10)).deepr.downscale(
        checkpoint, **options
    )
    inner = {"latitude": slice(8, 16), "longitude": slice(8, 16)}
    same = whole.sel(latitude=part.latitude, longitude=part.longitude)
    assert_same_field(part.t2m.isel(inner), same.isel(inner))


# --- promise 2: lazy ---------------------------------------------------------------------------


def test_nothing_is_computed(lr, italy_hr, checkpoint, statics, count_computes):
    coarse = italy_hr.chunk(time=2).deepr.coarsen(4)
    coarse["t2m"] = coarse.t2m - 0
    coarse.t2m.attrs["units"] = "K"
    for options in ({}, {"covariates": statics}, {"tile": 16, "overlap": 4}):
        out = coarse.deepr.downscale(checkpoint, **QUICK, **options)
    baseline = coarse.deepr.downscale("bicubic", factor=4)
    assert count_computes == [0]
    for ds in (coarse, out, baseline):
        assert isinstance(ds.t2m.data, da.Array)
    out.t2m.isel(time=0, realization=0).compute()
    assert count_computes == [1]


def test_a_file_opened_without_chunks_is_not_read(italy_lr, checkpoint, tmp_path, monkeypatch):
    """Not even where units must be converted and an axis flipped."""
    italy_lr.t2m.sortby("latitude").pipe(
        lambda t2m: (t2m - 273.15).assign_attrs(units="degC")
    ).to_netcdf(tmp_path / "lr.nc")
    from xarray.backends.netCDF4_ import NetCDF4ArrayWrapper

    ds = xr.open_dataset(tmp_path / "lr.nc")
    read = []
    original = NetCDF4ArrayWrapper._getitem

    def counting(self, key):
        read.append(self.variable_name)
        return original(self, key)

    monkeypatch.setattr(NetCDF4ArrayWrapper, "_getitem", counting)
    out = ds.deepr.downscale(checkpoint, **QUICK)
    assert "t2m" not in read
    out.t2m.isel(time=0, realization=0).compute()
    assert "t2m" in read


def test_planning_does_not_import_torch(lr, checkpoint, tmp_path):
    lr.to_netcdf(tmp_path / "lr.nc")
    code = (
        "import sys, xarray as xr, xdeepr\n"
        f"lr = xr.open_dataset({str(tmp_path / 'lr.nc')!r}, chunks={{}})\n"
        f"out = lr.deepr.downscale({str(checkpoint)!r}, members=2, sampler='ddim')\n"
        "heavy = {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


@pytest.fixture
def calls(monkeypatch) -> list[tuple]:
    """Blocks that are computed, as (block, times, realizations)."""
    seen = []
    original = lazy.compute_block

    def counting(recipe, times, block, slab, *arrays):
        seen.append((block, slab.times[1] - slab.times[0], tuple(range(*slab.realizations))))
        return original(recipe, times, block, slab, *arrays)

    monkeypatch.setattr(lazy, "compute_block", counting)
    return seen


@pytest.fixture
def many_blocks(monkeypatch) -> None:
    """Cut the domain into blocks of about 16 pixels instead of 1024."""

    def smaller(shape, **options):
        return make_plan(shape, **{**options, "block": 16})

    monkeypatch.setattr("xdeepr.downscaling.request.make_plan", smaller)


def test_a_part_computes_only_its_blocks(lr, checkpoint, calls, many_blocks):
    out = lr.deepr.downscale(checkpoint, tile=16, overlap=4, batch_size=1, **QUICK).t2m
    blocks = int(np.prod(out.data.numblocks[-2:]))
    assert blocks > 6
    out.isel(time=2, realization=1, latitude=0, longitude=0).compute(scheduler="synchronous")
    assert [(times, realizations) for _, times, realizations in calls] == [(1, (1,))]
    calls.clear()
    out.isel(time=[0, 3]).compute(scheduler="synchronous")
    assert len(calls) == 2 * 3 * blocks


# --- promise 3: bounded ------------------------------------------------------------------------


def test_the_model_is_not_in_the_graph(italy_lr, small_model, checkpoint):
    weights = sum(p.numel() * p.element_size() for p in small_model.network.parameters())
    lr = italy_lr.chunk(time=1)
    for model in (checkpoint, small_model):
        out = lr.deepr.downscale(model, members=10, batch_size=1, covariates=None)
        layers = out.t2m.data.dask.layers
        ours = {k: v for name, layer in layers.items() if "deepr" in name for k, v in layer.items()}
        assert len(ours) > 480
        assert len(pickle.dumps(ours)) < weights / 2
        assert len(pickle.dumps(ours)) / len(ours) < 500
        assert b"torch" not in pickle.dumps(ours)


def test_the_model_is_loaded_once(lr, checkpoint, monkeypatch):
    from xdeepr.models import cache as model_cache

    loads = []
    original = model_cache.load_folder

    def counting(folder, **options):
        loads.append(folder)
        return original(folder, **options)

    monkeypatch.setattr(model_cache, "load_folder", counting)
    monkeypatch.setattr(model_cache, "_LOADED", {})
    out = lr.deepr.downscale(checkpoint, batch_size=1, **QUICK).t2m
    assert out.data.npartitions == 12
    out.compute(scheduler="threads", num_workers=4)
    assert len(loads) == 1


@pytest.mark.parametrize(("times", "members"), [(4, 2), (48, 2), (48, 10), (4, 200)])
def test_tasks_do_not_grow_with_time_or_members(times, members, italy_lr, checkpoint):
    """A task fills one batch of 16 fields, however long the series."""
    lr = italy_lr.isel(time=slice(0, times))
    out = lr.deepr.downscale(checkpoint, members=members).t2m
    assert np.prod([max(sizes) for sizes in out.data.chunks]) <= 16 * 40 * 48


# --- promise 4: no seams -----------------------------------------------------------------------


def border_ratio(field: np.ndarray, borders: list[int], axis: int) -> float:
    """Mean absolute gradient across some pixel borders over that elsewhere, along one axis."""
    steps = np.abs(np.diff(field, axis=axis)).mean(
        axis=tuple(i for i in range(field.ndim) if i != axis % field.ndim)
    )
    across = np.zeros(steps.size, bool)
    across[np.asarray(borders) - 1] = True
    return float(steps[across].mean() / steps[~across].mean())


@pytest.mark.parametrize("block", [4096, 64], ids=["one block", "16 blocks"])
def test_no_seams(block, mogreps_lr, wind_model, monkeypatch):
    """Wind over the UK in 7 × 7 tiles, and in blocks that do not see one another.

    Real gradients differ from place to place, so the ratio is taken relative to that of the
    same field, with the same noise, computed in one piece.
    """
    lr = mogreps_lr.isel(time=slice(6, 8))
    options = {"members": 2, "seed": 5, "steps": 5}
    one = lr.deepr.downscale(wind_model, tile=200, overlap=0, **options).wind_speed.values

    def with_blocks(shape, **chosen):
        return make_plan(shape, **{**chosen, "block": block})

    monkeypatch.setattr("xdeepr.downscaling.request.make_plan", with_blocks)
    out = lr.deepr.downscale(wind_model, tile=40, overlap=12, batch_size=49, **options)
    tiled = out.wind_speed.values
    assert np.abs(tiled - one).max() > 1e-3  # the tiles do make a difference somewhere
    plan = with_blocks((200, 200), tile=(40, 40), overlap=12)
    assert len(plan.y) == (1 if block > 200 else 4)
    for axis, segments in ((-2, plan.y), (-1, plan.x)):
        tiles = sorted({tile for s in segments for tile in s.tiles}, key=lambda t: t.start)
        borders = {t.start for t in tiles} | {t.stop for t in tiles}
        places = [sorted(borders - {0, 200}), np.cumsum([len(s.core) for s in segments])[:-1]]
        for where in places:
            if len(where):
                ratio = border_ratio(tiled, where, axis) / border_ratio(one, where, axis)
                assert ratio == pytest.approx(1, abs=0.02)


def test_the_measure_of_seams_sees_them(mogreps_lr, wind_model):
    """Without overlap there are seams, so the test above could fail."""
    lr = mogreps_lr.isel(time=[6])
    one, cut = (
        lr.deepr.downscale(wind_model, members=2, tile=tile, overlap=0, steps=5).wind_speed.values
        for tile in (200, 40)
    )
    borders = [40, 80, 120, 160]
    assert border_ratio(cut, borders, -1) / border_ratio(one, borders, -1) > 1.1
