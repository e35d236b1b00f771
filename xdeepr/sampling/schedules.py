"""Discrete noise schedules: which noise level a timestep stands for. NumPy only."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xdeepr.checks import one_of, whole_number
from xdeepr.errors import OptionError

ZERO_SNR = 2.0**-24
"""What stands for a cumulative product of zero, as in diffusers: noise-to-signal ratio 4096."""

MOST_TIMESTEPS = 100_000
"""Of a schedule, or steps of a solver: a hundred times as many as models are trained with."""

KEYWORDS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)


class DiscreteSchedule:
    """Noise levels of a model trained on discrete timesteps, as in diffusers' schedulers.

    At timestep t the network saw ``sqrt(a) · clean + sqrt(1 - a) · noise`` with the cumulative
    product ``a = (1 - beta_0) ⋯ (1 - beta_t)``; divided by sqrt(a) this is
    ``clean + sigma · noise`` with ``sigma = sqrt((1 - a) / a)``.

    Parameters
    ----------
    beta_start, beta_end : float
        First and last beta.
    beta_schedule : {"linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"}
        How beta grows from the first to the last; "squaredcos_cap_v2" and "laplace" need neither
        (Nichol & Dhariwal, 2021, arXiv:2102.09672; Hang et al., 2024, arXiv:2407.03297).
    trained_betas : sequence of float, optional
        The betas themselves, in place of the above.
    rescale_betas_zero_snr : bool, default: False
        Let the last level be pure noise (Lin et al., 2023, arXiv:2305.08891, algorithm 1). Its
        cumulative product of 0 is kept as 2⁻²⁴, as in diffusers, so that its sigma is 4096 and
        not infinite; or as a quarter of the product before it, if that is even less.
    **unknown
        Refused with the nearest known keyword.

    Attributes
    ----------
    betas, alphas_cumprod, sigmas : numpy.ndarray
        One float64 for each timestep; `sigmas` ascend with the timestep.
    zero_snr : bool
        Whether the last level is pure noise.

    Raises
    ------
    OptionError
        For an unknown keyword or schedule, and for betas that are no variances.
    """

    def __init__(
        self,
        *,
        num_train_timesteps: int | None = None,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: Sequence[float] | np.ndarray | None = None,
        rescale_betas_zero_snr: bool = False,
        **unknown: Any,
    ) -> None:
        for key in unknown:
            one_of("keyword of a schedule", key, KEYWORDS)
        if trained_betas is not None:
            betas = np.asarray(trained_betas, dtype=np.float64).ravel()
            if num_train_timesteps not in (None, betas.size):
                raise OptionError(
                    f"schedule: num_train_timesteps={num_train_timesteps}, but trained_betas has"
                    f" {betas.size} values: leave num_train_timesteps out."
                )
        else:
            count = 1000 if num_train_timesteps is None else num_train_timesteps
            whole_number("num_train_timesteps", count, least=2, most=MOST_TIMESTEPS)
            known = one_of("beta_schedule", beta_schedule, _BETAS)
            betas = _BETAS[known](int(count), beta_start, beta_end)
        if betas.size < 2 or not (np.isfinite(betas) & (betas > 0) & (betas <= 1)).all():
            raise OptionError(
                "schedule: each beta must be a variance between 0 and 1, and there must be two of"
                f" them (beta_start={beta_start}, beta_end={beta_end}, {betas.size} values)."
            )
        kept = np.cumprod(1 - betas)
        if rescale_betas_zero_snr:
            kept = _zero_terminal(kept)
        self.zero_snr = bool(kept[-1] <= 0)
        if self.zero_snr:  # the one before may be below 2⁻²⁴ already, and the levels must ascend
            kept[-1] = min(ZERO_SNR, kept[-2] / 4)
        self.alphas_cumprod = kept
        self.betas = 1 - self.alphas_cumprod / np.append(1.0, self.alphas_cumprod[:-1])
        self.sigmas = np.sqrt((1 - self.alphas_cumprod) / self.alphas_cumprod)
        self._log_sigmas = np.log(self.sigmas)

    def __len__(self) -> int:
        return int(self.sigmas.size)

    @property
    def sigma_min(self) -> float:
        """Smallest noise-to-signal ratio, at timestep 0."""
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        """Greatest noise-to-signal ratio, at the last timestep."""
        return float(self.sigmas[-1])

    def timestep(self, sigma: float | np.ndarray) -> np.ndarray:
        """Return the timestep of a noise-to-signal ratio, float64 of the same shape.

        Linear in log(sigma) between the timesteps, and clipped to the first and the last.
        """
        level = np.log(np.clip(sigma, self.sigma_min, self.sigma_max))
        return np.interp(level, self._log_sigmas, np.arange(len(self), dtype=np.float64))

    def sigma(self, timestep: float | np.ndarray) -> np.ndarray:
        """Return the noise-to-signal ratio of a timestep, which is clipped to the last."""
        nodes = np.arange(len(self), dtype=np.float64)
        return np.exp(np.interp(timestep, nodes, self._log_sigmas))


def as_schedule(schedule: DiscreteSchedule | Mapping[str, Any] | None) -> DiscreteSchedule:
    """Make a schedule of its keywords; equal keywords give the same object, None the defaults."""
    if isinstance(schedule, DiscreteSchedule):
        return schedule
    plain = {
        key: np.asarray(value).tolist() if key == "trained_betas" and value is not None else value
        for key, value in (schedule or {}).items()
    }
    return _cached(json.dumps(plain, sort_keys=True))


@functools.lru_cache(maxsize=16)
def _cached(keywords: str) -> DiscreteSchedule:
    return DiscreteSchedule(**json.loads(keywords))


def _sigmoid(count: int, start: float, end: float) -> np.ndarray:
    return start + (end - start) / (1 + np.exp(-np.linspace(-6, 6, count)))


def _from_signal(kept: np.ndarray) -> np.ndarray:
    """Betas from the signal's share at the ends of the timesteps; the cap keeps some signal."""
    return np.minimum(1 - kept[1:] / kept[:-1], 0.999)


def _cosine(count: int, start: float, end: float) -> np.ndarray:
    time = np.arange(count + 1) / count
    return _from_signal(np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2)


def _laplace(count: int, start: float, end: float) -> np.ndarray:
    offset = np.arange(count + 1) / count - 0.5
    snr = np.exp(0.5 * np.copysign(1, offset) * np.log(1 - 2 * np.abs(offset) + 1e-6))
    return _from_signal(np.sqrt(snr / (1 + snr)))


_BETAS: dict[str, Callable[[int, float, float], np.ndarray]] = {
    "linear": lambda count, start, end: np.linspace(start, end, count),
    "scaled_linear": lambda count, start, end: np.linspace(start**0.5, end**0.5, count) ** 2,
    "squaredcos_cap_v2": _cosine,
    "sigmoid": _sigmoid,
    "laplace": _laplace,
}


def _zero_terminal(kept: np.ndarray) -> np.ndarray:
    """Shift and stretch the signal's amplitude so that it ends at 0 and starts where it did."""
    amplitude = np.sqrt(kept)
    stretched = (amplitude - amplitude[-1]) * amplitude[0] / (amplitude[0] - amplitude[-1])
    return stretched**2
