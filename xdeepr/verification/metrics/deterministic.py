r"""Scores of one field (of an ensemble: its mean): RMSE, MAE, bias and Pearson correlation.

With :math:`f` the forecast, :math:`r` the reference and :math:`\langle\cdot\rangle` the weighted
mean over points:

.. math::
    \mathrm{RMSE} = \sqrt{\langle (f-r)^2 \rangle},\quad
    \mathrm{MAE} = \langle |f-r| \rangle,\quad
    \mathrm{bias} = \langle f-r \rangle,

    r_\mathrm{Pearson} = \frac{\langle fr\rangle - \langle f\rangle\langle r\rangle}
    {\sqrt{(\langle f^2\rangle - \langle f\rangle^2)(\langle r^2\rangle-\langle r\rangle^2)}}

The errors of points are those of :mod:`xskillscore`. Its own means are not used: all of its
deterministic scores refuse a dimension that is both chunked and averaged over (ValueError), so
they would need the whole period in memory.
"""

from __future__ import annotations

import xarray as xr

from xdeepr.verification.metrics.metric import Mean, Means, Metric, Pair, Statistic

_VARIANCE_FLOOR = 1e-13
"""Below this share of the mean square, a variance from float64 moments is rounding error."""


def _errors(pair: Pair) -> Means:
    import xskillscore as xs

    return {
        "error": xs.me(pair.forecast, pair.reference, dim=[]),
        "absolute_error": xs.mae(pair.forecast, pair.reference, dim=[]),
        "squared_error": xs.mse(pair.forecast, pair.reference, dim=[]),
    }


def _moments(pair: Pair) -> Means:
    forecast, reference = pair.forecast, pair.reference
    return {
        "forecast": forecast,
        "reference": reference,
        "forecast_squared": forecast**2,
        "reference_squared": reference**2,
        "product": forecast * reference,
    }


def _correlation(means: Means) -> xr.DataArray:
    """Pearson's coefficient; NaN where either field is constant."""
    variance_f = _variance(means["forecast"], means["forecast_squared"])
    variance_r = _variance(means["reference"], means["reference_squared"])
    covariance = means["product"] - means["forecast"] * means["reference"]
    return (covariance / (variance_f * variance_r) ** 0.5).clip(-1.0, 1.0)


def _variance(mean: xr.DataArray, mean_square: xr.DataArray) -> xr.DataArray:
    variance = mean_square - mean**2
    return variance.where(variance > _VARIANCE_FLOOR * mean_square)


ERRORS = Statistic(_errors, needs="cell")
"""``error`` and ``absolute_error`` in the units of the field, ``squared_error`` in their square."""

MOMENTS = Statistic(_moments, needs="cell")

RMSE = Metric(
    "rmse", "root-mean-square error", label="RMSE", units="field", better="lower",
    statistics=(ERRORS,), score=Mean("squared_error", power=2),
)  # fmt: skip
MAE = Metric(
    "mae", "mean absolute error", label="MAE", units="field", better="lower",
    statistics=(ERRORS,), score=Mean("absolute_error"),
)  # fmt: skip
BIAS = Metric(
    "bias", "mean error (forecast minus reference)", label="bias", units="field", better="zero",
    statistics=(ERRORS,), score=Mean("error"),
)  # fmt: skip
PEARSON_R = Metric(
    "pearson_r", "Pearson correlation coefficient", label="correlation", units="1", better="higher",
    statistics=(MOMENTS,), score=_correlation,
)  # fmt: skip
