"""The energy score: its formula, exact values, and what it becomes in simple cases."""

from __future__ import annotations

from math import gamma

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import cdist

from xdeepr.verification import crps, energy_score, verify

DIMS = ["y", "x"]


@pytest.fixture
def pair(rng) -> tuple[xr.DataArray, xr.DataArray]:
    """Seven realizations of three 4 × 5 fields, and their reference."""
    ensemble = xr.DataArray(rng.normal(285, 2, (7, 3, 4, 5)), dims=("realization", "time", *DIMS))
    return ensemble, xr.DataArray(rng.normal(285, 2, (3, 4, 5)), dims=("time", *DIMS))


def brute_force(
    ensemble: xr.DataArray, truth: xr.DataArray, weights: np.ndarray, pairs: int
) -> np.ndarray:
    """The formula as it stands: all M² distances."""
    out = []
    for t in range(truth.sizes["time"]):
        members = ensemble[:, t].values.reshape(7, -1) * np.sqrt(weights.ravel())
        reference = truth[t].values.reshape(1, -1) * np.sqrt(weights.ravel())
        between = cdist(members, members).sum() / (2 * pairs)
        out.append(cdist(members, reference).mean() - between)
    return np.array(out)


@pytest.mark.parametrize("chunks", [None, {"realization": 2, "time": 1, "x": 2}])
@pytest.mark.parametrize(("fair", "pairs"), [(False, 7 * 7), (True, 7 * 6)])
def test_it_is_the_formula(pair, rng, chunks, fair, pairs):
    ensemble, truth = pair
    weights = xr.DataArray(rng.uniform(0, 1, (4, 5)), dims=DIMS)
    expected = brute_force(ensemble, truth, weights.values, pairs)
    lazy = ensemble if chunks is None else ensemble.chunk(chunks)
    found = energy_score(lazy, truth, DIMS, weights=weights, fair=fair)
    assert found.dims == ("time",)
    assert (found.chunks is None) == (chunks is None)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("fair", [False, True])
def test_of_one_component_it_is_the_crps(pair, fair):
    ensemble, truth = (field.isel(x=[2], y=1) for field in pair)
    np.testing.assert_allclose(
        energy_score(ensemble, truth, ["x"], fair=fair),
        crps(ensemble, truth, fair=fair).squeeze("x"),
        rtol=1e-12,
    )


def test_of_one_realization_it_is_the_distance(pair):
    ensemble, truth = pair
    one = ensemble.isel(realization=[0])
    distance = ((one.squeeze("realization") - truth) ** 2).sum(DIMS) ** 0.5
    np.testing.assert_allclose(energy_score(one, truth, DIMS), distance)
    assert energy_score(one, truth, DIMS, fair=True).isnull().all()


@pytest.mark.parametrize("size", [1, 3, 20])
@pytest.mark.parametrize("members", [2, 8])
def test_exact_value_of_a_gaussian(rng, size, members):
    """For x, x', r from N(0, I) in n dimensions, all distances are √2 times a chi variable.

    So the score of the distribution is E|x-r| - E|x-x'|/2 = E|x-r|/2 with
    E|x-r| = √2 · √2 Γ((n+1)/2) / Γ(n/2); an ensemble of M adds 1/M of it unless it is fair.
    """
    exact = gamma((size + 1) / 2) / gamma(size / 2)
    ensemble = xr.DataArray(rng.normal(size=(members, 20_000, size)), dims=("realization", *DIMS))
    truth = xr.DataArray(rng.normal(size=(20_000, size)), dims=DIMS)
    fair = energy_score(ensemble, truth, ["x"], fair=True).mean().item()
    assert fair == pytest.approx(exact, rel=0.02)
    plain = energy_score(ensemble, truth, ["x"]).mean().item()
    assert plain == pytest.approx(exact * (1 + 1 / members), rel=0.02)


