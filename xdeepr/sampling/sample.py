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
    """Draw samples, of the shape of ``noise(0)``, by integrating from pure noise to a clean field.

    The denoiser is called ``sampler.evaluations`` times. Which streams of noise are asked for
    depends on the sampler alone.
    """
    noise_levels, solve = prepare(sampler, trained or NoiseLevels())
    return solve(denoiser, noise(0), noise_levels, noise)


def prepare(sampler: Sampler, trained: NoiseLevels) -> tuple[Sequence[float], Solve]:
    """Return the noise levels that a sampler visits, and its solver for one call."""
    if isinstance(sampler.solver, Solver):
        spaced = {k: v for k, v in sampler.options.items() if k in LEVEL_OPTIONS}
        own = {k: v for k, v in sampler.options.items() if k not in LEVEL_OPTIONS}
        return trained.descending(sampler.levels, **spaced), partial(sampler.solver.solve, **own)
    from xdeepr.sampling.diffusers_solvers import SchedulerSolver  # loads torch and diffusers

    solver = SchedulerSolver(sampler, trained)
    return solver.noise_levels, solver
