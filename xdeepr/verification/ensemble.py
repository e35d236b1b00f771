"""Scores of an ensemble against a reference: CRPS, spread-skill ratio and rank histogram.

Built as *statistic -> mean -> metric*, like :mod:`xdeepr.verification.deterministic`. All
statistics of a cell come out of one sort of its realizations: this gives the CRPS of
:func:`xskillscore.crps_ensemble` (whose pair term costs memory with the square of the ensemble
size) and also the fair CRPS, the variance and the rank, which xskillscore would have to sort or
pair for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

REALIZATION = "realization"


def crps(
    forecast: xr.DataArray,
    reference: xr.DataArray,
    *,
    fair: bool = False,
    member_dim: str = REALIZATION,
) -> xr.DataArray:
    r"""Continuous ranked probability score of an ensemble in each cell (no reduction).

    .. math::
        \mathrm{CRPS} = \frac{1}{M}\sum_i |x_i - r| - \frac{1}{2 M^2}\sum_{i,j} |x_i - x_j|,

        \mathrm{CRPS_{fair}} = \frac{1}{M}\sum_i |x_i - r|
        - \frac{1}{2 M (M-1)}\sum_{i,j} |x_i - x_j|

    The plain score judges the M realizations as if they were the whole forecast distribution;
    the fair one estimates the score of the distribution they were drawn from, so that ensembles
    of different size can be compared [1]_.

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

    References
    ----------
    .. [1] Ferro, C. A. T. (2014), Fair scores for ensemble forecasts, Q. J. R. Meteorol. Soc.,
       140, 1917-1923, doi:10.1002/qj.2270.

    Examples
    --------
    >>> truth = xr.DataArray([0.0, 1.0], dims="time")
    >>> ensemble = xr.DataArray([[0.0, 0.0], [2.0, 2.0]], dims=("realization", "time"))
    >>> crps(ensemble, truth).values
    array([0.5, 0.5])
    """
    statistics = ensemble_statistics(forecast, reference, member_dim=member_dim)
    return statistics["crps_fair" if fair else "crps"]


def ensemble_statistics(
    forecast: xr.DataArray, reference: xr.DataArray, *, member_dim: str = REALIZATION
) -> dict[str, xr.DataArray]:
    """Statistics of an ensemble, one value for each cell and time (no reduction).

    Parameters
    ----------
    forecast : xarray.DataArray
        Ensemble with dimension `member_dim`, of M realizations.
    reference : xarray.DataArray
        Verifying field with the other dimensions of `forecast`, in the same units.
    member_dim : str, default: "realization"
        Name of the ensemble dimension.

    Returns
    -------
    dict of str to xarray.DataArray
        ``crps`` and ``crps_fair`` (units), ``variance`` (units², divided by M-1) and
        ``rank_histogram``: with one more dimension ``rank`` (1 to M+1), the share of the cell that
        falls on each rank of the reference among the realizations. Ties are shared evenly among
        their ranks, the expectation of breaking them at random, so nothing depends on a seed.
    """
    if forecast.chunks is not None:  # all realizations of a cell have to meet in one block
        forecast = forecast.chunk({member_dim: -1})
    size = forecast.sizes[member_dim]
    fields = xr.apply_ufunc(
        _cell_statistics,
        forecast,
        reference,
        input_core_dims=[[member_dim], []],
        output_core_dims=[[], [], [], ["rank"]],
        dask="parallelized",
        output_dtypes=[np.float64] * 4,
        dask_gufunc_kwargs={"output_sizes": {"rank": size + 1}},
    )
    statistics = dict(zip(("crps", "crps_fair", "variance", "rank_histogram"), fields, strict=True))
    ranks = np.arange(1, size + 2)
    statistics["rank_histogram"] = statistics["rank_histogram"].assign_coords(rank=ranks)
    return statistics


def ensemble_scores(means: Mapping[str, xr.DataArray], size: int) -> dict[str, xr.DataArray]:
    r"""Scores from the mean statistics of an ensemble of M realizations.

    With :math:`s^2` the ensemble variance (divided by M-1), RMSE that of the ensemble mean and
    :math:`\langle\cdot\rangle` the weighted mean:

    .. math::
        \mathrm{spread\text{-}skill} =
        \sqrt{\frac{M+1}{M}} \frac{\sqrt{\langle s^2 \rangle}}{\mathrm{RMSE}}

    It is 1 where reference and realizations are exchangeable, below 1 for too little spread [1]_.

    Parameters
    ----------
    means : mapping of str to xarray.DataArray
        Means of the statistics of :func:`ensemble_statistics` and ``squared_error`` of the
        ensemble mean, with the same weights for all.
    size : int
        Number of realizations M.

    Returns
    -------
    dict of str to xarray.DataArray
        ``crps`` and ``crps_fair`` in the units of the field, ``spread_skill_ratio`` (1) and
        ``rank_histogram`` (1, sums to 1 over ``rank``).

    References
    ----------
    .. [1] Fortin, V., Abaza, M., Anctil, F. and Turcotte, R. (2014), Why should ensemble spread
       match the RMSE of the ensemble mean?, J. Hydrometeorol., 15, 1708-1713,
       doi:10.1175/JHM-D-14-0008.1.
    """
    error = means["squared_error"]
    inflation = (size + 1) / size
    ratio = (inflation * means["variance"] / error.where(error > 0)) ** 0.5
    return {
        "crps": means["crps"],
        "crps_fair": means["crps_fair"],
        "spread_skill_ratio": ratio,
        "rank_histogram": means["rank_histogram"],
    }


def single_field_scores(means: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Ensemble scores of a forecast that is one field, to stand beside an ensemble's.

    The forecast distribution is a point, so both CRPS are the mean absolute error
    (no sampling error to be fair about); spread and ranks do not exist and are left out, so
    that they become NaN beside an ensemble's.

    Parameters
    ----------
    means : mapping of str to xarray.DataArray
        Mean statistics that include ``absolute_error``.

    Returns
    -------
    dict of str to xarray.DataArray
        ``crps`` and ``crps_fair`` in the units of the field.
    """
    return {"crps": means["absolute_error"], "crps_fair": means["absolute_error"]}


def _cell_statistics(
    members: np.ndarray[Any, Any], reference: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], ...]:
    """Return CRPS, fair CRPS, variance and rank shares; realizations on the last axis."""
    size = members.shape[-1]
    # Errors, not values: the sums below then lose no digits to the mean of the field.
    errors = members.astype(np.float64) - np.asarray(reference, np.float64)[..., np.newaxis]
    missing = np.isnan(errors).any(axis=-1)
    errors[missing] = 0.0
    errors.sort(axis=-1)
    absolute = np.abs(errors).mean(axis=-1)
    # Sum over i<j of x_(j) - x_(i), from the sorted values.
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
