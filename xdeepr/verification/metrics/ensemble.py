r"""Scores of an ensemble: CRPS, spread-skill ratio and rank histogram.

With :math:`x_i` the M realizations of a cell, :math:`r` its reference, :math:`s^2` the ensemble
variance (divided by M-1) and :math:`\langle\cdot\rangle` the weighted mean over points:

.. math::
    \mathrm{CRPS} = \frac{1}{M}\sum_i |x_i - r| - \frac{1}{2 M^2}\sum_{i,j} |x_i - x_j|
    \qquad (1)

    \mathrm{CRPS_{fair}} = \frac{1}{M}\sum_i |x_i - r|
    - \frac{1}{2 M (M-1)}\sum_{i,j} |x_i - x_j| \qquad (2)

    \mathrm{spread\text{-}skill} =
    \sqrt{\frac{M+1}{M} \langle s^2 \rangle} / \, \mathrm{RMSE} \qquad (3)

(1) is eq. 21 of [1]_ for the distribution that gives each realization the probability 1/M. In it,
:math:`x_i` and :math:`x_j` are the same realization in M of M² cases, for which the difference is
0; (2) leaves these out, and so has the same expectation for every M [2]_. In the sorted values
:math:`x_{(1)} \le \ldots \le x_{(M)}`, the k-th is the greater of k-1 pairs and the less of M-k:

.. math::
    \sum_{i,j} |x_i - x_j| = 2 \sum_{i<j} (x_{(j)} - x_{(i)})
    = 2 \sum_k (2k - M - 1) \, x_{(k)} \qquad (4)

so one sort takes the place of M² differences. (3) is 1 where reference and realizations are
exchangeable: their mean then has the expected squared error :math:`s^2` of the reference's own
deviation plus :math:`s^2 / M` of the sampled mean [3]_.

A test holds that (1) is :func:`xskillscore.crps_ensemble`. That is not called: it has neither (2)
nor the variance, leaves missing realizations out in silence and, without the optional numba, forms
all M² differences (50 realizations of 10 × 256 × 256 points: killed at 13 GiB; with numba 0.5 s;
all of this here 1.5 s and 0.55 GiB). Its ranks take no weights, and break ties by the global random
state, so that two calls differ.

References
----------
.. [1] Gneiting, T. and Raftery, A. E. (2007), Strictly proper scoring rules, prediction, and
   estimation, J. Am. Stat. Assoc., 102, 359-378, doi:10.1198/016214506000001437.
.. [2] Ferro, C. A. T. (2014), Fair scores for ensemble forecasts, Q. J. R. Meteorol. Soc.,
   140, 1917-1923, doi:10.1002/qj.2270.
.. [3] Fortin, V., Abaza, M., Anctil, F. and Turcotte, R. (2014), Why should ensemble spread
   match the RMSE of the ensemble mean?, J. Hydrometeorol., 15, 1708-1713,
   doi:10.1175/JHM-D-14-0008.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xdeepr.verification.metrics.deterministic import ERRORS
from xdeepr.verification.metrics.metric import REALIZATION, Mean, Means, Metric, Pair, Statistic


def crps(
    forecast: xr.DataArray,
    reference: xr.DataArray,
    *,
    fair: bool = False,
    member_dim: str = REALIZATION,
) -> xr.DataArray:
    """Continuous ranked probability score of an ensemble in each cell (no reduction).

    The plain score judges the M realizations as if they were the whole forecast distribution;
    the fair one estimates the score of the distribution they were drawn from, so that ensembles
    of different size can be compared. Formulas are in :mod:`xdeepr.verification.metrics.ensemble`.

    Parameters
    ----------
    forecast : xarray.DataArray
        Ensemble with dimension `member_dim`; lazy or not, in any chunks.
    reference : xarray.DataArray
        Verifying field with the other dimensions of `forecast`, in the same units.
    fair : bool, default: False
        Whether the pair term is divided by 2M(M-1) (True) or by 2M² (False).
    member_dim : str, default: "realization"
        Name of the ensemble dimension.

    Returns
    -------
    xarray.DataArray
        CRPS in the units of the field, float64, without `member_dim`; NaN where the reference or
        any realization is missing; the fair CRPS of a single realization is NaN.

    Examples
    --------
    >>> truth = xr.DataArray([0.0, 1.0], dims="time")
    >>> ensemble = xr.DataArray([[0.0, 0.0], [2.0, 2.0]], dims=("realization", "time"))
    >>> crps(ensemble, truth).values
    array([0.5, 0.5])
    """
    statistics = _of_ensemble(forecast, reference, member_dim)
    return statistics["crps_fair" if fair else "crps"]


def _statistics(pair: Pair) -> Means:
    if pair.members is None:  # the distribution is a point: (1) has no pairs to be fair about
        error = abs(pair.forecast - pair.reference)
        return {"crps": error, "crps_fair": error}
    return _of_ensemble(pair.forecast, pair.reference, REALIZATION)


def _of_ensemble(
    forecast: xr.DataArray, reference: xr.DataArray, member_dim: str
) -> dict[str, xr.DataArray]:
    """Statistics of each cell; ranks have one more dimension, ``rank`` from 1 to M+1."""
    if forecast.chunks is not None:  # all realizations of a cell have to meet in one block
        forecast = forecast.chunk({member_dim: -1})
    size = forecast.sizes[member_dim]
    plain, fair, variance, ranks = xr.apply_ufunc(
        _cell_statistics,
        forecast,
        reference,
        input_core_dims=[[member_dim], []],
        output_core_dims=[[], [], [], ["rank"]],
        dask="parallelized",
        output_dtypes=[np.float64] * 4,
        dask_gufunc_kwargs={"output_sizes": {"rank": size + 1}},
    )
    return {
        "crps": plain,
        "crps_fair": fair,
        "expected_squared_error": variance * ((size + 1) / size),
        "rank_histogram": ranks.assign_coords(rank=np.arange(1, size + 2)),
    }


def _cell_statistics(
    members: np.ndarray[Any, Any], reference: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], ...]:
    """Return CRPS, fair CRPS, variance and rank shares; realizations on the last axis.

    A tie is shared evenly among its ranks, the expectation of breaking it at random, so nothing
    depends on a seed.
    """
    size = members.shape[-1]
    # Errors, not values: the sums below then lose no digits to the mean of the field.
    errors = members.astype(np.float64) - np.asarray(reference, np.float64)[..., np.newaxis]
    missing = np.isnan(errors).any(axis=-1)
    errors[missing] = 0.0
    errors.sort(axis=-1)
    absolute = np.abs(errors).mean(axis=-1)
    # (4), halved; here k counts from 0
    pairs = errors @ (2.0 * np.arange(size) - (size - 1))
    plain = absolute - pairs / size**2
    below = (errors < 0).sum(axis=-1)[..., np.newaxis]
    not_above = (errors <= 0).sum(axis=-1)[..., np.newaxis]
    rank = np.arange(size + 1)
    shares = ((rank >= below) & (rank <= not_above)) / (not_above - below + 1.0)
    if size > 1:
        fair = absolute - pairs / (size * (size - 1))
        errors -= errors.mean(axis=-1, keepdims=True)
        variance = np.einsum("...m,...m->...", errors, errors) / (size - 1)
    else:
        fair = variance = np.full(absolute.shape, np.nan)
    for field in (plain, fair, variance, shares):
        field[missing] = np.nan
    return plain, fair, variance, shares


def _spread_skill(means: Means) -> xr.DataArray:
    error = means["squared_error"]
    return (means["expected_squared_error"] / error.where(error > 0)) ** 0.5


ENSEMBLE = Statistic(_statistics, needs="ensemble")
"""``crps``, ``crps_fair`` (units), ``expected_squared_error`` (units²), ``rank_histogram``."""

CRPS = Metric(
    "crps", "continuous ranked probability score", label="CRPS", units="field", better="lower",
    statistics=(ENSEMBLE,), score=Mean("crps"),
)  # fmt: skip
CRPS_FAIR = Metric(
    "crps_fair", "fair continuous ranked probability score", label="fair CRPS", units="field",
    better="lower", statistics=(ENSEMBLE,), score=Mean("crps_fair"),
)  # fmt: skip
SPREAD_SKILL_RATIO = Metric(
    "spread_skill_ratio", "spread-skill ratio", label="spread-skill ratio", units="1",
    better="one", statistics=(ERRORS, ENSEMBLE), score=_spread_skill, single=False,
)  # fmt: skip
RANK_HISTOGRAM = Metric(
    "rank_histogram", "relative frequency of the rank of the reference", label="rank histogram",
    units="1", better="flat", statistics=(ENSEMBLE,), score=Mean("rank_histogram"),
    dims=("rank",), single=False,
)  # fmt: skip
