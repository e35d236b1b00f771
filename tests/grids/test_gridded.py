"""The door of a verb: axes are looked for once in each object that a user gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import xarray as xr

import xdeepr
from tests.conftest import TINY
from tests.example_grids import projected
from xdeepr import cf
from xdeepr.grids import grid_of, gridded

QUICK = {"network": TINY, "max_steps": 2, "validation": None, "progress": False}


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Every object in which axes are looked for, from here on."""
    seen: list[object] = []
    find = cf.find_axes

    def counted(obj: xr.Dataset | xr.DataArray) -> cf.Axes:
        seen.append(obj)
        return find(obj)

    monkeypatch.setattr(cf, "find_axes", counted)
    yield seen


@pytest.fixture(scope="module")
def island() -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """LR, HR and statics of two days."""
    return xdeepr.synthetic.example_pair(2)


@pytest.fixture(scope="module")
def model(island: tuple[xr.Dataset, ...]) -> xdeepr.Downscaler:
    lr, hr, statics = island
    return xdeepr.fit(lr, hr, covariates=statics, **QUICK)


def days(ds: xr.Dataset) -> xr.Dataset:
    return ds.isel(time=slice(0, 3))


VERBS: dict[str, tuple[int, Callable[..., object]]] = {
    "downscale": (1, lambda lr, hr, s, m: xdeepr.downscale(lr, "bicubic", factor=4)),
    "downscale of one field": (1, lambda lr, hr, s, m: lr.t2m.deepr.downscale("nearest", factor=4)),
    "downscale like": (2, lambda lr, hr, s, m: xdeepr.downscale(lr, "bicubic", like=hr)),
    "downscale with a model": (1, lambda lr, hr, s, m: xdeepr.downscale(lr, m, steps=2)),
    "downscale with gaps": (1, lambda lr, hr, s, m: xdeepr.downscale(lr, m, missing="mask")),
    "downscale with covariates": (2, lambda lr, hr, s, m: xdeepr.downscale(lr, m, covariates=s)),
    "downscale an ensemble": (
        1,
        lambda lr, hr, s, m: xdeepr.downscale(lr.expand_dims(number=[0, 1, 2]), m, members=2),
    ),
    "coarsen": (1, lambda lr, hr, s, m: xdeepr.coarsen(hr, 4)),
    "nest": (2, lambda lr, hr, s, m: xdeepr.nest(lr, hr)),
    "fit": (2, lambda lr, hr, s, m: xdeepr.fit(lr, hr, **QUICK)),
    "fit with all": (
        5,
        lambda lr, hr, s, m: xdeepr.fit(
            lr, hr, covariates=s, **{**QUICK, "validation": (lr.copy(), hr.copy())}
        ),
    ),
    "verify": (2, lambda lr, hr, s, m: xdeepr.verify(hr, hr + 1, baseline=None)),
    "verify beside a predictor": (3, lambda lr, hr, s, m: xdeepr.verify(hr, hr + 1, predictor=lr)),
    "verify beside fields": (
        4,
        lambda lr, hr, s, m: xdeepr.verify(hr, hr + 1, baseline=hr + 2, extra={"other": hr + 3}),
    ),
}
"""Verb -> number of objects that it is given, and the call."""


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.filterwarnings("ignore")
def test_axes_are_found_once_for_each_object(verb, island, model, looks):
    lr, hr, statics = island
    given, call = VERBS[verb]
    with xr.set_options(keep_attrs=True):
        call(days(lr), days(hr), statics, model)
    assert len(looks) <= given


def test_it_says_what_its_parts_say(island):
    lr = island[0]
    source = gridded(lr)
    assert source.axes == cf.find_axes(lr)
    assert source.grid.extent() == grid_of(lr).extent()
    assert source.fields == ("t2m",)
    assert source.time is not None
    assert source.time.identical(lr.time)
    assert source.further == ()


def test_a_field_without_time_has_lost_it(island):
    source = gridded(island[0])
    first = source.isel({"time": 0})
    assert first.axes == cf.Axes(source.axes.y, source.axes.x, None)
    assert first.time is not None
    assert first.time.ndim == 0
    assert first.grid is source.grid


def test_the_kind_of_object_comes_back(island):
    lr = island[0]
    assert gridded(lr).as_given() is lr
    back = gridded(lr.t2m.rename(None)).as_given()
    assert isinstance(back, xr.DataArray)
    assert back.name is None
    assert not any("bounds" in coord.attrs for coord in back.coords.values())


@pytest.mark.filterwarnings("error")
def test_a_dataarray_does_not_warn_of_a_lost_grid_mapping():
    field = projected()[["t"]].t.assign_attrs(units="K")
    assert field.attrs["grid_mapping"] not in field.coords
    for boundary in ("exact", "trim"):
        cells = 4 if boundary == "exact" else 5
        coarse = xdeepr.coarsen(field[:cells, :cells], 2, boundary=boundary)
        assert dict(coarse.sizes) == {"y": 2, "x": 2}
    scores = xdeepr.verify(field, field + 1, baseline=None, metrics=["mae"])
    assert float(scores.mae.squeeze()) == 1


@pytest.mark.parametrize("where", ["attrs", "encoding"])
@pytest.mark.parametrize(
    "mapping", ["own", "own: x y", "other: lat lon own: x y", "own: y x other: lat lon"]
)
def test_the_grid_mapping_is_that_of_the_axes(mapping, where):
    latlon = ((), 0, {"grid_mapping_name": "latitude_longitude"})
    ds = projected().assign(own=lambda d: d.crs, other=latlon)
    ds.t.attrs.pop("grid_mapping", None)
    getattr(ds.t, where)["grid_mapping"] = mapping
    found = gridded(ds).grid.mapping
    assert found is not None
    assert found[0] == "own"
