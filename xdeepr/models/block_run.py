"""Run a model on one block: conditions, tiles, solver, back to the units of the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import nn

from xdeepr.checks import warn
from xdeepr.errors import OptionError
from xdeepr.models.block_task import BlockTask, PlacedTile
from xdeepr.models.card import Card
from xdeepr.models.conditions import WindowConditions, window_conditions
from xdeepr.models.devices import network_lock
from xdeepr.models.target import BlockTarget
from xdeepr.networks.calling import Conditions, evaluate
from xdeepr.sampling.guidance import guided
from xdeepr.sampling.sample import sample
from xdeepr.sampling.samplers import SamplingOptions
from xdeepr.tiling.fusion import fuse


class Runnable(Protocol):
    """What a run needs of a :class:`~xdeepr.models.downscaler.Downscaler`."""

    card: Card
    network: nn.Module
    device: torch.device

    @property
    def parts(self) -> Mapping[str, Runnable]:
        """Models that it builds on, by their role."""

    def denoise(
        self, x: torch.Tensor, sigma: float | torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        """Return the expected clean target."""


class BlockRun:
    """A model at work on one block."""

    def __init__(self, model: Runnable, task: BlockTask, options: SamplingOptions) -> None:
        self.model, self.card, self.device = model, model.card, model.device
        self.task, self.options = task, options
        if options.guidance and not self.card.stochastic:
            raise OptionError(
                f"guidance: the model {self.card.name!r} is a {self.card.kind} and draws nothing"
                " that could be guided. Use a diffusion model."
            )

    def field(self) -> torch.Tensor:
        """Return the block's core, (realization, time, V, height, width), in the card's units."""
        card, task = self.card, self.task
        warn_of_new_values(card, task.inputs.lr)
        conditions = window_conditions(card, self.model.network, task).to(self.device)
        if card.kind == "regression":
            normalized = self.predicted(conditions)
        else:
            normalized = self.drawn(conditions)
            if card.kind == "latent":
                normalized = self.decoded(normalized)
        normalized = normalized.cpu().reshape(-1, task.times, *normalized.shape[1:])
        field = BlockTarget(card, task).restored(normalized)
        y, x = task.geometry.core_in_window(task.block)
        return field[..., y, x]

    def predicted(self, conditions: WindowConditions) -> torch.Tensor:
        """Return the output of a deterministic network, (time, V, H, W), normalized."""

        def on_tiles(tiles: torch.Tensor, places: Sequence[PlacedTile]) -> torch.Tensor:
            with network_lock(self.device):
                return evaluate(self.model.network, conditions.cut(places))

        task = self.task
        shape = (len(conditions.channels), len(self.card.predictands), *task.block.shape)
        blank = torch.zeros(shape, device=self.device)
        plan, batch_size = task.geometry.plan, self.options.batch_size
        return fuse(on_tiles, blank, task.block, plan, batch_size=batch_size)

    def drawn(self, conditions: WindowConditions) -> torch.Tensor:
        """Return samples, (realization · time, V, H, W), normalized; or latent fields."""
        task, options = self.task, self.options
        conditions = coarse_conditions(conditions, task.geometry.scale)
        channels = len(self.card.predictands)
        if "autoencoder" in self.model.parts:
            channels = int(self.model.parts["autoencoder"].network.latent_channels)  # type: ignore[arg-type]

        def denoiser(x: torch.Tensor, sigma: float) -> torch.Tensor:
            def on_tiles(tiles: torch.Tensor, places: Sequence[PlacedTile]) -> torch.Tensor:
                cut = conditions.cut([(s % task.times, tile) for s, tile in places])
                with network_lock(self.device):
                    return guided(
                        lambda noisy: self.model.denoise(noisy, sigma, cut),
                        tiles,
                        sigma,
                        options.guidance,
                        task.tiles(places) if options.guidance else (),
                    )

            plan = task.geometry.plan
            return fuse(on_tiles, x, task.block, plan, batch_size=options.batch_size)

        def noise(stream: int) -> torch.Tensor:
            return torch.from_numpy(task.noise(channels, options.seed, stream)).to(self.device)

        return sample(denoiser, noise, options.sampler, self.card.diffusion)

    def decoded(self, latent: torch.Tensor) -> torch.Tensor:
        """Return the decoded fields, (N, V, H, W), normalized, tile by tile."""
        autoencoder = self.model.parts["autoencoder"].network
        task, scale = self.task, self.task.geometry.scale

        def on_tiles(tiles: torch.Tensor, places: Sequence[PlacedTile]) -> torch.Tensor:
            cut = [
                latent[n][:, y.start // scale : y.stop // scale, x.start // scale : x.stop // scale]
                for n, (y, x) in places
            ]
            stacked = self.card.normalization["latent"].invert(torch.stack(cut))
            with network_lock(self.device):
                return autoencoder.decode(stacked)  # type: ignore[operator]

        shape = (latent.shape[0], len(self.card.predictands), *task.fine.shape)
        blank = torch.zeros(shape, device=self.device)
        plan, batch_size = task.geometry.plan.scaled(scale), self.options.batch_size
        return fuse(on_tiles, blank, task.fine, plan, batch_size=batch_size)


def coarse_conditions(conditions: WindowConditions, scale: int) -> WindowConditions:
    """Return the conditions averaged over the pixels of the latent space."""
    if scale == 1:
        return conditions
    channels = torch.nn.functional.avg_pool2d(conditions.channels, scale)
    return replace(conditions, channels=channels)


def warn_of_new_values(card: Card, lr: np.ndarray) -> None:
    """Warn where predictors (time, predictor, y, x) are far outside what the training has seen."""
    ranges = card.training.get("predictor_range", [])
    for number, (quantity, (low, high)) in enumerate(zip(card.predictors, ranges, strict=False)):
        least, most = float(lr[:, number].min()), float(lr[:, number].max())
        slack = 0.5 * (high - low)
        if least < low - slack or most > high + slack:
            warn(
                # the same text for every block, so that Python shows it once
                f"predictor {quantity.name!r} leaves the range of the training, {low:.5g} to"
                f" {high:.5g} {quantity.units}, by more than half of it: check units and"
                " season; do not rely on the result there."
            )
