"""Training objectives: what a network is asked to do with a batch, and how it is judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from xdeepr.models.card import Diffusion
from xdeepr.networks.calling import evaluate
from xdeepr.normalization import Transform
from xdeepr.sampling.denoisers import denoise, draw_sigma, loss_weight
from xdeepr.training.batches import Batch
from xdeepr.training.losses import LOSSES, squared


class Objective(Protocol):
    """What a network is trained for."""

    def draw(self, generator: np.random.Generator, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Draw everything random that a step needs."""

    def losses(self, network: nn.Module, batch: Batch, *drawn: torch.Tensor) -> torch.Tensor:
        """Return the loss of each entry of a batch, shape (N,)."""

    def describe(self) -> str:
        """Return what the objective is, to tell it from others."""


@dataclass(frozen=True)
class Denoising:
    r"""Find the clean field :math:`x` behind a noisy one.

    With noise levels :math:`\sigma` drawn from the distribution of the model, noise :math:`n` and
    the denoiser :math:`D`,

    .. math::

        L = \lambda(\sigma)\, \langle |D(x + \sigma n; \sigma) - x|^2 \rangle, \qquad (1)

    where the preconditioning makes :math:`D - x = c_\mathrm{out}(\sigma)\, (F - F^*)` with the
    output :math:`F` of the network and what it should have been. So

    .. math::

        \lambda(\sigma) = 1 / c_\mathrm{out}(\sigma)^2
            = \frac{\sigma^2 + \sigma_d^2}{(\sigma\, \sigma_d)^2} \qquad (2)

    weighs the errors of the network equally at all levels.

    References
    ----------
    Karras et al., 2022, arXiv:2206.00364, equation 8 and appendix B.6; Ho et al., 2020,
    arXiv:2006.11239, equation 14, for the prediction of the noise.
    """

    diffusion: Diffusion

    def draw(self, generator: np.random.Generator, batch: Batch) -> tuple[torch.Tensor, ...]:
        shape = self.shape_of(batch)
        sigma = draw_sigma(generator, shape[0], self.diffusion)
        return sigma, torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))

    def shape_of(self, batch: Batch) -> tuple[int, ...]:
        """Return the shape of what is denoised, (N, V, H, W)."""
        return tuple(batch.target.shape)

    def describe(self) -> str:
        return "denoising"

    def losses(self, network: nn.Module, batch: Batch, *drawn: torch.Tensor) -> torch.Tensor:
        (sigma, noise), clean = drawn, batch.target
        denoised = denoise(
            lambda noisy, label: evaluate(network, batch.conditions, noisy, label),
            clean + sigma[:, None, None, None] * noise,
            sigma,
            self.diffusion,
        )
        weight = loss_weight(sigma, self.diffusion)
        denoised, scale = known_only(denoised, batch)
        return weight * scale * squared(denoised, clean)


@dataclass(frozen=True)
class LatentDenoising(Denoising):
    """Find the clean latent field, of a trained autoencoder, behind a noisy one."""

    autoencoder: nn.Module
    normalization: Transform

    def shape_of(self, batch: Batch) -> tuple[int, ...]:
        channels = int(self.autoencoder.latent_channels)  # type: ignore[arg-type]
        return latent_shape(batch.target, channels, self._scale)

    def describe(self) -> str:
        return "denoising in a latent space"

    def losses(self, network: nn.Module, batch: Batch, *drawn: torch.Tensor) -> torch.Tensor:
        scale = self._scale
        with torch.no_grad():
            target = whole_pixels(batch.target, scale)
            latent = self.autoencoder.encode(target)  # type: ignore[operator]
            clean = self.normalization.apply(latent.float())
            channels = whole_pixels(batch.conditions.channels, scale)
            channels = nn.functional.avg_pool2d(channels, scale)
        coarse = replace(batch.conditions, channels=channels)
        return super().losses(network, Batch(clean, coarse, batch.times), *drawn)

    @property
    def _scale(self) -> int:
        return int(self.autoencoder.multiple)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Regression:
    """Find the target in one evaluation; with the squared error, its conditional mean."""

    loss: str
    factor: int

    def draw(self, generator: np.random.Generator, batch: Batch) -> tuple[torch.Tensor, ...]:
        return ()

    def describe(self) -> str:
        return f"regression {self.loss}"

    def losses(self, network: nn.Module, batch: Batch, *drawn: torch.Tensor) -> torch.Tensor:
        output, scale = known_only(evaluate(network, batch.conditions), batch)
        return scale * LOSSES[self.loss](output, batch.target, self.factor)


@dataclass(frozen=True)
class Reconstruction:
    """Compress a field and restore it.

    Parameters
    ----------
    weight
        Of the regularizer: the Kullback-Leibler divergence of a variational autoencoder, or the
        commitment to the code book of a quantizing one.
    channels
        Channels of the latent field.
    scale
        Pixels along the edge of a latent pixel.

    References
    ----------
    Rombach et al., 2022, arXiv:2112.10752; van den Oord et al., 2017, arXiv:1711.00937.
    """

    weight: float
    channels: int
    scale: int

    def draw(self, generator: np.random.Generator, batch: Batch) -> tuple[torch.Tensor, ...]:
        shape = latent_shape(batch.target, self.channels, self.scale)
        return (torch.from_numpy(generator.standard_normal(shape, dtype=np.float32)),)

    def describe(self) -> str:
        return f"reconstruction {self.weight:g}"

    def losses(self, network: Any, batch: Batch, *drawn: torch.Tensor) -> torch.Tensor:
        target = whole_pixels(batch.target, self.scale)
        restored, regularizer = network.reconstruction_terms(target, *drawn)
        height, width = batch.target.shape[-2:]
        output, scale = known_only(restored[..., :height, :width], batch)
        return scale * squared(output, batch.target) + self.weight * regularizer


def known_only(output: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | float]:
    """Return an output without errors where labels are missing, and what to multiply losses by.

    The first equals the target where that is not known. The second, shape (N,), turns a mean over
    all pixels into a mean over those that are known.
    """
    if batch.valid is None:
        return output, 1.0
    share = batch.valid.float().mean(dim=(1, 2, 3))
    return output.where(batch.valid, batch.target), 1 / share.clamp(min=1e-6)


def latent_shape(target: torch.Tensor, channels: int, scale: int) -> tuple[int, int, int, int]:
    """Return the shape of the latent field of a target (N, V, H, W)."""
    count, _, height, width = target.shape
    return count, channels, -(-height // scale), -(-width // scale)


def whole_pixels(fields: torch.Tensor, scale: int) -> torch.Tensor:
    """Return fields whose size is a multiple of a latent pixel, edges repeated."""
    pad = (0, -fields.shape[-1] % scale, 0, -fields.shape[-2] % scale)
    return nn.functional.pad(fields, pad, mode="replicate") if any(pad) else fields
