"""Scores of one field against a reference: RMSE, MAE, bias and Pearson correlation.

Each score is built in three steps, *statistic -> mean -> metric*: a statistic is a value for each
cell and time, its weighted mean is the only thing that is accumulated, and the metric is a
formula of means. So a chunked computation gives what the whole gives, whatever the chunks.
"""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

# Below this share of the mean square, a variance from float64 moments is rounding error.
_VARIANCE_FLOOR = 1e-13


def deterministic_statistics(
    forecast: xr.DataArray, reference: xr.DataArray
) -> dict[str, xr.DataArray]:
    """Statistics of a single field, one value for each cell and time (no reduction).

    Parameters
    ----------
    forecast, reference : xarray.DataArray
        Fields of the same dimensions, coordinates and units; float64 for exact sums; lazy or not.

    Returns
    -------
    dict of str to xarray.DataArray
        ``error`` (units), ``absolute_error`` (units), ``squared_error`` (units²), from
        :mod:`xskillscore`, and the moments that the correlation needs.
    """
    import xskillscore as xs

    return {
        "error": xs.me(forecast, reference, dim=[]),
        "absolute_error": xs.mae(forecast, reference, dim=[]),
        "squared_error": xs.mse(forecast, reference, dim=[]),
        "forecast": forecast,
        "reference": reference,
        "forecast_squared": forecast**2,
        "reference_squared": reference**2,
        "product": forecast * reference,
    }


def deterministic_scores(means: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    r"""Scores from the mean statistics of :func:`deterministic_statistics`.

    With :math:`f` the forecast (the ensemble mean of an ensemble), :math:`r` the reference and
    :math:`\langle\cdot\rangle` the weighted mean:

    .. math::
        \mathrm{RMSE} = \sqrt{\langle (f-r)^2 \rangle},\quad
        \mathrm{MAE} = \langle |f-r| \rangle,\quad
        \mathrm{bias} = \langle f-r \rangle,

        r_\mathrm{Pearson} = \frac{\langle fr\rangle - \langle f\rangle\langle r\rangle}
        {\sqrt{(\langle f^2\rangle - \langle f\rangle^2)(\langle r^2\rangle-\langle r\rangle^2)}}

    Parameters
    ----------
    means : mapping of str to xarray.DataArray
        Mean of each statistic, with the same weights for all.

    Returns
    -------
    dict of str to xarray.DataArray
        ``rmse``, ``mae``, ``bias`` in the units of the field and ``pearson_r`` (1), which is NaN
        where either field is constant.
    """
    return {
        "rmse": means["squared_error"] ** 0.5,
        "mae": means["absolute_error"],
        "bias": means["error"],
        "pearson_r": _correlation(means),
    }


def _correlation(means: Mapping[str, xr.DataArray]) -> xr.DataArray:
    variance_f = _variance(means["forecast"], means["forecast_squared"])
    variance_r = _variance(means["reference"], means["reference_squared"])
    covariance = means["product"] - means["forecast"] * means["reference"]
    return (covariance / (variance_f * variance_r) ** 0.5).clip(-1.0, 1.0)


def _variance(mean: xr.DataArray, mean_square: xr.DataArray) -> xr.DataArray:
    variance = mean_square - mean**2
    return variance.where(variance > _VARIANCE_FLOOR * mean_square)
