"""From aligned data to arrays: training pairs, and the normalization fitted to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import torch
import xarray as xr

from xdeepr.errors import OptionError
from xdeepr.inputs.covariates import covariates_on, describe_covariates, solar_on, varying_on
from xdeepr.inputs.instance_statistics import interpolated_statistics
from xdeepr.inputs.quantities import Quantity
from xdeepr.inputs.times import time_inputs
from xdeepr.models.block_task import BlockTask
from xdeepr.models.card import Card
from xdeepr.models.target import learnt
from xdeepr.normalization import Affine, Method, Moments, Transform
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import make_plan
from xdeepr.training.alignment import Aligned
from xdeepr.training.batches import Pairs

_AT_ONCE = 32
"""Times that are read together where the data are walked through once."""

_LAND_MASKS = ("land_binary_mask", "land_area_fraction")
_LAND_NAMES = ("lsm", "land_sea_mask", "landmask", "land_mask", "land_binary_mask", "sftlf")


def covariate_quantities(
    covariates: xr.Dataset | None,
) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
    """Return what the static covariates are, and those that vary in time."""
    return ((), ()) if covariates is None else describe_covariates(covariates)


def make_pairs(
    aligned: Aligned,
    card: Card,
    covariates: xr.Dataset | None,
    base: Any = None,
    *,
    gaps: bool = False,
) -> Pairs:
    """Return the arrays that training reads; large ones are lazy.

    Parameters
    ----------
    aligned : Aligned
        Predictors and labels.
    card : Card
        What the model is told.
    covariates : xarray.Dataset, optional
        Static and varying ones.
    base : array, optional
        Output of the base model, shape (time, predictand, y, x).
    gaps : bool
        Whether labels may be missing.

    Returns
    -------
    Pairs
    """
    shape, grid = aligned.hr_grid.shape, aligned.hr_grid
    geometry = Geometry(
        make_plan(shape, tile=shape, overlap=0, block=max(shape)),
        aligned.factor,
        (aligned.margin[0], aligned.margin[2]),
        aligned.lr_grid.shape,
        grid.origin(),
        context=card.context,
    )
    statics = np.zeros((0, *shape), dtype=np.float32)
    fields = []
    if covariates is not None:
        statics = covariates_on(grid, covariates, card.covariates)
        if card.varying:
            fields.append(varying_on(grid, covariates, card.varying, aligned.time))
    sun = solar_on(grid, card.time_features, aligned.time)
    if sun is not None:
        fields.append(sun)
    names = tuple(
        tuple(q.name for q in quantities)
        for quantities in (card.predictors, card.predictands, card.varying)
    )
    return Pairs(
        aligned.lr.data,
        aligned.hr.data,
        time_inputs(aligned.time, card.time_features),
        statics,
        geometry,
        (names[0], names[1], names[2]),
        da.concatenate(fields, axis=1) if fields else None,
        base,
        gaps=gaps,
    )


def with_statistics(pairs: Pairs) -> Pairs:
    """Return the pairs with mean and deviation of each interpolated field."""
    parts = []
    for first in range(0, len(pairs), _AT_ONCE):
        lr = np.asarray(pairs.lr[first : first + _AT_ONCE])
        parts.append(interpolated_statistics(lr, pairs.geometry))
    return replace(pairs, statistics=np.concatenate(parts))


def fit_normalization(
    pairs: Pairs,
    card: Card,
    *,
    method: Method = "domain-wise",
    by_month: bool = False,
    land: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, Transform]:
    """Fit mean and deviation of all that goes in and comes out to the training part.

    Parameters
    ----------
    pairs : Pairs
        The training part.
    card : Card
        What is learnt.
    method : str
        See :class:`xdeepr.normalization.Affine`; of predictors and target.
    by_month : bool
        Whether each month has its own.
    land : tuple of numpy.ndarray, optional
        Land masks on the LR and on the HR grid, for "landmask-wise".

    Returns
    -------
    dict of str to Transform
        A residual is only scaled: its mean is part of what the model learns.
    """
    out: dict[str, Transform] = {"covariates": _fit_covariates(pairs, card)}
    channels = int(pairs.hr.shape[1])
    if method == "instance":
        out["predictors"] = Affine.instance(int(pairs.lr.shape[1]))
        out["target"] = Affine.instance(channels)
        if pairs.base is not None:
            out["base"] = Affine.instance(channels)
        return out
    months = pairs.times.months
    out["predictors"] = Affine.fit(
        pairs.lr, months=months, by_month=by_month, method=method, land=land and land[0]
    )
    moments = Moments(by_month=by_month, method=method, land=land and land[1])
    for first in range(0, len(pairs), _AT_ONCE):
        times = list(range(first, min(first + _AT_ONCE, len(pairs))))
        hr, inputs = pairs.read(times, pairs.whole)
        task = BlockTask(inputs, pairs.geometry, pairs.whole)
        target = learnt(card, torch.from_numpy(hr), task)
        moments.update(target.numpy(), inputs.times.months)
    out["target"] = Affine.from_moments(moments, center=card.target == "field")
    if pairs.base is not None:
        out["base"] = Affine.fit(pairs.base)
    return out


def _fit_covariates(pairs: Pairs, card: Card) -> Affine:
    """Return the normalization of the covariates: static ones, then varying ones."""
    parts = []
    if len(pairs.statics) or not card.varying:
        parts.append(Affine.fit(pairs.statics[None]))
    if card.varying:
        parts.append(Affine.fit(pairs.varying[:, : len(card.varying)]))
    mean, std = (np.concatenate([getattr(p, k) for p in parts], axis=1) for k in ("mean", "std"))
    return Affine(mean, std)


def land_masks(
    aligned: Aligned, covariates: xr.Dataset | None, card: Card
) -> tuple[np.ndarray, np.ndarray]:
    """Return where there is land, on the LR and on the HR grid.

    Parameters
    ----------
    aligned : Aligned
        The data.
    covariates : xarray.Dataset, optional
        Must hold a land-sea mask.
    card : Card
        Names the covariates.

    Returns
    -------
    lr, hr : numpy.ndarray of bool

    Raises
    ------
    OptionError
        If there is no land-sea mask among the covariates.
    GridError
        If it does not cover the LR domain.
    """
    masks = [
        q
        for q in card.covariates
        if q.standard_name in _LAND_MASKS or q.name.lower() in _LAND_NAMES
    ]
    if covariates is None or not masks:
        raise OptionError(
            "normalization='landmask-wise' needs a land-sea mask among the covariates: give one"
            " with the standard_name 'land_binary_mask', or called 'lsm'."
        )
    lr, hr = (
        covariates_on(grid, covariates, masks[:1])[0] for grid in (aligned.lr_grid, aligned.hr_grid)
    )
    half = 0.5 * max(float(hr.max()), 1.0)  # a mask in per cent has its half at 50
    return lr >= half, hr >= half
