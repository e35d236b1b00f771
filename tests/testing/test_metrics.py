"""The check of a score: all of ours pass it, and what is wrong with one is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
import xarray as xr

from xdeepr.testing import check_metric
from xdeepr.verification.metrics import METRICS, Mean, Metric, Statistic


@pytest.mark.parametrize("name", METRICS)
def test_every_score_passes(name):
    check_metric(METRICS[name])


def of(statistic, needs="ensemble", **changes) -> Metric:
    """A score that is the mean of one statistic."""
    added = Metric(
        "odd", "an odd score", label="odd", units="field", better="lower",
        statistics=(Statistic(lambda pair: {"value": statistic(pair)}, needs),),
        score=Mean("value"),
    )  # fmt: skip
    return replace(added, **changes)


def one_member(pair):
    first = pair.forecast if pair.members is None else pair.forecast.isel(realization=0)
    return abs(first - pair.reference)


def error(pair):
    return abs(pair.forecast - pair.reference)


def of_fields(pair):
    members = [] if pair.members is None else ["realization"]
    return error(pair).mean([*pair.horizontal, *members], skipna=False)


CORRECT = of(error, "cell")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (of(one_member), "in another order of members"),
        (replace(CORRECT, units="1"), "in other units"),
        (replace(CORRECT, better="higher"), "the best forecast"),
        (replace(CORRECT, score=Mean("value", power=2)), "in other units"),
        (replace(CORRECT, dims=("rank",)), "dimensions"),
        (of(lambda pair: error(pair).compute(), "cell"), "when the score is planned"),
        (of(lambda pair: 1 + 0 * error(pair), "cell", units="1"), "the best forecast"),
        (of(of_fields, "field"), "missing points make the score missing"),
    ],
    ids=["a member", "units", "better", "power", "dims", "eager", "constant",
         "missing"],
)  # fmt: skip
def test_what_is_wrong_is_named(wrong, said):
    with pytest.raises(AssertionError, match=said):
        check_metric(wrong)


def test_a_correct_one_passes():
    check_metric(CORRECT)
    check_metric(replace(CORRECT, score=lambda means: xr.ufuncs.sqrt(means["value"] ** 2)))
