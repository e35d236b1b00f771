"""What is paired: predictors and labels at the same times, and the base of a residual if any.

A label whose coarse version is among the predictors has its interpolation as base; one without such
a twin has none, unless there is a base model, whose output is the base of all labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask
import dask.array as da
import numpy as np
import torch

from xdeepr.inputs.block import BlockInput
from xdeepr.inputs.covariates import covariates_on, solar_on, varying_on
from xdeepr.inputs.instance_statistics import interpolated_statistics
from xdeepr.inputs.quantities import check_finite
from xdeepr.inputs.times import Times, time_inputs
from xdeepr.models.block_task import BlockTask
from xdeepr.models.card import Card
from xdeepr.models.target import BlockTarget
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import Block, make_plan
from xdeepr.training.holding_out import Period
from xdeepr.training.windows import window_at

IN_MEMORY_BYTES = 4 * 2**30
"""Training data up to this size is loaded once; more is read batch by batch."""

AT_ONCE = 32
"""Times that are read together where the data are walked through once."""

_FIELDS = ("lr", "hr", "varying", "base", "statistics")
"""Arrays of :class:`Pairs` with a time axis."""


@dataclass(frozen=True)
class Pairs:
    """LR and HR fields at the same times; numpy or dask, float32.

    Parameters
    ----------
    lr
        Predictors, shape (time, predictor, y, x).
    hr
        Labels, shape (time, predictand, Y, X).
    statics
        Static covariates, shape (covariate, Y, X), in physical units.
    names
        Names of predictors, predictands and varying covariates.
    varying, statistics
        See :class:`~xdeepr.inputs.block.BlockInput`.
    base
        Output of the base model, shape (time, predictand, Y, X).
    gaps
        Whether labels may be missing.
    """

    lr: Any
    hr: Any
    times: Times
    statics: np.ndarray
    geometry: Geometry
    names: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    varying: Any = None
    base: Any = None
    statistics: Any = None
    gaps: bool = False

    def __len__(self) -> int:
        return int(self.hr.shape[0])

    @property
    def whole(self) -> Block:
        """The HR domain as one window."""
        return window_at((0, 0), self.geometry.plan.shape)

    def never_known(self) -> np.ndarray:
        """Return the HR cells where a label is missing at all times, bool, shape (Y, X)."""
        missing = np.isnan(self.hr).all(axis=0).any(axis=0)
        return np.asarray(missing)

    def fingerprint(self) -> str:
        """Return a hash of the shapes, and of the first and the last time of the fields."""
        digest = hashlib.sha256(repr((self.lr.shape, self.hr.shape)).encode())
        for array in (self.lr, self.hr):
            ends = np.asarray(array[[0, -1]], dtype=np.float32)
            digest.update(np.ascontiguousarray(ends).tobytes())
        return digest.hexdigest()[:16]

    def load(self) -> Pairs:
        """Return the pairs in memory, checked as by :meth:`check`, if they are small enough."""
        fields = {name: getattr(self, name) for name in _FIELDS}
        lazy = {name: f for name, f in fields.items() if isinstance(f, da.Array)}
        if sum(f.nbytes for f in lazy.values()) > IN_MEMORY_BYTES:
            return self
        read = zip(lazy, dask.compute(*lazy.values()), strict=True)
        loaded: dict[str, Any] = {name: _float32(name, array) for name, array in read}
        pairs = replace(self, **loaded)
        pairs.check(pairs.lr, pairs.hr, pairs.varying, self.times.stamps)
        return pairs

    def check(self, lr: Any, hr: Any, varying: Any, stamps: np.ndarray) -> None:
        """Refuse values in arrays that were read if they are not finite, by variable and time."""
        check_finite(lr, self.names[0], stamps, "predictor")
        if not self.gaps:
            check_finite(hr, self.names[1], stamps, "label")
        if varying is not None:
            check_finite(varying[:, : len(self.names[2])], self.names[2], stamps, "covariate")

    def read(self, times: Sequence[int], window: Block) -> tuple[torch.Tensor, BlockInput]:
        """Return labels (n, V, H, W) and model inputs of some times on one window."""
        lr_y, lr_x = self.geometry.lr_windows(window)
        index = np.asarray(times)
        order = np.argsort(index, kind="stable")  # dask reads sorted indices without reshuffling
        chosen, back = index[order], np.argsort(order, kind="stable")
        coarse, fine = (lr_y.slice, lr_x.slice), (window.y.core.slice, window.x.core.slice)
        cells = {"lr": coarse, "statistics": ()}
        parts = {
            name: array[chosen][(..., *cells.get(name, fine))]
            for name in _FIELDS
            if (array := getattr(self, name)) is not None
        }
        if any(isinstance(part, da.Array) for part in parts.values()):
            read = dask.compute(*parts.values())
            parts = {k: _float32(k, v) for k, v in zip(parts, read, strict=True)}
            stamps = self.times.stamps[chosen]
            self.check(parts["lr"], parts["hr"], parts.get("varying"), stamps)
        arrays: dict[str, Any] = {k: np.ascontiguousarray(v[back]) for k, v in parts.items()}
        statics = np.ascontiguousarray(self.statics[(slice(None), *fine)])
        return torch.from_numpy(arrays.pop("hr")), BlockInput(
            statics=statics, times=self.times.at(list(times)), **arrays
        )

    def targets(self, card: Card) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the target, (time, predictand, Y, X), before it is scaled, and its months."""
        for first in range(0, len(self), AT_ONCE):
            times = range(first, min(first + AT_ONCE, len(self)))
            hr, inputs = self.read(times, self.whole)
            task = BlockTask(inputs, self.geometry, self.whole)
            yield BlockTarget(card, task).learnt(hr).numpy(), inputs.times.months

    def with_statistics(self) -> Pairs:
        """Return the pairs with mean and deviation of each interpolated field."""
        slabs = (np.asarray(self.lr[i : i + AT_ONCE]) for i in range(0, len(self), AT_ONCE))
        each = [interpolated_statistics(lr, self.geometry) for lr in slabs]
        return replace(self, statistics=np.concatenate(each))


def make_pairs(period: Period, card: Card, base: Any = None, *, gaps: bool = False) -> Pairs:
    """Return the arrays that training reads; large ones are lazy.

    The card names covariates and time features; `base` is the output of the base model, shape
    (time, predictand, y, x), and with `gaps` labels may be missing.
    """
    aligned, covariates = period.aligned, period.covariates
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
    predictors, predictands, varying = (
        tuple(q.name for q in quantities)
        for quantities in (card.predictors, card.predictands, card.varying)
    )
    return Pairs(
        aligned.lr.data,
        aligned.hr.data,
        time_inputs(aligned.time, card.time_features),
        statics,
        geometry,
        (predictors, predictands, varying),
        varying=da.concatenate(fields, axis=1) if fields else None,
        base=base,
        gaps=gaps,
    )


def _float32(name: str, array: np.ndarray) -> np.ndarray:
    """Return fields in single precision; their statistics keep their own."""
    return array if name == "statistics" else np.asarray(array, dtype=np.float32)
