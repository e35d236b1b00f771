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

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from xdeepr.errors import OptionError
from xdeepr.sampling.schedules import DiscreteSchedule, as_schedule

PREDICTIONS = ("edm", "epsilon", "v_prediction", "sample")

NetworkCall = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""``call(inputs, noise_label)``: scaled noisy field (N, V, H, W), label (N,) -> output."""

Level = TypeVar("Level", float, torch.Tensor)


class NoiseModel(Protocol):
    """What :func:`draw_sigma` needs to know; :class:`xdeepr.models.card.Diffusion` has it."""

    @property
    def sigma_data(self) -> float:
        """Standard deviation of the clean field."""

    @property
    def log_mean(self) -> float:
        """Mean of log(sigma) in training, for ``edm``."""

    @property
    def log_std(self) -> float:
        """Standard deviation of log(sigma) in training, for ``edm``."""

    @property
    def prediction(self) -> str:
        """One of :data:`PREDICTIONS`."""

    @property
    def schedule(self) -> Mapping[str, Any]:
        """Keywords of the discrete schedule, for the other predictions."""


def denoise(
    call: NetworkCall,
    x: torch.Tensor,
    sigma: float | torch.Tensor,
    *,
    prediction: str = "edm",
    sigma_data: float = 1.0,
    schedule: DiscreteSchedule | Mapping[str, Any] | None = None,
) -> torch.Tensor:
    """Return D(x; sigma), the expected clean field.

    Parameters
    ----------
    call : callable
        The network with its conditions: ``call(inputs, noise_label)``, where `inputs` is the
        scaled noisy field and `noise_label` (N,) is log(sigma) / 4 for ``edm`` and else the
        timestep, which may lie between two.
    x : torch.Tensor
        clean + sigma · noise, shape (N, V, H, W).
    sigma : float or torch.Tensor
        Noise level, one for all or one for each entry, shape (N,).
    prediction : {"edm", "epsilon", "v_prediction", "sample"}
        What the network was trained to predict.
    sigma_data : float
        Standard deviation of the clean field, for ``edm``.
    schedule : DiscreteSchedule or mapping, optional
        The timesteps, for the others.

    Returns
    -------
    torch.Tensor
        Shape and dtype of `x`.

    Raises
    ------
    OptionError
        For an unknown prediction, and for ``epsilon`` on a schedule that ends in pure noise.

    Notes
    -----
    Beyond the last timestep a discrete network knows no more than there, so there D(x; sigma) is
    taken from x scaled down to the last noise level: the network sees the same input, and an
    error of its estimate of the noise is not blown up.

    References
    ----------
    Karras et al., 2022, arXiv:2206.00364, equation 7 and table 1.
    """
    check_prediction(prediction)
    level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(x.shape[0])
    column = level.reshape(-1, 1, 1, 1)
    if prediction == "edm":
        total = column**2 + sigma_data**2
        output = call(x / total.sqrt(), level.log() / 4)
        return sigma_data**2 / total * x + column * sigma_data / total.sqrt() * output.to(x.dtype)
    steps = _discrete(prediction, schedule)
    inputs = x / (1 + column**2).sqrt()
    output = call(inputs, _timesteps(steps, sigma, level)).to(x.dtype)
    column = column.clamp(max=steps.sigma_max)
    if prediction == "epsilon":
        return inputs * (1 + column**2).sqrt() - column * output
    if prediction == "v_prediction":
        return (inputs - column * output) / (1 + column**2).sqrt()
    return output


def _discrete(
    prediction: str, schedule: DiscreteSchedule | Mapping[str, Any] | None
) -> DiscreteSchedule:
    """Return the schedule, checked to suit the prediction."""
    steps = as_schedule(schedule)
    if prediction == "epsilon" and steps.zero_snr:
        raise OptionError(
            "prediction='epsilon' with rescale_betas_zero_snr=True: of pure noise nothing can be"
            " learned by naming the noise. Use prediction='v_prediction' or 'sample'."
        )
    return steps


def _timesteps(
    schedule: DiscreteSchedule, sigma: float | torch.Tensor, level: torch.Tensor
) -> torch.Tensor:
    """Return the label of each entry; a float sigma is not rounded to the field's precision."""
    if isinstance(sigma, torch.Tensor):
        found = schedule.timestep(level.detach().double().cpu().numpy())
    else:
        found = np.full(level.shape, schedule.timestep(sigma))
    return torch.from_numpy(found).to(level)


