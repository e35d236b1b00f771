r"""The energy score: the CRPS of whole fields, or of any vectors.

With :math:`x_i` the M realizations of a vector, :math:`r` its reference and
:math:`\lVert x \rVert = \sqrt{\sum_k w_k x_k^2}` over its components:

.. math::
    \mathrm{ES} = \frac{1}{M}\sum_i \lVert x_i - r \rVert
    - \frac{1}{2 M^2}\sum_{i,j} \lVert x_i - x_j \rVert \qquad (1)

This is eq. 22 of [1]_ with exponent 1, positive where a forecast is bad, for the distribution that
gives each realization the probability 1/M. It is proper, and sees what scores of single cells
cannot: whether neighbouring cells (or variables) vary together as they should. Of one component
it is the CRPS, of one realization the distance to the reference. The fair form divides by
:math:`2 M (M-1)`, for the reason given at :mod:`xdeepr.verification.metrics.ensemble`.

References
----------
.. [1] Gneiting, T. and Raftery, A. E. (2007), Strictly proper scoring rules, prediction, and
   estimation, J. Am. Stat. Assoc., 102, 359-378, doi:10.1198/016214506000001437.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xdeepr.verification.metrics.metric import REALIZATION, Mean, Means, Metric, Pair, Statistic


def energy_score(
    forecast: xr.DataArray,
    reference: xr.DataArray,
    dims: Sequence[str],
    *,
    weights: xr.DataArray | None = None,
    fair: bool = False,
    member_dim: str = REALIZATION,
) -> xr.DataArray:
    """Energy score of an ensemble of vectors.

    Parameters
    ----------
    forecast : xarray.DataArray
        Ensemble with dimension `member_dim`; lazy or not, in any chunks.
    reference : xarray.DataArray
        Verifying vectors with the other dimensions of `forecast`, in the same units.
    dims : sequence of str
        Dimensions whose points are the components of one vector, such as latitude and longitude.
        Several variables can be components if they are brought to one scale first.
    weights : xarray.DataArray, optional
        Weights of the components, at least 0, on some of `dims`; those of weight 0 are left out.
        Default: 1 for all. With weights of sum 1 the distance of two fields is their RMSE.
    fair : bool, default: False
        Whether the pair term is divided by 2M(M-1) (True) or by 2M² (False).
    member_dim : str, default: "realization"
        Name of the ensemble dimension.

    Returns
    -------
    xarray.DataArray
        Score in the units of the field, float64, without `member_dim` and `dims`; NaN where a
        component is missing; the fair score of a single realization is NaN.

    Examples
    --------
    >>> truth = xr.DataArray([0.0, 0.0], dims="wind")
    >>> ensemble = xr.DataArray([[3.0, 4.0], [-3.0, -4.0]], dims=("realization", "wind"))
    >>> energy_score(ensemble, truth, ["wind"]).item()
    2.5
    """
    weights = xr.DataArray(1.0) if weights is None else weights
    plain, corrected = _energy_scores(forecast, reference, weights, list(dims), member_dim)
    return corrected if fair else plain


def _energy_scores(
    forecast: xr.DataArray,
    reference: xr.DataArray,
    weights: xr.DataArray,
    dims: list[str],
    member_dim: str,
) -> tuple[xr.DataArray, xr.DataArray]:
    if forecast.chunks is not None:  # whole vectors have to meet in one block
        forecast = forecast.chunk(dict.fromkeys([member_dim, *dims], -1))
    if reference.chunks is not None:
        reference = reference.chunk(dict.fromkeys(dims, -1))
    plain, fair = xr.apply_ufunc(
        _scores_of_vectors,
        forecast,
        reference,
        weights.broadcast_like(reference),
        input_core_dims=[[member_dim, *dims], dims, dims],
        output_core_dims=[[], []],
        kwargs={"components": len(dims)},
        dask="parallelized",
        output_dtypes=[np.float64] * 2,
    )
    return plain, fair


def _scores_of_vectors(
    members: np.ndarray[Any, Any],
    reference: np.ndarray[Any, Any],
    weights: np.ndarray[Any, Any],
    *,
    components: int,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return plain and fair scores; the last axes are (M,) and those of the components."""
    members_first = np.moveaxis(members.astype(np.float64), -components - 1, 0)
    scale = np.sqrt(weights)
    errors = np.where(scale > 0, (members_first - reference) * scale, 0.0)
    errors = errors.reshape(*errors.shape[:-components], -1)
    size = len(errors)
    distance = np.sqrt(np.vecdot(errors, errors)).mean(axis=0)
    pairs = np.zeros_like(distance)
    difference = np.empty_like(errors[0])
    for i in range(size):
        for j in range(i):
            np.subtract(errors[i], errors[j], out=difference)
            pairs += np.sqrt(np.vecdot(difference, difference))
    plain = distance - pairs / size**2
    if size == 1:
        return plain, np.full_like(plain, np.nan)
    return plain, distance - pairs / (size * (size - 1))


def _statistics(pair: Pair) -> Means:
    """Scores of each time; with weights of sum 1, so that they do not grow with the grid."""
    total = pair.weights.sum(pair.horizontal)
    weights = pair.weights / total.where(total > 0, 1.0)
    forecast, dims = pair.forecast, list(pair.horizontal)
    if pair.members is None:  # the distribution is a point: (1) has no pairs to be fair about
        forecast = forecast.expand_dims(REALIZATION)
    plain, fair = _energy_scores(forecast, pair.reference, weights, dims, REALIZATION)
    return {"energy_score": plain, "energy_score_fair": plain if pair.members is None else fair}


ENERGY = Statistic(_statistics, needs="field")

ENERGY_SCORE = Metric(
    "energy_score", "energy score of whole fields", label="energy score", units="field",
    better="lower", statistics=(ENERGY,), score=Mean("energy_score"), usual=False,
)  # fmt: skip
ENERGY_SCORE_FAIR = Metric(
    "energy_score_fair", "fair energy score of whole fields", label="fair energy score",
    units="field", better="lower", statistics=(ENERGY,), score=Mean("energy_score_fair"),
    usual=False,
)  # fmt: skip
