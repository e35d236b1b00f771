"""Training objectives."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from xdeepr.card import Diffusion
from xdeepr.downscaler import precondition


def draw_noise(
    generator: np.random.Generator, shape: tuple[int, ...], diffusion: Diffusion
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw noise levels and noise.

    Parameters
    ----------
    generator : numpy.random.Generator
        Source of randomness.
    shape : tuple of int
        (N, V, H, W).
    diffusion : Diffusion
        Distribution of the noise levels: log-normal.

    Returns
    -------
    sigma : torch.Tensor
        Shape (N,).
    noise : torch.Tensor
        Standard normal, shape `shape`.
    """
    count = shape[0]
    # stratified levels: each batch covers the distribution evenly, which calms the gradient
    uniform = (np.arange(count) + generator.random(count)) / count
    quantiles = torch.special.ndtri(torch.from_numpy(generator.permutation(uniform)))
    sigma = torch.exp(diffusion.log_mean + diffusion.log_std * quantiles).float()
    return sigma, torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))


def denoising_loss(
    network: nn.Module,
    residual: torch.Tensor,
    conditions: torch.Tensor,
    sigma: torch.Tensor,
    noise: torch.Tensor,
    sigma_data: float,
) -> torch.Tensor:
    """Return the weighted squared error of the denoiser for each entry of a batch.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    residual : torch.Tensor
        Clean normalized residual, shape (N, V, H, W).
    conditions : torch.Tensor
        Shape (N, C, H, W).
    sigma : torch.Tensor
        Noise levels, shape (N,).
    noise : torch.Tensor
        Standard normal, shape (N, V, H, W).
    sigma_data : float
        Standard deviation of the clean residual.

    Returns
    -------
    torch.Tensor
        Shape (N,).

    References
    ----------
    Karras et al., 2022, arXiv:2206.00364, equation 8, with weight
    (sigma² + sigma_data²) / (sigma · sigma_data)².
    """
    column = sigma[:, None, None, None]
    clean = precondition(network, residual + column * noise, sigma, conditions, sigma_data)
    weight = (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
    return weight * (clean - residual).square().mean(dim=(1, 2, 3))
