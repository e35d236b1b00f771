"""The scores there are: one entry each, read by everything that computes or shows scores."""

from __future__ import annotations

import xarray as xr

from xdeepr.checks import one_of
from xdeepr.verification.metrics.deterministic import BIAS, MAE, PEARSON_R, RMSE
from xdeepr.verification.metrics.energy import ENERGY_SCORE, ENERGY_SCORE_FAIR, energy_score
from xdeepr.verification.metrics.ensemble import (
    CRPS,
    CRPS_FAIR,
    RANK_HISTOGRAM,
    SPREAD_SKILL_RATIO,
    crps,
)
from xdeepr.verification.metrics.metric import REALIZATION, Mean, Metric, Pair, Statistic

__all__ = [
    "METRICS",
    "REALIZATION",
    "Mean",
    "Metric",
    "Pair",
    "Statistic",
    "crps",
    "energy_score",
    "metric",
    "metrics_in",
]

METRICS: dict[str, Metric] = {
    entry.name: entry
    for entry in (
        RMSE,
        MAE,
        BIAS,
        PEARSON_R,
        CRPS,
        CRPS_FAIR,
        ENERGY_SCORE,
        ENERGY_SCORE_FAIR,
        SPREAD_SKILL_RATIO,
        RANK_HISTOGRAM,
    )
}
"""Scores by name, in the order in which they are shown. A new one is a line here."""


def metrics_in(scores: xr.Dataset) -> list[Metric]:
    """Return the scores that a result of `verify` holds."""
    return [entry for entry in METRICS.values() if entry.name in scores]


def metric(name: str) -> Metric:
    """Return a score by name; OptionError with the nearest if there is none of this name.

    Examples
    --------
    >>> metric("crps").long_name
    'continuous ranked probability score'
    """
    return METRICS[one_of("metric", name, METRICS)]
