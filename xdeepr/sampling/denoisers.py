"""From a network's output to the clean field: what the network was trained to predict.

With x = clean + sigma · noise, ``edm`` is the preconditioning of Karras et al. (2022,
arXiv:2206.00364); the others see the variance-preserving x / sqrt(1 + sigma²) and the timestep
of a :class:`xdeepr.sampling.schedules.DiscreteSchedule`, and predict

* ``epsilon``: the noise (Ho et al., 2020, arXiv:2006.11239);
* ``v_prediction``: (noise - sigma · clean) / sqrt(1 + sigma²) (Salimans & Ho, 2022,
  arXiv:2202.00512);
* ``sample``: the clean field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from xdeepr.sampling.noise_levels import NoiseLevels
from xdeepr.sampling.schedules import DiscreteSchedule

NetworkCall = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""``call(inputs, noise_label)``: scaled noisy field (N, V, H, W) -> output of that shape. The label
(N,) is ln(sigma) / 4 for ``edm`` and else the timestep, which may lie between two."""

Level = TypeVar("Level", float, torch.Tensor)


def denoise(
    call: NetworkCall, x: torch.Tensor, sigma: float | torch.Tensor, levels: NoiseLevels
) -> torch.Tensor:
    """Return D(x; sigma), the expected clean field of x = clean + sigma · noise, (N, V, H, W).

    The noise level is one for all entries, or has shape (N,).

    Notes
    -----
    ``edm``: with s = sigma and d = sigma_data, the network F sees and gives fields of variance 1
    at every level (Karras et al., 2022, arXiv:2206.00364, eq. 7 and table 1):

        D(x; s) = c_skip x + c_out F(c_in x; ln(s) / 4),
        c_in = 1 / sqrt(s² + d²),  c_skip = d² / (s² + d²),  c_out = s d / sqrt(s² + d²).

    c_in makes the input's variance 1; c_skip x is the best linear estimate of the clean field, and
    c_out² the variance of its error, which is left to F (appendix B.6 there).

    The others: with a = 1 / (1 + s²) the network sees sqrt(a) x, and D follows from
    x = clean + s noise and the definition of the prediction. Beyond the last timestep a discrete
    network knows no more than there, so there D is taken from x scaled down to the last noise
    level: the network sees the same input, and an error of its estimate of the noise is not blown
    up.
    """
    level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(x.shape[0])
    column = level.reshape(-1, 1, 1, 1)
    if not levels.discrete:
        data = levels.sigma_data
        total = column**2 + data**2
        output = call(x / total.sqrt(), level.log() / 4)
        return data**2 / total * x + column * data / total.sqrt() * output.to(x.dtype)
    steps = levels.timesteps()
    inputs = x / (1 + column**2).sqrt()
    output = call(inputs, _labels(steps, sigma, level)).to(x.dtype)
    column = column.clamp(max=steps.sigma_max)
    if levels.prediction == "epsilon":  # x - s noise
        return inputs * (1 + column**2).sqrt() - column * output
    if levels.prediction == "v_prediction":  # v = (noise - s clean) / sqrt(1 + s²)
        return (inputs - column * output) / (1 + column**2).sqrt()
    return output


def _labels(
    schedule: DiscreteSchedule, sigma: float | torch.Tensor, level: torch.Tensor
) -> torch.Tensor:
    """Return the timestep of each entry; a float sigma is not rounded to the field's precision."""
    if isinstance(sigma, torch.Tensor):
        timesteps = schedule.timestep(level.detach().double().cpu().numpy())
    else:
        timesteps = np.full(level.shape, schedule.timestep(sigma))
    return torch.from_numpy(timesteps).to(level)


def loss_weight(sigma: Level, levels: NoiseLevels) -> Level:
    """Return the weight of (D - clean)² that makes it the plain squared error of the output.

    Notes
    -----
    D depends on the output F by c_out F alone (see :func:`denoise`), so that
    (D - clean)² = c_out² (F - target)²: the weight is 1 / c_out², which is the λ(sigma) of Karras
    et al. (2022, arXiv:2206.00364, eq. 8). For ``epsilon`` c_out is sigma, for ``v_prediction``
    sigma / sqrt(1 + sigma²), for ``sample`` 1.
    """
    if not levels.discrete:
        data = levels.sigma_data
        return (sigma**2 + data**2) / (sigma * data) ** 2
    if levels.prediction == "epsilon":
        return 1 / sigma**2
    if levels.prediction == "v_prediction":
        return (1 + sigma**2) / sigma**2
    return 0 * sigma + 1


def draw_sigma(generator: np.random.Generator, count: int, levels: NoiseLevels) -> torch.Tensor:
    """Draw the noise levels of a training batch, float32 of shape (count,).

    Log-normal levels for ``edm``, else equally probable timesteps. They are stratified: each batch
    covers the distribution evenly, which calms the gradient.
    """
    uniform = (np.arange(count) + generator.random(count)) / count
    shuffled = generator.permutation(uniform)
    if not levels.discrete:
        quantiles = torch.special.ndtri(torch.from_numpy(shuffled))
        return torch.exp(levels.log_mean + levels.log_std * quantiles).float()
    schedule = levels.timesteps()
    chosen = np.minimum(shuffled * len(schedule), len(schedule) - 1).astype(int)
    return torch.from_numpy(schedule.sigmas[chosen]).float()
