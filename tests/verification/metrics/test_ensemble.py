"""Ensemble statistics and scores: exact values, and agreement with xskillscore."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
import xskillscore as xs

from xdeepr.verification import crps
from xdeepr.verification.metrics.deterministic import ERRORS
from xdeepr.verification.metrics.ensemble import ENSEMBLE, SPREAD_SKILL_RATIO
from xdeepr.verification.metrics.metric import Means, Pair


def statistics(ensemble: xr.DataArray, truth: xr.DataArray) -> Means:
    return ENSEMBLE.compute(Pair(ensemble, truth, xr.ones_like(truth), ("y", "x")))


def ensemble_and_truth(
    rng: np.random.Generator, members: int, cells: int
) -> tuple[xr.DataArray, xr.DataArray]:
    """Realizations and truth drawn from the same Gaussian, mean 285 K, standard deviation 2 K."""
    ensemble = xr.DataArray(rng.normal(285, 2, (members, cells)), dims=("realization", "cell"))
    return ensemble, xr.DataArray(rng.normal(285, 2, cells), dims="cell")


@pytest.mark.parametrize("members", [2, 5, 12, 50])
@pytest.mark.parametrize("chunks", [None, {"realization": 1, "cell": 37}])
def test_crps_is_that_of_xskillscore(rng, members, chunks):
    ensemble, truth = ensemble_and_truth(rng, members, 400)
    oracle = xs.crps_ensemble(truth, ensemble, member_dim="realization", dim=[])
    ours = crps(ensemble if chunks is None else ensemble.chunk(chunks), truth)
    np.testing.assert_allclose(ours, oracle, atol=1e-6, rtol=0)


def test_crps_keeps_float32_precision_of_large_values(rng):
    ensemble, truth = ensemble_and_truth(rng, 10, 500)
    ensemble, truth = (ensemble + 1e5).astype("float32"), (truth + 1e5).astype("float32")
    oracle = xs.crps_ensemble(
        truth.astype(float), ensemble.astype(float), member_dim="realization", dim=[]
    )
    np.testing.assert_allclose(crps(ensemble, truth), oracle, atol=1e-6, rtol=0)


def test_fair_crps_is_plain_crps_with_the_pair_term_corrected(rng):
    ensemble, truth = ensemble_and_truth(rng, 7, 300)
    error = abs(ensemble - truth).mean("realization")
    pair_term = error - crps(ensemble, truth)
    np.testing.assert_allclose(
        crps(ensemble, truth, fair=True), error - pair_term * 7 / 6, atol=1e-12
    )


@pytest.mark.parametrize("members", [2, 10])
def test_fair_crps_of_a_gaussian_does_not_depend_on_the_ensemble_size(rng, members):
    # Expectation of the CRPS of N(mu, sigma²) against its own draws: sigma / sqrt(pi).
    ensemble, truth = ensemble_and_truth(rng, members, 200_000)
    fair = crps(ensemble, truth, fair=True).mean().item()
    assert fair == pytest.approx(2 / np.sqrt(np.pi), rel=0.01)
    plain = crps(ensemble, truth).mean().item()
    assert plain == pytest.approx(2 / np.sqrt(np.pi) * (1 + 1 / members), rel=0.01)


def test_exchangeable_ensemble_has_spread_skill_one_and_flat_ranks(rng):
    ensemble, truth = ensemble_and_truth(rng, 9, 100_000)
    mean = Pair(ensemble.mean("realization"), truth, xr.ones_like(truth), ("y", "x"))
    both = {**statistics(ensemble, truth), **ERRORS.compute(mean)}
    means = {k: v.mean("cell") for k, v in both.items()}
    assert SPREAD_SKILL_RATIO.score(means).item() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(means["rank_histogram"], 0.1, atol=0.005)
    assert means["rank_histogram"].sum().item() == pytest.approx(1, abs=1e-12)


def test_ranks_are_those_of_xskillscore(rng):
    ensemble, truth = ensemble_and_truth(rng, 6, 1000)
    ours = statistics(ensemble, truth)["rank_histogram"].sum("cell")
    oracle = xs.rank_histogram(truth, ensemble, member_dim="realization")
    np.testing.assert_allclose(ours, oracle)
    np.testing.assert_array_equal(ours["rank"], oracle["rank"])


def test_ties_are_shared_evenly_among_their_ranks():
    # Precipitation: a dry truth among three dry realizations of four.
    ensemble = xr.DataArray([[0.0], [0.0], [0.0], [1.0]], dims=("realization", "cell"))
    shares = statistics(ensemble, xr.DataArray([0.0], dims="cell"))["rank_histogram"]
    np.testing.assert_array_equal(shares.squeeze(), [0.25, 0.25, 0.25, 0.25, 0])


def test_missing_values_stay_missing_in_their_cell_only():
    ensemble = xr.DataArray([[0.0, 1.0, np.nan], [2.0, 1.0, 1.0]], dims=("realization", "cell"))
    truth = xr.DataArray([np.nan, 1.0, 1.0], dims="cell")
    for statistic in statistics(ensemble, truth).values():
        missing = statistic.isnull()
        missing = missing.all("rank") if "rank" in missing.dims else missing
        np.testing.assert_array_equal(missing, [True, False, True])


def test_single_realization_has_no_fair_crps_and_no_variance():
    ensemble = xr.DataArray([[3.0]], dims=("realization", "cell"))
    of_one = statistics(ensemble, xr.DataArray([1.0], dims="cell"))
    assert of_one["crps"].item() == 2.0
    assert np.isnan(of_one["crps_fair"]).all()
    assert np.isnan(of_one["expected_squared_error"]).all()


def test_statistics_of_lazy_fields_are_lazy(rng):
    ensemble, truth = ensemble_and_truth(rng, 4, 10)
    lazy = statistics(ensemble.chunk({"cell": 5}), truth)
    assert all(field.chunks is not None for field in lazy.values())