def training_target(
    prediction: str,
    clean: torch.Tensor,
    noise: torch.Tensor,
    sigma: torch.Tensor,
    sigma_data: float = 1.0,
) -> torch.Tensor:
    """Return what the network's raw output is compared with.

    Parameters
    ----------
    prediction : {"edm", "epsilon", "v_prediction", "sample"}
        What the network predicts.
    clean, noise : torch.Tensor
        Clean field and standard normal noise, shape (N, V, H, W).
    sigma : torch.Tensor
        Noise levels, shape (N,).
    sigma_data : float
        Standard deviation of the clean field, for ``edm``.

    Returns
    -------
    torch.Tensor
        Shape (N, V, H, W). Its mean squared error is ``loss_weight · (D - clean)²``.

    Raises
    ------
    OptionError
        For an unknown prediction.
    """
    check_prediction(prediction)
    column = sigma.reshape(-1, 1, 1, 1)
    if prediction == "epsilon":
        return noise
    if prediction == "sample":
        return clean
    if prediction == "v_prediction":
        return (noise - column * clean) / (1 + column**2).sqrt()
    # (clean - c_skip x) / c_out, without the difference of two near numbers for a small sigma
    spread = (column**2 + sigma_data**2).sqrt()
    return (column * clean - sigma_data**2 * noise) / (sigma_data * spread)


def loss_weight(prediction: str, sigma: Level, sigma_data: float = 1.0) -> Level:
    """Return the weight of (D - clean)² that makes it the plain squared error of the output.

    Parameters
    ----------
    prediction : {"edm", "epsilon", "v_prediction", "sample"}
        What the network predicts.
    sigma : float or torch.Tensor
        Noise level.
    sigma_data : float
        Standard deviation of the clean field, for ``edm``.

    Returns
    -------
    float or torch.Tensor
        As `sigma`.

    Raises
    ------
    OptionError
        For an unknown prediction.

    References
    ----------
    ``edm``: Karras et al., 2022, arXiv:2206.00364, equation 8.
    """
    check_prediction(prediction)
    if prediction == "edm":
        return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
    if prediction == "epsilon":
        return 1 / sigma**2
    if prediction == "v_prediction":
        return (1 + sigma**2) / sigma**2
    return 0 * sigma + 1


def draw_sigma(generator: np.random.Generator, count: int, diffusion: NoiseModel) -> torch.Tensor:
    """Draw the noise levels of a training batch.

    They are stratified: each batch covers the distribution evenly, which calms the gradient.

    Parameters
    ----------
    generator : numpy.random.Generator
        Source of randomness.
    count : int
        Entries of the batch.
    diffusion : NoiseModel
        Log-normal levels for ``edm``, equally probable timesteps of the schedule else.

    Returns
    -------
    torch.Tensor
        float32, shape (count,).

    Raises
    ------
    OptionError
        As :func:`denoise`.
    """
    check_prediction(diffusion.prediction)
    uniform = (np.arange(count) + generator.random(count)) / count
    shuffled = generator.permutation(uniform)
    if diffusion.prediction == "edm":
        quantiles = torch.special.ndtri(torch.from_numpy(shuffled))
        return torch.exp(diffusion.log_mean + diffusion.log_std * quantiles).float()
    schedule = _discrete(diffusion.prediction, diffusion.schedule)
    timesteps = np.minimum(shuffled * len(schedule), len(schedule) - 1).astype(int)
    return torch.from_numpy(schedule.sigmas[timesteps]).float()


def check_prediction(prediction: str) -> None:
    """Refuse an unknown prediction.

    Parameters
    ----------
    prediction : str
        Name to check.

    Raises
    ------
    OptionError
        With the nearest name.
    """
    if prediction not in PREDICTIONS:
        near = difflib.get_close_matches(str(prediction), PREDICTIONS, n=1, cutoff=0.0)[0]
        raise OptionError(
            f"prediction={prediction!r} is not one of {', '.join(PREDICTIONS)}. Did you mean"
            f" {near!r}?"
        )
