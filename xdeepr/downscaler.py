"""A trained model: card, network and solver. Arrays in, arrays out."""

from __future__ import annotations

import os
import threading
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xdeepr import checkpoint
from xdeepr.blocks import BlockInput, Geometry, SamplingOptions
from xdeepr.card import Card
from xdeepr.interpolation import Method
from xdeepr.networks.padding import padded_call
from xdeepr.noise import NoiseKey, white_noise
from xdeepr.plan import Block
from xdeepr.sampling import sample
from xdeepr.solvers import NoiseRange
from xdeepr.tiling import Window, fuse

if TYPE_CHECKING:
    from torch import nn

_DEVICE_LOCKS: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""One network call at a time on each device: the call itself uses all of torch's threads."""


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
    """

    def __init__(
        self,
        card: Card,
        network: nn.Module,
        *,
        covariate_arrays: dict[str, np.ndarray] | None = None,
        curve: list[dict[str, Any]] | None = None,
    ) -> None:
        self.card = card
        self.network = network.eval()
        self.covariate_arrays = covariate_arrays or {}
        self.curve = curve or []
        self.device = torch.device("cpu")

    def to(self, device: str | torch.device) -> Downscaler:
        """Move the network to a torch device and return the model."""
        self.device = torch.device(device)
        self.network.to(self.device)
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
        return checkpoint.save(self, path, overwrite=overwrite)

    def __repr__(self) -> str:
        card, training = self.card, self.card.training
        inputs = ", ".join(f"{q.name} [{q.units}]" for q in card.predictors)
        outputs = ", ".join(f"{q.name} [{q.units}]" for q in card.predictands)
        unit = {"latlon": "°", "rotated": "°"}.get(card.grid_kind, " m")
        coarse = " × ".join(f"{step:.4g}{unit}" for step in card.resolution)
        fine = " × ".join(f"{step / card.factor:.4g}{unit}" for step in card.resolution)
        statics = ", ".join(q.name for q in card.covariates) or "none"
        parameters = sum(p.numel() for p in self.network.parameters())
        lines = [
            f"<xdeepr.Downscaler {card.name!r}: ×{card.factor}>",
            f"  downscales   {inputs} at {coarse}",
            f"  to           {outputs} at {fine}",
            f"  conditions   static: {statics}; time: {', '.join(card.time_features) or 'none'}",
            f"  network      {card.network['name']}, {parameters / 1e6:.2f} million parameters",
            f"  sampler      {card.diffusion.sampler}, {card.diffusion.steps} steps",
        ]
        if "period" in training:
            start, stop = training["period"]
            lines.append(
                f"  trained on   {training['times']} times, {start} to {stop},"
                f" {training['domain']}; {training['steps']} steps"
            )
        return "\n".join(lines)

    # --- arrays ---------------------------------------------------------------------------

    def denoise(
        self, x: torch.Tensor, sigma: float | torch.Tensor, conditions: torch.Tensor
    ) -> torch.Tensor:
        """Return the expected clean residual, D(x; sigma).

        Parameters
        ----------
        x : torch.Tensor
            Noisy normalized residual, shape (N, V, H, W).
        sigma : float or torch.Tensor
            Noise level, one number or shape (N,).
        conditions : torch.Tensor
            Shape (N, C, H, W).

        Returns
        -------
        torch.Tensor
            Shape (N, V, H, W).

        References
        ----------
        Karras et al., 2022, arXiv:2206.00364, table 1 (preconditioning).
        """
        return precondition(self.network, x, sigma, conditions, self.card.diffusion.sigma_data)

    def conditions(self, inputs: BlockInput, geometry: Geometry, block: Block) -> torch.Tensor:
        """Return the channels the network is conditioned on, shape (time, C, H, W)."""
        predictors = self.card.normalization["predictors"].apply(torch.from_numpy(inputs.lr))
        covariates = torch.from_numpy(inputs.covariates)
        return stack_conditions(
            geometry.interpolate(predictors, block, "bicubic"),
            self.card.normalization["covariates"].apply(covariates),
            torch.from_numpy(inputs.time_channels),
        )

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
        times, members = len(inputs.time_keys), len(inputs.realizations)
        self._warn_of_new_values(inputs.lr)
        conditions = self.conditions(inputs, geometry, block).to(self.device)

        def on_tiles(
            tiles: torch.Tensor, places: Sequence[tuple[int, Window]], sigma: float
        ) -> Any:
            cut = [conditions[s % times][:, y, x] for s, (y, x) in places]
            with _DEVICE_LOCKS[str(self.device)]:
                return self.denoise(tiles, sigma, torch.stack(cut))

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

        diffusion = self.card.diffusion
        levels = NoiseRange(diffusion.sigma_min, diffusion.sigma_max, diffusion.sigma_data)
        residual = sample(denoiser, noise, options.sampler, levels).cpu()
        residual = residual.reshape(members, times, *residual.shape[1:])
        base = torch.from_numpy(inputs.lr[:, list(self.card.base)])
        field = geometry.interpolate(base, block, "bicubic") + self.card.normalization[
            "residual"
        ].invert(residual)
        y, x = block.core_in_window()
        return field[..., y, x].numpy()

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
        origin = (
            geometry.origin[0] + block.y.window.start,
            geometry.origin[1] + block.x.window.start,
        )
        fields = [
            white_noise(
                NoiseKey(seed, realization, int(time), variable, stream),
                origin,
                block.shape,
                period=geometry.period,
            )
            for realization in inputs.realizations
            for time in inputs.time_keys
            for variable in range(len(self.card.predictands))
        ]
        stacked = np.stack(fields).reshape(-1, len(self.card.predictands), *block.shape)
        return torch.from_numpy(stacked).to(self.device)


def precondition(
    network: nn.Module,
    x: torch.Tensor,
    sigma: float | torch.Tensor,
    conditions: torch.Tensor,
    sigma_data: float,
) -> torch.Tensor:
    """Return D(x; sigma) = c_skip x + c_out F(c_in x, conditions; log(sigma)/4).

    Parameters
    ----------
    network : torch.nn.Module
        F: sees the scaled noisy field and the conditions as channels.
    x, sigma, conditions
        As in :meth:`Downscaler.denoise`.
    sigma_data : float
        Standard deviation of the clean field.

    References
    ----------
    Karras et al., 2022, arXiv:2206.00364, equation 7 and table 1.
    """
    level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(x.shape[0])
    column = level.reshape(-1, 1, 1, 1)
    total = column**2 + sigma_data**2
    inputs = torch.cat([x / total.sqrt(), conditions], dim=1)
    output = padded_call(network, inputs, level.log() / 4)
    return sigma_data**2 / total * x + column * sigma_data / total.sqrt() * output.to(x.dtype)


def stack_conditions(
    predictors: torch.Tensor, covariates: torch.Tensor, time_channels: torch.Tensor
) -> torch.Tensor:
    """Stack normalized predictors, covariates and time channels.

    Parameters
    ----------
    predictors : torch.Tensor
        Shape (N, P, H, W).
    covariates : torch.Tensor
        Shape (S, H, W) or (N, S, H, W).
    time_channels : torch.Tensor
        Shape (N, T).

    Returns
    -------
    torch.Tensor
        Shape (N, P + S + T, H, W).
    """
    count, _, height, width = predictors.shape
    statics = covariates.expand(count, -1, height, width)
    time = time_channels[:, :, None, None].expand(-1, -1, height, width)
    return torch.cat([predictors, statics, time], dim=1)


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
        y, x = block.core_in_window()
        return field[None, ..., y, x].numpy()
