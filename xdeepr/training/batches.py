"""Pairs cut into windows and normalized, as the network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from xdeepr.models.block_task import BlockTask
from xdeepr.models.card import Card
from xdeepr.models.conditions import window_conditions
from xdeepr.models.target import BlockTarget
from xdeepr.networks.calling import Conditions
from xdeepr.tiling.plan import Block
from xdeepr.training.pairs import Pairs


@dataclass(frozen=True)
class Batch:
    """What one training step works on.

    Parameters
    ----------
    target
        What is learnt, normalized, shape (N, V, H, W).
    times
        Positions along the time axis, for error messages.
    valid
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
class Batches:
    """Batches of pairs as the card has them, with the conditions that a network takes.

    The network may be a module or its class.
    """

    pairs: Pairs
    card: Card
    network: Any

    def __len__(self) -> int:
        return len(self.pairs)

    def at(self, places: Sequence[tuple[int, Block]], keep: np.ndarray | None = None) -> Batch:
        """Return the batch at some (time, window) places.

        The windows are of equal shape. `keep` is 1 or 0 for each place: whether the network is
        given the covariates.
        """
        groups: dict[Block, list[int]] = {}
        for number, (_, window) in enumerate(places):
            groups.setdefault(window, []).append(number)
        targets, conditions, used = [], [], []
        for window, numbers in groups.items():
            times = [places[n][0] for n in numbers]
            hr, inputs = self.pairs.read(times, window)
            task = BlockTask(inputs, self.pairs.geometry, window)
            targets.append(BlockTarget(self.card, task).normalized(hr))
            kept = None if keep is None else torch.from_numpy(keep[numbers])
            of_window = window_conditions(self.card, self.network, task, kept)
            tile = (slice(0, window.shape[0]), slice(0, window.shape[1]))
            conditions.append(of_window.cut([(n, tile) for n in range(len(times))]))
            used += times
        target, valid = torch.cat(targets), None
        if self.pairs.gaps:
            valid = target.isfinite()
            target = target.where(valid, torch.zeros(()))
        return Batch(target, Conditions.join(conditions), tuple(used), valid)
