"""``.deepr`` forwards to the functions, and bad input gets an error that names the cure."""

from __future__ import annotations

import inspect
import pydoc

import numpy as np
import pytest
import xarray as xr

import xdeepr
from tests.conftest import TINY
from xdeepr.accessor import without_first
from xdeepr.errors import (
    AxisError,
    CheckpointError,
    GridError,
    MissingValuesError,
    OptionError,
    UnitsError,
    VariableError,
    XdeeprError,
)

VERBS = ("downscale", "fit", "verify", "coarsen", "nest")
CLASSES = (xdeepr.DeeprDatasetAccessor, xdeepr.DeeprDataArrayAccessor)
FIT = {"max_steps": 1, "batch_size": 2, "network": TINY, "validation": None, "progress": False}


@pytest.fixture(scope="module")
def lr(italy_lr) -> xr.Dataset:
    return italy_lr.isel(time=slice(0, 3))


def refused(error: type[XdeeprError], *words: str):
    """Expect an error whose message holds all words, of which the last tell the cure."""
    pattern = "".join(f"(?=[\\s\\S]*{word})" for word in words)
    return pytest.raises(error, match=pattern)


# --- forwarding ----------------------------------------------------------------------------------


def function_of(method: str):
    """The function that a method of the accessor forwards to."""
    others = {
        "plot": xdeepr.plotting.plot_scores,
        "score_table": xdeepr.verification.score_table,
    }
    return others.get(method) or getattr(xdeepr, method)


METHODS = [
    pytest.param(cls, name, id=f"{cls.__name__}.{name}")
    for cls in CLASSES
    for name in dir(cls)
    if not name.startswith("_")
]


def test_every_verb_is_a_method():
    for cls in CLASSES:
        assert set(VERBS) <= set(dir(cls))
    assert set(dir(CLASSES[0])) - set(dir(CLASSES[1])) == {"plot", "score_table"}


@pytest.mark.parametrize("cls, name", METHODS)
def test_the_accessor_has_the_options_of_the_function(cls, name):
    """Same names, same order, same defaults, so that nothing is lost on the way."""
    ours = inspect.signature(getattr(cls, name)).parameters
    theirs = inspect.signature(function_of(name)).parameters
    ours = [(p.name, p.kind, p.default) for p in list(ours.values())[1:]]
    theirs = [(p.name, p.kind, p.default) for p in list(theirs.values())[1:]]
    assert ours == theirs


@pytest.mark.parametrize("cls, name", METHODS)
def test_every_option_is_documented(cls, name):
    """Each parameter, no other, and all that the function says of what it gives and raises."""
    shown = inspect.getdoc(getattr(cls, name))
    whole = inspect.getdoc(function_of(name))
    first, *parameters = inspect.signature(function_of(name)).parameters
    _, _, section = shown.partition("Parameters\n----------\n")
    section = section.partition("\n\nReturns\n-------\n")[0]
    entries = [line for line in section.split("\n") if line and not line[0].isspace()]
    named = [one for entry in entries for one in entry.split(" : ")[0].split(", ")]
    assert named == parameters
    assert f"`{first}`" not in shown
    _, _, returns = whole.partition("Returns\n-------\n")
    assert returns.replace(f"`{first}`", "this object") == shown.partition("Returns\n-------\n")[2]


def test_whoever_shows_documentation_shows_all_of_it(lr):
    """``help`` of a class, a bound method and a function, and what IPython and sphinx ask."""
    said = "Height and width of the network's windows in HR pixels."
    for shown in (
        pydoc.render_doc(xdeepr.DeeprDatasetAccessor, renderer=pydoc.plaintext),
        pydoc.render_doc(lr.deepr.downscale, renderer=pydoc.plaintext),
        pydoc.render_doc(xr.DataArray.deepr.downscale, renderer=pydoc.plaintext),
        lr.deepr.downscale.__doc__,
        inspect.getdoc(lr.t2m.deepr.downscale),
    ):
        assert said in shown
    assert inspect.isfunction(xdeepr.DeeprDatasetAccessor.downscale)
    assert inspect.ismethod(lr.deepr.downscale)
    assert lr.deepr.downscale.__qualname__.endswith("Accessor.downscale")


