"""Turn the arrays of a block into the conditions of its network; the same in training.

The channels come in a fixed order: the predictors interpolated to the HR grid, the output of the
base model, the covariates (static ones, then those that vary in time) with a channel that says
whether they are known, the sun's position, and cosine and sine of the cyclical time features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from xdeepr.inputs.block import BlockInput
from xdeepr.inputs.covariates import solar_channels
from xdeepr.models.block_task import BlockTask
from xdeepr.models.card import Card
from xdeepr.networks.calling import Conditions, needs_lr, works_on_lr
from xdeepr.tiling.fusion import Window
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.interpolation import window
from xdeepr.tiling.plan import Block, Span


@dataclass(frozen=True)
class WindowConditions:
    """The conditions of a block's whole window, from which those of its tiles are cut."""

    channels: torch.Tensor  # (time, C, H, W)
    labels: torch.Tensor | None  # (time, L)
    lr: torch.Tensor | None  # normalized predictors on the block's LR cells, (time, P, y, x)
    predictors: int  # leading channels that networks on the LR grid do not need besides
    block: Block  # in HR pixels
    geometry: Geometry
    on_lr: bool

    def to(self, device: torch.device) -> WindowConditions:
        """Return the conditions on a device."""
        move = ("channels", "labels", "lr")
        given = {k: getattr(self, k) for k in move if getattr(self, k) is not None}
        return replace(self, **{k: v.to(device) for k, v in given.items()})

    def cut(self, places: Sequence[tuple[int, Window]]) -> Conditions:
        """Return the conditions of tiles: index along time, and (y, x) in pixels of the window."""
        channels = torch.stack([self.channels[t][:, y, x] for t, (y, x) in places])
        labels = None
        if self.labels is not None:
            labels = self.labels[[t for t, _ in places]]
        if self.lr is None:
            return Conditions(channels, labels)
        cells, covariates, offsets = zip(*(self._on_lr(t, tile) for t, tile in places), strict=True)
        stacked = torch.stack(covariates) if covariates[0] is not None else None
        return Conditions(channels, labels, torch.stack(cells), stacked, offsets)

    def _on_lr(
        self, time: int, tile: Window
    ) -> tuple[torch.Tensor, torch.Tensor | None, tuple[int, int]]:
        """Return LR cells, covariates on whole LR cells, and the tile's place in them."""
        assert self.lr is not None  # the caller looked
        geometry, block = self.geometry, self.block
        y, x = (
            Span(at.start, at.stop).scaled(geometry.scale).shift(segment.window.start)
            for at, segment in zip(tile, (block.y, block.x), strict=True)
        )
        spans, offset = geometry.lr_tile(y, x)
        first = [s.start for s in geometry.lr_windows_of_fine(block)]
        start = (spans[0].start - first[0], spans[1].start - first[1])
        cells = window(self.lr[time][None], start, (len(spans[0]), len(spans[1])))[0]
        if not self.on_lr or self.channels.shape[1] == self.predictors:
            return cells, None, offset  # torch pads no field without channels
        fine = tuple((len(s) - 2 * geometry.context) * geometry.factor for s in spans)
        covariates = window(
            self.channels[time][None, self.predictors :],
            (tile[0].start - offset[0], tile[1].start - offset[1]),
            (fine[0], fine[1]),
        )[0]
        return cells, covariates, offset


def window_conditions(
    card: Card, network: torch.nn.Module, task: BlockTask, keep: torch.Tensor | None = None
) -> WindowConditions:
    """Return the conditions of a block's window.

    `keep` is 1 or 0 for each time: whether the network is given the covariates. Default: as the
    task's inputs say.
    """
    inputs, geometry, block, fine = task.inputs, task.geometry, task.block, task.fine
    lr = torch.from_numpy(inputs.lr)
    normalized = card.normalization["predictors"].apply(
        lr,
        months=inputs.times.months,
        window=geometry.trained_lr(block),
        statistics=inputs.statistics,
    )
    groups = []
    if "predictors" in card.channels:
        groups.append(geometry.interpolate(normalized, block, "bicubic"))
    if "base" in card.channels:
        groups.append(_base(card, inputs))
    predictors = sum(g.shape[1] for g in groups)
    if "covariates" in card.channels:
        groups += _covariates(card, task, keep)
    if "time" in card.channels:
        groups += _time(card, inputs, fine.shape)
    channels = torch.cat([window(g, (0, 0), fine.shape) for g in groups], dim=1)
    labels = torch.from_numpy(inputs.times.labels)
    return WindowConditions(
        channels,
        labels if labels.shape[1] else None,
        normalized if needs_lr(network) else None,
        predictors,
        fine,
        geometry,
        works_on_lr(network),
    )


def _base(card: Card, inputs: BlockInput) -> torch.Tensor:
    """Return the normalized output of the base model."""
    assert inputs.base is not None  # the verbs compute it where the card asks for it
    statistics = inputs.statistics
    if statistics is not None:
        statistics = statistics[:, :, card.twins]
    return card.normalization["base"].apply(
        torch.from_numpy(inputs.base), months=inputs.times.months, statistics=statistics
    )


def _covariates(card: Card, task: BlockTask, keep: torch.Tensor | None) -> list[torch.Tensor]:
    """Return the normalized covariates, with a channel that says whether they are known."""
    inputs = task.inputs
    count = len(inputs.times)
    fields = torch.from_numpy(inputs.statics).expand(count, -1, -1, -1)
    if card.varying:
        assert inputs.varying is not None  # the verbs compute them where the card has some
        varying = torch.from_numpy(inputs.varying)[:, : len(card.varying)]
        fields = torch.cat([fields, varying], dim=1)
    if fields.shape[1]:
        fields = card.normalization["covariates"].apply(
            fields, months=inputs.times.months, window=task.geometry.trained_hr(task.block)
        )
    if not card.covariate_dropout:
        return [fields]
    if keep is None:
        keep = torch.full((count,), float(inputs.with_covariates))
    column = keep.to(fields.dtype)[:, None, None, None]
    return [fields * column, column.expand(-1, 1, *fields.shape[-2:])]


def _time(card: Card, inputs: BlockInput, shape: tuple[int, int]) -> list[torch.Tensor]:
    """Return the sun's position and the cyclical features of the time."""
    groups = []
    sun = solar_channels(card.time_features)
    if sun:
        assert inputs.varying is not None  # the verbs append them
        groups.append(torch.from_numpy(inputs.varying)[:, -sun:])
    cyclical = torch.from_numpy(inputs.times.channels)
    groups.append(cyclical[:, :, None, None].expand(-1, -1, *shape))
    return groups
