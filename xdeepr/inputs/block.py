"""What a block is computed from. Plain data: no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xdeepr.inputs.times import Times


@dataclass(frozen=True)
class BlockInput:
    """Everything one block is computed from; all arrays float32.

    Parameters
    ----------
    lr : numpy.ndarray
        Predictors in the card's units, shape (time, predictor, y, x), on the part of the LR grid
        that :meth:`~xdeepr.tiling.geometry.Geometry.lr_windows` names.
    statics : numpy.ndarray
        Static covariates in the card's units, shape (covariate, H, W), on the block's window.
    realizations : tuple of int
        Indices of the members to compute.
    varying : numpy.ndarray, optional
        Covariates that vary in time, and after them features of the sun's position, shape
        (time, covariate, H, W).
    base : numpy.ndarray, optional
        Output of the base model, shape (time, predictand, H, W).
    statistics : numpy.ndarray, optional
        Mean and standard deviation of each field, shape (time, 2, predictor), for models that
        normalize each field by itself.
    with_covariates : bool
        Whether the covariates are known; a model may have been trained to do without.
    """

    lr: np.ndarray
    statics: np.ndarray
    times: Times
    realizations: tuple[int, ...] = (0,)
    varying: np.ndarray | None = None
    base: np.ndarray | None = None
    statistics: np.ndarray | None = None
    with_covariates: bool = True