def test_the_first_parameter_may_be_the_only_one():
    text = "\nText.\n\nParameters\n----------\nds : Dataset\n    Data.\n\nReturns\n-------\nstr\n"
    assert without_first(text) == "\nText.\n\nReturns\n-------\nstr\n"
    more = text.replace("    Data.\n", "    Data.\n\n    More of `ds`.\nb : int\n    Of `ds`.\n")
    assert without_first(more) == text.replace(
        "ds : Dataset\n    Data.\n", "b : int\n    Of this object.\n"
    )


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_arrives(verb, monkeypatch, lr):
    module = {
        "downscale": "xdeepr.downscaling.downscale",
        "fit": "xdeepr.training.fit",
        "verify": "xdeepr.verification.verify",
        "coarsen": "xdeepr.grids.coarsening.coarsen",
        "nest": "xdeepr.grids.regridding.nest",
    }[verb]
    parameters = list(inspect.signature(getattr(xdeepr, verb)).parameters.values())[1:]
    seen = {}
    monkeypatch.setattr(module, lambda *args, **kwargs: seen.update(args=args, kwargs=kwargs))
    given = {p.name: object() for p in parameters if p.kind is p.KEYWORD_ONLY}
    positional = [object() for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    getattr(lr.deepr, verb)(*positional, **given)
    assert seen["args"][0] is lr
    assert list(seen["args"][1:]) == positional
    assert seen["kwargs"] == given


# --- grids ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [3, 5])
@pytest.mark.parametrize("margin", [0, 1], ids=["same extent", "LR reaches further"])
def test_odd_factors_and_margins(factor, margin, data_dir):
    """Labels that lack a rim, as where LR cells around give the edges their context."""
    with xr.open_dataset(data_dir / "era5/era5_t2m_italy_3h_20220501_20220630.nc") as ds:
        ds = ds.astype("float32").isel(
            time=slice(0, 6), latitude=slice(0, 30), longitude=slice(0, 45)
        )
    lr = ds.deepr.coarsen(factor)
    rim = slice(2 * margin, -3 * margin or None)
    hr = ds.isel(latitude=rim, longitude=rim)
    model = lr.deepr.fit(hr, **FIT)
    assert model.card.factor == factor
    assert model.card.margin == (3 * margin, 2 * margin, 2 * margin, 3 * margin)
    out = lr.deepr.downscale(model, members=2, steps=2)
    for name in ("latitude", "longitude"):
        np.testing.assert_array_equal(out[name], hr[name])
    # an untrained network predicts no residual: the bicubic field and small noise are left
    base = lr.deepr.downscale("bicubic", like=hr)
    whole = lr.deepr.downscale("bicubic", factor=factor)
    aligned = whole.sel(latitude=hr.latitude, longitude=hr.longitude, method="nearest")
    np.testing.assert_allclose(base.t2m, aligned.t2m, atol=1e-3)
    assert abs(out.t2m - base.t2m).mean() < 0.1 * hr.t2m.std()
    alone = lr.isel(time=[4]).deepr.downscale(model, members=2, steps=2)
    np.testing.assert_allclose(alone.t2m, out.t2m.isel(time=[4]), atol=1e-4)


# --- bad input -----------------------------------------------------------------------------------


def test_no_latitude_or_longitude(lr, checkpoint):
    bare = xr.Dataset({"t2m": (("a", "b", "c"), lr.t2m.values, {"units": "K"})})
    with refused(AxisError, "latitude", "standard_name"):
        bare.deepr.downscale(checkpoint)
    with refused(AxisError, "latitude", "standard_name"):
        lr.drop_vars("latitude").rename(latitude="row").deepr.downscale(checkpoint)


def test_two_candidate_variables(lr, italy_hr, checkpoint):
    two = xr.Dataset({"a": lr.t2m, "b": lr.t2m})
    with refused(VariableError, "t2m", "a, b", r"ds\[\["):
        two.deepr.downscale(checkpoint)
    labels = italy_hr.isel(time=slice(0, 3)).assign(u=italy_hr.t2m)
    with refused(VariableError, "label", "t2m, u", "ds\\[\\["):
        lr.deepr.fit(labels, **FIT)
    assert str(VariableError("plain text")) == "plain text"


def test_missing_wrong_and_unknown_units(lr, checkpoint):
    for attrs, words in (
        ({}, ("t2m", "no units", "attrs\\['units'\\] = 'K'")),
        ({"units": "m s-1"}, ("t2m", "m s-1", "K", "correct")),
        ({"units": "kelvinoids"}, ("t2m", "kelvinoids", "correct")),
    ):
        bad = lr.assign(t2m=lr.t2m.drop_attrs().assign_attrs(attrs))
        with refused(UnitsError, *words):
            bad.deepr.downscale(checkpoint)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_value_in_a_predictor(value, lr, checkpoint):
    bad = lr.copy(deep=True)
    bad.t2m[1, 4, 5] = value
    out = bad.deepr.downscale(checkpoint, steps=2, batch_size=1)  # lazy: not known yet
    with refused(MissingValuesError, "t2m", "1 missing", "2022-05-01T03:00:00", "fillna"):
        out.compute()
    out.isel(time=0).compute()  # other times are sound


def test_labels_share_no_times(lr, italy_hr):
    with refused(AxisError, "2022", "share no", "select"):
        lr.deepr.fit(italy_hr.isel(time=slice(10, 20)), **FIT)


def test_grid_does_not_nest(lr, italy_hr):
    shifted = italy_hr.assign_coords(longitude=italy_hr.longitude + 0.1)
    shifted.longitude.attrs["units"] = "degrees_east"
    with refused(GridError, "not nest", "longitude", "[Rr]egrid"):
        lr.deepr.fit(shifted.isel(longitude=slice(4, 40)), **FIT)
    with refused(GridError, "beyond", "latitude", "larger LR domain"):
        lr.isel(latitude=slice(0, 8)).deepr.fit(italy_hr, **FIT)


def test_grids_the_model_was_not_trained_for(lr, italy_hr, mogreps_lr, checkpoint):
    with refused(OptionError, "factor=3", "×4", "out, or train"):
        lr.deepr.downscale(checkpoint, factor=3)
    with refused(GridError, "tiny", "trained", "regrid"):
        italy_hr.deepr.downscale(checkpoint)
    with refused(GridError, "latlon", "projected", "regrid"):
        mogreps_lr.deepr.downscale(checkpoint)
    with refused(OptionError, "like=", "interpolation"):
        lr.deepr.downscale(checkpoint, like=italy_hr)


def test_unknown_model(lr, italy_hr, tmp_path):
    with refused(OptionError, "bicubik", "bicubic"):
        lr.deepr.downscale("bicubik", factor=4)
    with refused(OptionError, "Nearest", "bilinear", "model.save"):
        lr.deepr.downscale("bilinera")
    with refused(OptionError, "42", "Downscaler"):
        lr.deepr.downscale(42)
    with refused(OptionError, "gan", "ddpm"):
        lr.deepr.fit(italy_hr, model="gan", **FIT)
    with refused(CheckpointError, "not a checkpoint", "model.save"):
        lr.deepr.downscale(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"members": 0},
        {"members": -2},
        {"members": 2.5},
        {"members": True},
        {"seed": -1},
        {"seed": 2**63},
        {"seed": "one"},
        {"steps": 0},
        {"batch_size": 0},
        {"tile": 0},
        {"tile": (8, 8, 8)},
        {"overlap": -1},
        {"tile": 8, "overlap": 7},
        {"sampler": "rk45"},
        {"sampler": {"eta": 1}},
    ],
    ids=str,
)
def test_bad_options(options, lr, checkpoint):
    with refused(OptionError, next(reversed(options))):
        lr.deepr.downscale(checkpoint, **options)


