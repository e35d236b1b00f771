"""What every score has to hold, checked on one of them."""

from __future__ import annotations

from typing import Any

import dask
import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.grids import grid_of
from xdeepr.verification.metrics import REALIZATION, Metric
from xdeepr.verification.scoring import Comparison, lazy_scores

_DIMS = ("time", "latitude", "longitude")
_SHAPE = (6, 12, 14)
_MEMBERS = 5
_ROUNDING = 1e-9
"""Relative difference that sums in another order may make to a float64 score."""


def check_metric(metric: Metric, *, seed: int = 0) -> None:
    """Raise unless a score does what the rest of the package relies on.

    Checked are that it is lazy and the same in any chunks; that it scales with the field, or not
    at all, as its units say; that the order of realizations does not matter; that a point which
    is missing in one field counts for none, and a time without points neither; that it has no
    dimensions but its own; that it exists for a single field if it says so; and that the best
    forecast has the best score.

    Parameters
    ----------
    metric : Metric
        The score; it need not be in the registry.
    seed : int, default: 0
        Of the fields it is tried on.

    Raises
    ------
    AssertionError
        Names what does not hold.

    Examples
    --------
    >>> from xdeepr.verification import METRICS
    >>> check_metric(METRICS["crps"])
    """
    truth, ensemble = _truth_and_ensemble(np.random.default_rng(seed))
    _check_layout(metric, truth, ensemble)
    _check_chunks(metric, truth, ensemble)
    _check_units_and_order(metric, truth, ensemble)
    _check_missing(metric, truth, ensemble)
    _check_best(metric, truth, ensemble)


def _truth_and_ensemble(rng: np.random.Generator) -> tuple[xr.DataArray, xr.DataArray]:
    """Return a reference and realizations that are exchangeable with it around a common signal."""
    signal = rng.normal(0, 3, _SHAPE)
    drawn = signal + rng.normal(0, 1, (_MEMBERS + 1, *_SHAPE))
    coordinates = {
        "time": np.datetime64("2001-07-01", "ns") + np.timedelta64(6, "h") * np.arange(_SHAPE[0]),
        "latitude": ("latitude", 40 + 0.25 * np.arange(_SHAPE[1]), {"units": "degrees_north"}),
        "longitude": ("longitude", 5 + 0.25 * np.arange(_SHAPE[2]), {"units": "degrees_east"}),
    }
    fields = xr.DataArray(drawn, coordinates, (REALIZATION, *_DIMS), "t2m", {"units": "K"})
    return fields.isel({REALIZATION: 0}), fields.isel({REALIZATION: slice(1, None)})


def _lazy(
    metric: Metric, truth: xr.DataArray, *systems: xr.DataArray, dims: tuple[str, ...] = _DIMS
) -> xr.Dataset:
    named = {str(i): field.chunk() for i, field in enumerate(systems)}
    compared = Comparison(named, truth.chunk(), grid_of(truth), cf.find_axes(truth))
    with dask.config.set(scheduler=_refuse):
        return lazy_scores(compared, [metric], xr.DataArray(1.0), list(dims))


def _refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("values are computed when the score is planned")


def _score(metric: Metric, truth: xr.DataArray, *systems: xr.DataArray) -> np.ndarray:
    """Return the score of the first system."""
    return np.asarray(_lazy(metric, truth, *systems)[metric.name].isel(system=0).values)


def _check_layout(metric: Metric, truth: xr.DataArray, ensemble: xr.DataArray) -> None:
    scores = _lazy(metric, truth, ensemble)
    score = scores[metric.name]
    assert score.dims == ("system", *metric.dims), f"dimensions {score.dims}"
    assert np.isfinite(score.values).all(), "the score of an ordinary ensemble is not finite"
    if "field" not in metric.needs:
        over_time = _lazy(metric, truth, ensemble, dims=("time",))[metric.name]
        assert set(over_time.dims) == {"system", *_DIMS[1:], *metric.dims}, "no map of it"
    single = _lazy(metric, truth, ensemble.isel({REALIZATION: 0}))
    if metric.single:
        assert np.isfinite(single[metric.name].values).all(), "no score of a single field"


def _check_chunks(metric: Metric, truth: xr.DataArray, ensemble: xr.DataArray) -> None:
    whole = _score(metric, truth, ensemble)
    for chunks in ({"time": 1}, {"latitude": 5, "longitude": 3}, {REALIZATION: 2, "time": 4}):
        of_truth = {d: n for d, n in chunks.items() if d != REALIZATION}
        found = _score(metric, truth.chunk(of_truth), ensemble.chunk(chunks))
        _assert_close(found, whole, f"in chunks {chunks}")


def _check_units_and_order(metric: Metric, truth: xr.DataArray, ensemble: xr.DataArray) -> None:
    score = _score(metric, truth, ensemble)
    factor = 1000.0 if metric.units == "field" else 1.0
    scaled = _score(metric, 1000.0 * truth, 1000.0 * ensemble)
    _assert_close(scaled, factor * score, f"in other units, which are said to be {metric.units!r}")
    order = {REALIZATION: np.roll(np.arange(_MEMBERS), 2)}
    _assert_close(_score(metric, truth, ensemble.isel(order)), score, "in another order of members")


def _check_missing(metric: Metric, truth: xr.DataArray, ensemble: xr.DataArray) -> None:
    gaps = xr.ones_like(truth, dtype=bool)
    gaps[1, 2:5, 3] = False
    gaps[3] = False
    gappy = _score(metric, truth.where(gaps), ensemble)
    assert np.isfinite(gappy).all(), "missing points make the score missing"
    for name, found in {
        "missing in the forecast": _score(metric, truth, ensemble.where(gaps)),
        "missing in another system": _score(metric, truth, ensemble, truth.where(gaps)),
        "of any value elsewhere": _score(metric, truth.where(gaps), ensemble.where(gaps, 1e6)),
    }.items():
        _assert_close(found, gappy, f"for points that are {name}")
    kept = [t for t in range(_SHAPE[0]) if t != 3]
    fewer = _score(metric, truth.where(gaps)[kept], ensemble[:, kept])
    _assert_close(gappy, fewer, "with a time that has no points")


def _check_best(metric: Metric, truth: xr.DataArray, ensemble: xr.DataArray) -> None:
    """Put the best forecast beside a worse one."""
    if metric.better in ("one", "flat"):  # scores of the spread: half of it is too little
        mean = ensemble.mean(REALIZATION)
        best, worse = ensemble, mean + 0.5 * (ensemble - mean)
    else:
        best, worse = xr.zeros_like(ensemble) + truth, ensemble + 1.0
    off = [_off(metric, _score(metric, truth, system)) for system in (best, worse)]
    assert off[0] < off[1], f"the best forecast is off by {off[0]:.3g}, a worse one by {off[1]:.3g}"
    if metric.better in ("lower", "zero"):
        assert abs(off[0]) <= 1e-6, f"the score of a perfect forecast is {off[0]:.3g}, not 0"


def _off(metric: Metric, score: np.ndarray) -> float:
    """Return how far a score is from the best; less is better."""
    if metric.better == "flat":
        return float(np.abs(score - score.mean()).sum())
    best = {"lower": score, "higher": -score, "zero": abs(score), "one": abs(score - 1)}
    return float(best[metric.better].sum())


def _assert_close(found: np.ndarray, expected: np.ndarray, how: str) -> None:
    # what is close to 0, such as a bias, is a difference of values of the size of 1
    close = np.allclose(found, expected, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)
    assert close, f"{how} the score is {found} and not {expected}"