def test_several_variables_are_components(pair):
    ensemble, truth = pair
    two = [xr.concat([field, 2 * field], "variable") for field in pair]
    # a component that is twice another counts four times
    np.testing.assert_allclose(
        energy_score(*two, ["variable", *DIMS]), energy_score(ensemble, truth, DIMS) * 5**0.5
    )


def test_it_sees_a_wrong_correlation_that_the_crps_does_not(rng):
    """Cells that vary together in truth and each by itself in a forecast of the right margins."""
    together = np.repeat(rng.normal(size=(11, 4000, 1)), 10, axis=2)
    apart = rng.normal(size=(10, 4000, 10))
    truth = xr.DataArray(together[10], dims=DIMS)
    right = xr.DataArray(together[:10], dims=("realization", *DIMS))
    wrong = xr.DataArray(apart, dims=("realization", *DIMS))
    of_cells = [crps(field, truth).mean().item() for field in (right, wrong)]
    assert of_cells[0] == pytest.approx(of_cells[1], rel=0.03)
    good, bad = (energy_score(field, truth, ["x"], fair=True).mean() for field in (right, wrong))
    assert bad > 1.05 * good


def test_components_without_weight_may_be_missing_others_not(pair):
    ensemble, truth = pair
    gap = truth.copy()
    gap[0, 0, 0] = np.nan
    weights = xr.ones_like(truth)
    weights[0, 0, 0] = 0
    whole = energy_score(ensemble, truth, DIMS, weights=weights)
    np.testing.assert_array_equal(energy_score(ensemble, gap, DIMS, weights=weights), whole)
    np.testing.assert_array_equal(energy_score(ensemble, gap, DIMS).isnull(), [True, False, False])


class TestInVerify:
    def test_mean_over_times_of_fields_weighted_by_area(self, ensemble, truth):
        scores = verify(ensemble, truth, baseline=None, metrics="energy_score")
        assert list(scores.data_vars) == ["energy_score", "count"]
        assert scores.energy_score.attrs["units"] == "K"
        edges = np.deg2rad(60.125 - 0.25 * np.arange(9))
        area = xr.DataArray(-np.diff(np.sin(edges)), dims="latitude").broadcast_like(truth[0])
        expected = energy_score(
            ensemble, truth, ["latitude", "longitude"], weights=area / area.sum()
        )
        assert scores.energy_score.item() == pytest.approx(expected.mean().item(), rel=1e-6)

    def test_a_single_field_has_its_distance(self, truth, smooth):
        names = ["energy_score", "energy_score_fair", "rmse"]
        each = verify(smooth, truth, baseline=None, metrics=names, dim=["latitude", "longitude"])
        np.testing.assert_allclose(each.energy_score, each.rmse)
        np.testing.assert_allclose(each.energy_score_fair, each.rmse)

    def test_points_that_are_missing_are_left_out(self, ensemble, truth, smooth):
        holes = truth.copy()
        holes[:, 2:4] = np.nan
        holes[3] = np.nan
        scores = verify(ensemble, holes, baseline=smooth, metrics=["energy_score"], weights=None)
        kept = [i for i in range(12) if i != 3]
        rows = [0, 1, 4, 5, 6, 7]
        expected = energy_score(
            ensemble[:, kept, rows], truth[kept, rows], ["latitude", "longitude"]
        ).mean() / np.sqrt(60)
        assert scores.energy_score[0].item() == pytest.approx(expected.item())

    def test_a_field_that_is_larger_than_a_block(self, make_field, monkeypatch):
        monkeypatch.setattr("xdeepr.verification.alignment._BLOCK_BYTES", 2**10)
        rng = np.random.default_rng(3)
        ensemble = make_field(rng.normal(size=(4, 3, 16, 20)))
        truth = make_field(rng.normal(size=(3, 16, 20)))
        parts = verify(
            ensemble.chunk(latitude=5), truth, baseline=None, metrics=["energy_score", "crps"]
        )
        monkeypatch.undo()
        whole = verify(ensemble, truth, baseline=None, metrics=["energy_score", "crps"])
        xr.testing.assert_allclose(parts.drop_attrs(), whole.drop_attrs(), rtol=1e-12)
