"""Reverse diffusion: draw a field with a denoiser, a list of noise levels and a solver.

Four things are kept apart: the *noise levels* and the *solver* (integrator) follow from a
:class:`~xdeepr.sampling.samplers.Sampler`; the *denoiser* D(x; sigma) is any function that maps a
noisy field and its noise level to the expected clean field; the *network* is behind it.

Importing this loads no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from xdeepr.sampling.noise_levels import NoiseLevels
from xdeepr.sampling.samplers import Sampler
from xdeepr.sampling.solvers import LEVEL_OPTIONS, Denoiser, NoiseSource, Solve, Solver

if TYPE_CHECKING:
    import torch


def sample(
    denoiser: Denoiser,
    noise: NoiseSource,
    sampler: Sampler,
    trained: NoiseLevels | None = None,
) -> torch.Tensor:
    """Draw samples by integrating from pure noise to a clean field.

    Parameters
    ----------
    denoiser : callable
        ``D(x, sigma)`` with x = clean + sigma · noise; called ``sampler.evaluations`` times.
    noise : callable
        ``noise(stream)`` gives standard normal noise; which streams are asked for depends on the
        sampler alone.
    sampler : Sampler
        Solver, steps and options.
    trained : NoiseLevels, optional
        Noise levels the denoiser was trained for.

    Returns
    -------
    torch.Tensor
        Shape and dtype of ``noise(0)``.
    """
    noise_levels, solve = prepare(sampler, trained or NoiseLevels())
    return solve(denoiser, noise(0), noise_levels, noise)


def prepare(sampler: Sampler, trained: NoiseLevels) -> tuple[Sequence[float], Solve]:
    """Return the noise levels that a sampler visits, and its solver for one call.

    Parameters
    ----------
    sampler : Sampler
        Solver, steps and options.
    trained : NoiseLevels
        Noise levels of the model.

    Raises
    ------
    OptionError
        If an option is unknown or has a value that the solver or diffusers refuses, or the
        installed diffusers lacks the scheduler.
    """
    if isinstance(sampler.solver, Solver):
        spaced = {k: v for k, v in sampler.options.items() if k in LEVEL_OPTIONS}
        own = {k: v for k, v in sampler.options.items() if k not in LEVEL_OPTIONS}
        return trained.descending(sampler.levels, **spaced), partial(sampler.solver.solve, **own)
    from xdeepr.sampling.diffusers_solvers import SchedulerSolver  # loads torch and diffusers

    solver = SchedulerSolver(sampler, trained)
    return solver.noise_levels, solver
