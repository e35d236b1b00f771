"""A trained model: card, network and solver. Arrays in, arrays out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xdeepr.models.block_run import BlockRun
from xdeepr.models.block_task import BlockTask
from xdeepr.models.card import Card
from xdeepr.models.saving import save
from xdeepr.networks.calling import Conditions, evaluate
from xdeepr.sampling.denoisers import denoise
from xdeepr.sampling.guidance import quietly
from xdeepr.sampling.samplers import SamplingOptions
from xdeepr.tiling.interpolation import Method

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
            Replace a checkpoint that is there; other folders are never replaced.

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
        coarse, fine = card.cell_sizes
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
        """Return D(x; sigma), the expected clean target of a noisy one, (N, V, H, W), normalized.

        The noise level is one number, or has shape (N,).
        """
        return denoise(
            lambda noisy, label: evaluate(self.network, conditions, noisy, label),
            x,
            sigma,
            self.card.diffusion,
        )

    def downscale_block(self, task: BlockTask, options: SamplingOptions) -> np.ndarray:
        """Compute the core of one block, float32, in the card's units.

        Its shape is (realization, time, predictand, height, width).
        """
        with quietly(options.guidance):
            return BlockRun(self, task, options).field().numpy()


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
    """An interpolation baseline with the same interface as a trained model's block method."""

    def __init__(self, method: Method) -> None:
        self.method: Method = method

    def downscale_block(self, task: BlockTask, options: SamplingOptions) -> np.ndarray:
        """Interpolate one block; see :meth:`Downscaler.downscale_block`."""
        field = task.geometry.interpolate(torch.from_numpy(task.inputs.lr), task.block, self.method)
        y, x = task.geometry.core_in_window(task.block)
        return field[None, ..., y, x].numpy()