@pytest.mark.parametrize(
    "options", [{}, {"factor": 9}, {"factor": 2.5}, {"factor": 2, "members": 3}]
)
def test_bad_options_of_an_interpolation(options, lr):
    with refused(OptionError, next(reversed(options), "factor"), "give|needs|out"):
        lr.deepr.downscale("bicubic", **options)


def test_time_axis(lr, checkpoint):
    with refused(AxisError, "ascending", "sortby"):
        lr.isel(time=[1, 0]).deepr.downscale(checkpoint)
    with refused(AxisError, "more than once", "drop_duplicates"):
        lr.isel(time=[0, 0, 1]).deepr.downscale(checkpoint)
    with refused(AxisError, "empty", "selection"):
        lr.isel(time=[]).deepr.downscale(checkpoint)
    numbers = lr.assign_coords(time=("time", np.arange(3), {"units": "hours since 2000-01-01"}))
    with refused(AxisError, "decode_cf"):
        numbers.deepr.downscale(checkpoint)
    with refused(AxisError, "hour", "expand_dims"):
        lr.isel(time=0, drop=True).deepr.downscale(checkpoint)


def test_empty_domain(lr, checkpoint):
    with refused(AxisError, "empty", "latitude", "slice"):
        lr.sel(latitude=slice(40, 46)).deepr.downscale(checkpoint)
    with refused(AxisError, "longitude", "1 cell", "larger"):
        lr.isel(longitude=[0]).deepr.downscale(checkpoint)


def test_covariates(lr, statics, checkpoint, wind_model, mogreps_lr):
    with refused(GridError, "z", "covers", "HR domain"):
        lr.deepr.downscale(checkpoint, covariates=statics.sel(longitude=slice(0, 10)))
    with refused(VariableError, "lsm", "not found"):
        lr.deepr.downscale(checkpoint, covariates=statics[["z"]].assign_attrs())
    with refused(OptionError, "covariates", "without"):
        mogreps_lr.deepr.downscale(wind_model, covariates=statics)
    moved = lr.assign_coords(longitude=lr.longitude + np.float32(40))
    moved.longitude.attrs["units"] = "degrees_east"
    with refused(GridError, "z, lsm", "pass covariates="):
        moved.deepr.downscale(checkpoint)
    holes = statics.copy(deep=True)
    holes.z[0, 80, 50] = np.nan
    with refused(MissingValuesError, "'z'", "fillna"):
        lr.deepr.downscale(checkpoint, covariates=holes)
