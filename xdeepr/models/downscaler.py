"""A trained model: card, network and solver. Arrays in, arrays out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xdeepr.inputs.block import BlockInput
from xdeepr.models.card import Card
from xdeepr.models.conditions import WindowConditions, window_conditions
from xdeepr.models.devices import network_lock
from xdeepr.models.saving import save
from xdeepr.models.target import restored
from xdeepr.networks.calling import Conditions, evaluate
from xdeepr.sampling.denoisers import denoise
from xdeepr.sampling.noise import NoiseKey, white_noise
from xdeepr.sampling.sample import sample
from xdeepr.sampling.samplers import SamplingOptions, noise_range
from xdeepr.tiling.fusion import Window, fuse
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.interpolation import Method
from xdeepr.tiling.plan import Block

if TYPE_CHECKING:
    from torch import nn

_EVALUATION = {
    "diffusion": "diffusion",
    "latent": "diffusion in a latent space",
    "regression": "regression",
    "autoencoder": "autoencoder",
}


class Downscaler:
    """A trained downscaling model.

    Made by ``ds.deepr.fit(labels)`` or :func:`xdeepr.load`; used by
    ``ds.deepr.downscale(model=...)``.

    Parameters
    ----------
    card : Card
        What the model does and how it was made.
    network : torch.nn.Module
        The network, with its averaged (EMA) weights.
    covariate_arrays : dict of str to numpy.ndarray, optional
        ``values`` (covariate, y, x), ``y`` and ``x``: the static covariates of the training
        domain, so that the same domain can be downscaled without giving them again.
    curve : list of dict, optional
        Training curve: ``step``, ``train_loss``, ``validation_loss``, ``learning_rate``.
    parts : dict of str to Downscaler, optional
        Models that this one builds on: ``base``, whose output the residual is added to, and
        ``autoencoder``, in whose latent space it works.
    """

    def __init__(
        self,
        card: Card,
        network: nn.Module,
        *,
        covariate_arrays: dict[str, np.ndarray] | None = None,
        curve: list[dict[str, Any]] | None = None,
        parts: dict[str, Downscaler] | None = None,
    ) -> None:
        self.card = card
        self.network = network.eval()
        self.covariate_arrays = covariate_arrays or {}
        self.curve = curve or []
        self.parts = parts or {}
        self.device = torch.device("cpu")

    def to(self, device: str | torch.device) -> Downscaler:
        """Move the network to a torch device and return the model."""
        self.device = torch.device(device)
        self.network.to(self.device)
        for part in self.parts.values():
            part.to(device)
        return self

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the model to a folder of safetensors and a JSON card.

        Parameters
        ----------
        path : path-like
            The folder to make.
        overwrite : bool, default: False
            Replace a checkpoint that is there.

        Returns
        -------
        pathlib.Path

        Raises
        ------
        CheckpointError
            If something is there already.
        """
        return save(self, path, overwrite=overwrite)

    def __repr__(self) -> str:
        card, training = self.card, self.card.training
        inputs = ", ".join(f"{q.name} [{q.units}]" for q in card.predictors)
        outputs = ", ".join(f"{q.name} [{q.units}]" for q in card.predictands)
        unit = {"latlon": "°", "rotated": "°", "curvilinear": " km"}.get(card.grid_kind, " m")
        coarse = " × ".join(f"{step:.4g}{unit}" for step in card.resolution)
        fine = " × ".join(f"{step / card.factor:.4g}{unit}" for step in card.resolution)
        covariates = ", ".join(q.name for q in (*card.covariates, *card.varying)) or "none"
        parameters = sum(p.numel() for p in self.network.parameters())
        lines = [
            f"<xdeepr.Downscaler {card.name!r}: ×{card.factor}, {_EVALUATION[card.kind]}>",
            f"  downscales   {inputs} at {coarse}",
            f"  to           {outputs} at {fine}",
            f"  conditions   covariates: {covariates}; time: {_features(card)}",
            f"  network      {card.network['name']}, {parameters / 1e6:.2f} million parameters",
        ]
        if card.stochastic:
            sampler = f"{card.diffusion.sampler}, {card.diffusion.steps} steps"
            lines.append(f"  sampler      {sampler}")
        lines += [f"  {role:<11}  {part.card.name!r}" for role, part in self.parts.items()]
        if {"period", "times", "domain", "steps"} <= set(training):
            start, stop = training["period"]
            lines.append(
                f"  trained on   {training['times']} times, {start} to {stop},"
                f" {training['domain']}; {training['steps']} steps"
            )
        return "\n".join(lines)

    # --- arrays ---------------------------------------------------------------------------

    def denoise(
        self, x: torch.Tensor, sigma: float | torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        """Return the expected clean target, D(x; sigma).

        Parameters
        ----------
        x : torch.Tensor
            Noisy normalized target, shape (N, V, H, W).
        sigma : float or torch.Tensor
            Noise level, one number or shape (N,).
        conditions : Conditions
            What the network is told.

        Returns
        -------
        torch.Tensor
            Shape (N, V, H, W).
        """
        return denoise(
            lambda noisy, label: evaluate(self.network, conditions, noisy, label),
            x,
            sigma,
            prediction=self.card.diffusion.prediction,
            sigma_data=self.card.diffusion.sigma_data,
            schedule=self.card.diffusion.schedule,
        )

    def conditions(self, inputs: BlockInput, geometry: Geometry, block: Block) -> WindowConditions:
        """Return what the network is told of a block's window."""
        return window_conditions(self.card, self.network, inputs, geometry, block)

    @torch.inference_mode()
    def downscale_block(
        self, inputs: BlockInput, geometry: Geometry, block: Block, options: SamplingOptions
    ) -> np.ndarray:
        """Compute one block of the output.

        Returns
        -------
        numpy.ndarray
            float32, shape (realization, time, predictand, height, width) of the block's core,
            in the card's units.
        """
        card, times = self.card, len(inputs.times)
        self._warn_of_new_values(inputs.lr)
        conditions = self.conditions(inputs, geometry, block).to(self.device)
        if card.kind == "regression":
            normalized = self._predict(conditions, geometry, block, options)
        elif card.kind == "latent":
            normalized = self._decode(
                self._draw(conditions, inputs, geometry, block, options), geometry, block, options
            )
        else:
            normalized = self._draw(conditions, inputs, geometry, block, options)
        normalized = normalized.cpu().reshape(-1, times, *normalized.shape[1:])
        field = restored(card, normalized, inputs, geometry, block)
        y, x = geometry.core_in_window(block)
        return field[..., y, x].numpy()

    def _predict(
        self,
        conditions: WindowConditions,
        geometry: Geometry,
        block: Block,
        options: SamplingOptions,
    ) -> torch.Tensor:
        """Return the output of a deterministic network, (time, V, H, W), normalized."""

        def on_tiles(tiles: torch.Tensor, places: Sequence[tuple[int, Window]]) -> torch.Tensor:
            with network_lock(self.device):
                return evaluate(self.network, conditions.cut(places))

        shape = (len(conditions.channels), len(self.card.predictands), *block.shape)
        blank = torch.zeros(shape, device=self.device)
        return fuse(on_tiles, blank, block, geometry.plan, batch_size=options.batch_size)

    def _draw(
        self,
        conditions: WindowConditions,
        inputs: BlockInput,
        geometry: Geometry,
        block: Block,
        options: SamplingOptions,
    ) -> torch.Tensor:
        """Return samples of the diffusion, (realization · time, V, H, W), normalized."""
        times, scale = len(inputs.times), geometry.scale
        conditions = coarse_conditions(conditions, scale)

        def on_tiles(
            tiles: torch.Tensor, places: Sequence[tuple[int, Window]], sigma: float
        ) -> torch.Tensor:
            cut = conditions.cut([(s % times, tile) for s, tile in places])
            with network_lock(self.device):
                return self.denoise(tiles, sigma, cut)

        def denoiser(x: torch.Tensor, sigma: float) -> torch.Tensor:
            return fuse(
                lambda tiles, places: on_tiles(tiles, places, sigma),
                x,
                block,
                geometry.plan,
                batch_size=options.batch_size,
            )

        def noise(stream: int) -> torch.Tensor:
            return self._noise(inputs, geometry, block, options.seed, stream)

        return sample(denoiser, noise, options.sampler, noise_range(self.card.diffusion))

    def _decode(
        self, latent: torch.Tensor, geometry: Geometry, block: Block, options: SamplingOptions
    ) -> torch.Tensor:
        """Return the decoded fields, (N, V, H, W), normalized, tile by tile."""
        autoencoder = self.parts["autoencoder"].network
        scale = geometry.scale
        fine_plan, fine = geometry.plan.scaled(scale), geometry.hr_block(block)

        def on_tiles(tiles: torch.Tensor, places: Sequence[tuple[int, Window]]) -> torch.Tensor:
            cut = [
                latent[n][:, y.start // scale : y.stop // scale, x.start // scale : x.stop // scale]
                for n, (y, x) in places
            ]
            stacked = self.card.normalization["latent"].invert(torch.stack(cut))
            with network_lock(self.device):
                return autoencoder.decode(stacked)  # type: ignore[operator]

        blank = torch.zeros(
            (latent.shape[0], len(self.card.predictands), *fine.shape), device=self.device
        )
        return fuse(on_tiles, blank, fine, fine_plan, batch_size=options.batch_size)

    def _warn_of_new_values(self, lr: np.ndarray) -> None:
        """Warn where predictors are far outside what the training has seen."""
        ranges = self.card.training.get("predictor_range", [])
        for number, (quantity, (low, high)) in enumerate(
            zip(self.card.predictors, ranges, strict=False)
        ):
            least, most = float(lr[:, number].min()), float(lr[:, number].max())
            slack = 0.5 * (high - low)
            if least < low - slack or most > high + slack:
                warnings.warn(
                    # the same text for every block, so that Python shows it once
                    f"predictor {quantity.name!r} leaves the range of the training, {low:.5g} to"
                    f" {high:.5g} {quantity.units}, by more than half of it: check units and"
                    " season; do not rely on the result there.",
                    stacklevel=2,
                )

    def _noise(
        self, inputs: BlockInput, geometry: Geometry, block: Block, seed: int, stream: int
    ) -> torch.Tensor:
        """Return noise (realization · time, V, H, W) keyed by absolute position."""
        scale = geometry.scale
        origin = (
            geometry.origin[0] // scale + block.y.window.start,
            geometry.origin[1] // scale + block.x.window.start,
        )
        variables = len(self.card.predictands)
        if "autoencoder" in self.parts:
            variables = int(self.parts["autoencoder"].network.latent_channels)  # type: ignore[arg-type]
        period = geometry.period
        if period is not None and scale > 1:
            period = period // scale if period % scale == 0 else None
        fields = [
            white_noise(
                NoiseKey(seed, realization, int(time), variable, stream),
                origin,
                block.shape,
                period=period,
            )
            for realization in inputs.realizations
            for time in inputs.times.keys
            for variable in range(variables)
        ]
        stacked = np.stack(fields).reshape(-1, variables, *block.shape)
        return torch.from_numpy(stacked).to(self.device)


def coarse_conditions(conditions: WindowConditions, scale: int) -> WindowConditions:
    """Return the conditions averaged over the pixels of the latent space."""
    if scale == 1:
        return conditions
    channels = torch.nn.functional.avg_pool2d(conditions.channels, scale)
    return replace(conditions, channels=channels)


def _features(card: Card) -> str:
    """Return the time features in words."""
    return (
        ", ".join(
            name if encoding in ("cyclical", "field") else f"{name} ({encoding})"
            for name, encoding in card.time_features.items()
        )
        or "none"
    )


class Interpolator:
    """An interpolation baseline with the same interface as a trained model's block method.

    Parameters
    ----------
    method : {"nearest", "bilinear", "bicubic"}
        How to interpolate.
    """

    def __init__(self, method: Method) -> None:
        self.method: Method = method

    def downscale_block(
        self, inputs: BlockInput, geometry: Geometry, block: Block, options: SamplingOptions
    ) -> np.ndarray:
        """Interpolate one block; see :meth:`Downscaler.downscale_block`."""
        field = geometry.interpolate(torch.from_numpy(inputs.lr), block, self.method)
        y, x = geometry.core_in_window(block)
        return field[None, ..., y, x].numpy()
