"""Pairs of LR predictors and HR labels, cut into training windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask
import dask.array as da
import numpy as np
import torch

from xdeepr.errors import TrainingError
from xdeepr.inputs.block import BlockInput
from xdeepr.inputs.quantities import check_finite
from xdeepr.inputs.times import Times
from xdeepr.models.block_task import BlockTask
from xdeepr.models.card import Card
from xdeepr.models.conditions import window_conditions
from xdeepr.models.target import normalized_target
from xdeepr.networks.calling import Conditions
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import Block, Segment, Span

IN_MEMORY_BYTES = 4 * 2**30
"""Training data up to this size is loaded once; more is read batch by batch."""


@dataclass(frozen=True)
class Batch:
    """What one training step works on.

    Parameters
    ----------
    target : torch.Tensor
        What is learnt, normalized, shape (N, V, H, W).
    conditions : Conditions
        What the network is told.
    times : tuple of int
        Positions along the time axis, for error messages.
    valid : torch.Tensor, optional
        Where the labels are known, bool, shape of `target`; None: everywhere. Elsewhere the
        target is 0 and does not count.
    """

    target: torch.Tensor
    conditions: Conditions
    times: tuple[int, ...]
    valid: torch.Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        valid = None if self.valid is None else self.valid.to(device)
        target, conditions = self.target.to(device), self.conditions.to(device)
        return replace(self, target=target, conditions=conditions, valid=valid)


@dataclass(frozen=True)
class Pairs:
    """LR and HR fields at the same times; numpy or dask, float32.

    Parameters
    ----------
    lr : array
        Predictors, shape (time, predictor, y, x).
    hr : array
        Labels, shape (time, predictand, Y, X).
    times : Times
        What the network is told of the times.
    statics : numpy.ndarray
        Static covariates, shape (covariate, Y, X), in physical units.
    geometry : Geometry
        How the grids nest.
    names : tuple of tuple of str
        Names of predictors, predictands and varying covariates.
    varying, base, statistics : array, optional
        See :class:`~xdeepr.inputs.block.BlockInput`.
    gaps : bool
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

    def load(self) -> Pairs:
        """Return the pairs in memory, if they are small enough.

        Raises
        ------
        MissingValuesError
            If a value is not finite; names the variable and the time.
        """
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
        """Refuse missing values in arrays that were read."""
        check_finite(lr, self.names[0], stamps, "predictor")
        if not self.gaps:
            check_finite(hr, self.names[1], stamps, "label")
        if varying is not None:
            check_finite(varying[:, : len(self.names[2])], self.names[2], stamps, "covariate")

    def read(self, times: Sequence[int], window: Block) -> tuple[np.ndarray, BlockInput]:
        """Return labels (n, V, H, W) and model inputs of some times on one window."""
        lr_y, lr_x = self.geometry.lr_windows(window)
        index = np.asarray(times)
        order = np.argsort(index, kind="stable")  # dask reads sorted indices without reshuffling
        chosen, back = index[order], np.argsort(order, kind="stable")
        coarse, fine = (lr_y.slice, lr_x.slice), (window.y.core.slice, window.x.core.slice)
        places = {"lr": coarse, "statistics": ()}
        parts = {
            name: array[chosen][(..., *places.get(name, fine))]
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
        return arrays.pop("hr"), BlockInput(
            statics=statics, times=self.times.at(list(times)), **arrays
        )

    def batch(
        self,
        card: Card,
        network: Any,
        places: Sequence[tuple[int, Block]],
        keep: np.ndarray | None = None,
    ) -> Batch:
        """Return the normalized batch at some (time, window) places.

        Parameters
        ----------
        card : Card
            Says what is learnt, what the network is told, and how both are normalized.
        network : torch.nn.Module or its class
            For what it wants to be given.
        places : sequence of (int, Block)
            Positions along time, and windows of equal shape.
        keep : numpy.ndarray, optional
            1 or 0 for each place: whether the network is told the covariates.
        """
        groups: dict[Block, list[int]] = {}
        for number, (_, window) in enumerate(places):
            groups.setdefault(window, []).append(number)
        targets, conditions, used = [], [], []
        for window, numbers in groups.items():
            times = [places[n][0] for n in numbers]
            hr, inputs = self.read(times, window)
            task = BlockTask(inputs, self.geometry, window)
            targets.append(normalized_target(card, torch.from_numpy(hr), task))
            kept = None if keep is None else torch.from_numpy(keep[numbers])
            told = window_conditions(card, network, task, kept)
            tile = (slice(0, window.shape[0]), slice(0, window.shape[1]))
            conditions.append(told.cut([(n, tile) for n in range(len(times))]))
            used += times
        target, valid = torch.cat(targets), None
        if self.gaps:
            valid = target.isfinite()
            target = target.where(valid, torch.zeros(()))
        return Batch(target, Conditions.join(conditions), tuple(used), valid)


_FIELDS = ("lr", "hr", "varying", "base", "statistics")
"""Arrays of :class:`Pairs` with a time axis."""


def _float32(name: str, array: np.ndarray) -> np.ndarray:
    """Return fields in single precision; their statistics keep their own."""
    return array if name == "statistics" else np.asarray(array, dtype=np.float32)


def window_at(start: tuple[int, int], shape: tuple[int, int]) -> Block:
    """Return the window with the given first pixel and shape as a block of one tile."""
    spans = [Span(s, s + n) for s, n in zip(start, shape, strict=True)]
    return Block(*(Segment(span, (span,)) for span in spans))


@dataclass(frozen=True)
class Draw:
    """Which times and windows each training step sees, as a function of the step alone.

    A training run that is resumed therefore sees what it would have seen.

    Parameters
    ----------
    seed : int
        Seed of all draws.
    times : int
        Number of times.
    domain : tuple of int
        Height and width of the HR domain.
    window : tuple of int
        Height and width of a training window.
    batch_size : int
        Windows in a batch.
    grain : int
        Windows begin at multiples of this many pixels.
    covariate_dropout : float
        Share of windows without covariates.
    """

    seed: int
    times: int
    domain: tuple[int, int]
    window: tuple[int, int]
    batch_size: int
    grain: int = 1
    covariate_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.times < 1:
            raise TrainingError("no time left to train on: use a smaller validation part.")

    @property
    def windows_per_epoch(self) -> int:
        """Windows that cover the domain about once at every time."""
        rows, columns = (-(-n // w) for n, w in zip(self.domain, self.window, strict=True))
        return self.times * rows * columns

    @property
    def steps_per_epoch(self) -> int:
        """Steps that see each time about once."""
        return max(1, self.windows_per_epoch // self.batch_size)

    def generator(self, *purpose: int) -> np.random.Generator:
        """Return the generator for one purpose (a tuple of whole numbers)."""
        return np.random.default_rng([self.seed, *purpose])

    def places(self, step: int) -> list[tuple[int, Block]]:
        """Return time and window of each entry of a step's batch."""
        first = step * self.batch_size
        generator = self.generator(1, step)
        places = []
        for number in range(first, first + self.batch_size):
            epoch, position = divmod(number, self.windows_per_epoch)
            time = int(self._order(epoch)[position] % self.times)
            places.append((time, self.any_window(generator)))
        return places

    def any_window(self, generator: np.random.Generator) -> Block:
        """Return a window at a random place."""
        room = [(n - w) // self.grain + 1 for n, w in zip(self.domain, self.window, strict=True)]
        start = (int(generator.integers(room[0])), int(generator.integers(room[1])))
        return window_at((start[0] * self.grain, start[1] * self.grain), self.window)

    def keep(self, step: int) -> np.ndarray | None:
        """Return 1 or 0 for each entry of a step's batch: whether covariates are shown."""
        if not self.covariate_dropout:
            return None
        drawn = self.generator(5, step).random(self.batch_size)
        return (drawn >= self.covariate_dropout).astype(np.float32)

    def _order(self, epoch: int) -> np.ndarray:
        """Return the shuffled windows of an epoch."""
        return self.generator(0, epoch).permutation(self.windows_per_epoch)
