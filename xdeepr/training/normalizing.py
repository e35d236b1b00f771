"""The normalization of all that goes in and comes out, fitted to the training part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from xdeepr import cf
from xdeepr.errors import OptionError
from xdeepr.grids import Grid
from xdeepr.inputs.covariates import covariates_on
from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card import Card
from xdeepr.normalization import Affine, Method, Moments, Transform
from xdeepr.training.batches import Batches
from xdeepr.training.objectives import whole_pixels
from xdeepr.training.pairs import Pairs

_LATENT_SAMPLE = 256
"""Times from which mean and deviation of the latent fields are taken."""

_LAND_MASKS = ("land_binary_mask", "land_area_fraction")
_LAND_NAMES = ("lsm", "land_sea_mask", "landmask", "land_mask", "land_binary_mask", "sftlf")


def fit_normalization(
    pairs: Pairs,
    card: Card,
    method: Method,
    *,
    by_month: bool,
    land: tuple[np.ndarray | None, np.ndarray | None],
) -> dict[str, Transform]:
    """Fit mean and deviation of predictors, target, base and covariates.

    Method, months and land, on the LR and on the HR grid, are for predictors and target; covariates
    and base have one mean and deviation. A residual is only scaled: its mean is part of what the
    model learns.
    """
    out: dict[str, Transform] = {"covariates": _fit_covariates(pairs)}
    channels = int(pairs.hr.shape[1])
    if method == "instance":
        out["predictors"] = Affine.instance(int(pairs.lr.shape[1]))
        out["target"] = Affine.instance(channels)
        if pairs.base is not None:
            out["base"] = Affine.instance(channels)
        return out
    lr_land, hr_land = land
    out["predictors"] = Affine.fit(
        pairs.lr, months=pairs.times.months, by_month=by_month, method=method, land=lr_land
    )
    moments = Moments(by_month=by_month, method=method, land=hr_land)
    for target, months in pairs.targets(card):
        moments.update(target, months)
    out["target"] = Affine.from_moments(moments, center=card.target == "field")
    if pairs.base is not None:
        out["base"] = Affine.fit(pairs.base)
    return out


def _fit_covariates(pairs: Pairs) -> Affine:
    """Return the normalization of the covariates: static ones, then varying ones."""
    varying, parts = len(pairs.names[2]), []
    if len(pairs.statics) or not varying:
        parts.append(Affine.fit(pairs.statics[None]))
    if varying:
        parts.append(Affine.fit(pairs.varying[:, :varying]))
    mean, std = (np.concatenate([getattr(p, k) for p in parts], axis=1) for k in ("mean", "std"))
    return Affine(mean, std)


def fit_latent(batches: Batches) -> Affine:
    """Return mean and deviation of the latent fields, from the batches of an autoencoder."""
    network, whole = batches.network, batches.pairs.whole
    times = np.unique(np.linspace(0, len(batches) - 1, _LATENT_SAMPLE).round().astype(int))
    latent = []
    for first in range(0, len(times), 32):
        target = batches.at([(int(t), whole) for t in times[first : first + 32]]).target
        with torch.inference_mode():
            encoded = network.encode(whole_pixels(target, int(network.multiple)))
        latent.append(encoded.numpy())
    return Affine.fit(np.concatenate(latent))


def land_masks(
    grids: tuple[Grid, Grid], covariates: cf.Gridded[Grid] | None, quantities: Sequence[Quantity]
) -> tuple[np.ndarray, np.ndarray]:
    """Return where there is land, on the LR and on the HR grid."""
    masks = [
        q for q in quantities if q.standard_name in _LAND_MASKS or q.name.lower() in _LAND_NAMES
    ]
    if covariates is None or not masks:
        raise OptionError(
            "normalization='landmask-wise' needs a land-sea mask among the covariates: give one"
            " with the standard_name 'land_binary_mask', or called 'lsm'."
        )
    lr, hr = (covariates_on(grid, covariates, masks[:1])[0] for grid in grids)
    half = 0.5 * max(float(hr.max()), 1.0)  # a mask in per cent has its half at 50
    return lr >= half, hr >= half
