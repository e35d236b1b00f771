"""Reverse diffusion: schedules and solvers as functions of a denoiser.

Four things are kept apart: the *schedule* (list of noise levels) and the *solver* (integrator)
come from a ``diffusers`` scheduler class; the *denoiser* D(x; sigma) is any function that maps
a noisy field and its noise level to the expected clean field; the *network* is behind it.

A scheduler object keeps state, so a new one is made for every call.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from xdeepr.errors import OptionError
from xdeepr.solvers import SCHEDULERS, NoiseRange, Sampler

Denoiser = Callable[[torch.Tensor, float], torch.Tensor]
"""``D(x, sigma)``: x (N, V, H, W) with noise of standard deviation sigma -> E[clean | x]."""

NoiseSource = Callable[[int], torch.Tensor]
"""``noise(stream)``: standard normal noise (N, V, H, W); stream 0 starts, 1, 2, … follow."""


def make_scheduler(sampler: Sampler, levels: NoiseRange) -> Any:
    """Return a fresh diffusers scheduler with its timesteps set.

    Parameters
    ----------
    sampler : Sampler
        What to make.
    levels : NoiseRange
        Noise levels for the schedulers with continuous levels.

    Raises
    ------
    OptionError
        If the scheduler does not know one of the options.
    """
    # not `import diffusers`: the package replaces itself in sys.modules while it is imported, and
    # a thread that waits for another's import statement is given the object that was replaced
    diffusers = import_module("diffusers")
    cls = getattr(diffusers, sampler.name)
    options = {**SCHEDULERS[sampler.name]}
    if sampler.name.startswith("EDM"):
        options.update(vars(levels))
    if sampler.name == "DDIMScheduler":
        # it steps by the rounded-down quotient of the two numbers: one must divide the other
        options["num_train_timesteps"] = sampler.levels * -(-1000 // sampler.levels)
    options.update({k: v for k, v in sampler.options.items() if k != "eta"})
    unknown = sorted(set(options) - set(cls().config))
    if unknown:
        raise OptionError(
            f"sampler {sampler.name}: unknown option {unknown[0]!r}. It knows:"
            f" {', '.join(sorted(k for k in cls().config if not k.startswith('_')))}."
        )
    scheduler = cls(**options)
    scheduler.set_timesteps(sampler.levels)
    return scheduler


def sample(
    denoiser: Denoiser,
    noise: NoiseSource,
    sampler: Sampler,
    levels: NoiseRange | None = None,
) -> torch.Tensor:
    """Draw samples by integrating from pure noise to a clean field.

    Parameters
    ----------
    denoiser : callable
        ``D(x, sigma)`` with x = clean + sigma · noise.
    noise : callable
        ``noise(stream)`` gives standard normal noise; called once per stochastic step.
    sampler : Sampler
        Schedule and solver.
    levels : NoiseRange, optional
        Noise levels the denoiser was trained for.

    Returns
    -------
    torch.Tensor
        Shape and dtype of ``noise(0)``.
    """
    scheduler = make_scheduler(sampler, levels or NoiseRange())
    x = noise(0) * float(scheduler.init_noise_sigma)
    step_options = {"eta": sampler.options["eta"]} if "eta" in sampler.options else {}
    keyed = KeyedRandn(noise)
    for index, timestep in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(x, timestep)  # some schedulers insist on this call
        alpha, sigma = _noise_level(scheduler, index)
        clean = denoiser(x / alpha, sigma / alpha)
        output = _as_prediction(scheduler, clean, x, alpha, sigma)
        with keyed:  # not around the denoiser: it slows every torch function down
            x = scheduler.step(output, timestep, x, **step_options).prev_sample
    return x


def _noise_level(scheduler: Any, index: int) -> tuple[float, float]:
    """Return (alpha, sigma) of x = alpha · clean + sigma · noise at one step."""
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is None:  # DDPM, DDIM: only cumulative products, variance preserving
        kept = float(scheduler.alphas_cumprod[int(scheduler.timesteps[index])])
        return kept**0.5, (1 - kept) ** 0.5
    sigma = float(sigmas[index])
    if hasattr(scheduler, "_sigma_to_alpha_sigma_t") and not hasattr(
        scheduler, "precondition_noise"
    ):
        alpha = 1 / (1 + sigma**2) ** 0.5
        return alpha, sigma * alpha
    return 1.0, sigma


def _as_prediction(
    scheduler: Any, clean: torch.Tensor, x: torch.Tensor, alpha: float, sigma: float
) -> torch.Tensor:
    """Return what the scheduler takes as the network's output for this clean field."""
    if hasattr(scheduler, "precondition_outputs"):
        # EDM schedulers precondition by themselves (Karras et al., 2022, eq. 7): undo it.
        data = scheduler.config.sigma_data
        skip = data**2 / (sigma**2 + data**2)
        scale = sigma * data / (sigma**2 + data**2) ** 0.5
        return (clean - skip * x) / scale
    if scheduler.config.prediction_type == "epsilon":
        return (x - alpha * clean) / sigma
    return clean


class KeyedRandn(TorchFunctionMode):
    """Make a scheduler's own random draws come from a noise source.

    Some diffusers schedulers draw from ``torch.randn`` inside ``step`` and take no noise from
    outside. Inside this context (it holds for the current thread only) those draws are
    replaced by ``noise(1)``, ``noise(2)``, …, so that the result depends on position and seed
    and not on a stream's state.
    """

    def __init__(self, noise: NoiseSource) -> None:
        super().__init__()
        self.noise = noise
        self.drawn = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not torch.randn:
            return func(*args, **(kwargs or {}))
        self.drawn += 1
        drawn = self.noise(self.drawn)
        size = args or ((kwargs or {})["size"],)
        shape = tuple(size) if isinstance(size[0], int) else tuple(size[0])
        if shape != tuple(drawn.shape):
            raise RuntimeError(f"a scheduler drew noise of shape {shape}, not {tuple(drawn.shape)}")
        return drawn
