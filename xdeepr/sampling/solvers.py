"""Solvers as plain functions of a denoiser, and the registry that knows them by name.

A solver integrates from pure noise to a clean field along a list of noise levels:
``solve(denoiser, x, noise_levels, noise, **options)``, see :data:`Solve`. One of your own is a
function and a line in :data:`SOLVERS`. The schedulers of diffusers come through
:mod:`xdeepr.sampling.diffusers_solvers`, which has this signature too.

Plain arithmetic of tensors: importing this loads no torch.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from xdeepr.sampling.noise_levels import NoiseLevels

if TYPE_CHECKING:
    import torch

Denoiser = Callable[["torch.Tensor", float], "torch.Tensor"]
"""``denoiser(x, sigma)``: x (N, V, H, W) with noise of deviation sigma -> E[clean | x]."""

NoiseSource = Callable[[int], "torch.Tensor"]
"""``noise(stream)``: standard normal noise (N, V, H, W); stream 0 starts, 1, 2, … are for the
steps. The same stream always gives the same noise, whatever was asked for before."""

Solve = Callable[..., "torch.Tensor"]
"""``solve(denoiser, x, noise_levels, noise, **options) -> clean``.

`x` is standard normal noise (N, V, H, W), not scaled yet; `noise_levels` descend, mostly to 0.
All randomness has to come from `noise`: then the result depends on seed, member, time and place
alone. A solver treats every pixel alike: it may not look at the field as a whole.
"""

Cost = Literal["N", "N + 1", "2N − 1"]
"""Network evaluations of a realization with N steps."""

_EVALUATIONS: dict[str, Callable[[int], int]] = {
    "N": lambda steps: steps,
    "N + 1": lambda steps: steps + 1 if steps > 1 else 1,
    "2N − 1": lambda steps: 2 * steps - 1,
}


@dataclass(frozen=True, kw_only=True)
class SolverFacts:
    """What is known of a solver, whoever wrote it.

    Parameters
    ----------
    note : str
        For the table of :doc:`/howto/samplers`.
    draws : {"no", "yes", "option"}
        Whether it draws noise on the way; "option": if one of its options says so.
    steps : int
        Default number of steps.
    least : int
        Fewest steps.
    cost : {"N", "N + 1", "2N − 1"}
        Network evaluations for N steps.
    """

    note: str
    draws: Literal["no", "yes", "option"] = "no"
    steps: int = 10
    least: int = 1
    cost: Cost = "N"

    def evaluations(self, steps: int) -> int:
        """Return the number of network evaluations (NFE) for one realization."""
        return _EVALUATIONS[self.cost](steps)


@dataclass(frozen=True, kw_only=True)
class Solver(SolverFacts):
    """A solver that is a function.

    Parameters
    ----------
    solve : callable
        See :data:`Solve`. Its options are its keyword-only parameters.
    """

    solve: Solve

    @property
    def options(self) -> dict[str, Any]:
        """Name -> default of what may be given with the sampler."""
        return _options(self.solve)


def _options(function: Callable[..., Any]) -> dict[str, Any]:
    """Return name -> default of the keyword-only parameters of a function."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def heun_churn(
    denoiser: Denoiser,
    x: torch.Tensor,
    noise_levels: Sequence[float],
    noise: NoiseSource,
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> torch.Tensor:
    """Integrate with Heun's second-order steps, each after adding some noise.

    Parameters
    ----------
    denoiser, x, noise_levels, noise
        See :data:`Solve`.
    s_churn : float, default: 0
        How much noise is added on the whole, and taken out again; 0 makes it deterministic.
    s_tmin, s_tmax : float
        Noise levels between which noise is added.
    s_noise : float, default: 1
        Standard deviation of the noise that is added.

    References
    ----------
    Karras et al., 2022, arXiv:2206.00364, algorithm 2; its lines are cited.
    """
    x = x * noise_levels[0]  # line 2: x_0 ~ N(0, t_0²)
    steps = len(noise_levels) - 1
    for i, (t, t_next) in enumerate(pairwise(noise_levels)):
        gamma = min(s_churn / steps, math.sqrt(2) - 1) if s_tmin <= t <= s_tmax else 0.0
        t_hat = t + gamma * t  # line 5
        if gamma > 0:
            # line 6: x^ = x + sqrt(t^² - t²) e_i, e_i the i-th noise whatever came before
            x = x + math.sqrt(t_hat**2 - t**2) * s_noise * noise(i + 1)
        slope = (x - denoiser(x, t_hat)) / t_hat  # line 7: dx/dt at t^
        after = x + (t_next - t_hat) * slope  # line 8
        if t_next > 0:  # lines 9 to 11: the trapezoidal rule
            slope_after = (after - denoiser(after, t_next)) / t_next
            after = x + (t_next - t_hat) * (slope + slope_after) / 2
        x = after
    return x


SOLVERS: dict[str, Solver] = {
    "heun-churn": Solver(
        solve=heun_churn,
        note="Heun on Karras levels, second order; `s_churn` adds noise and takes it out again",
        draws="option",
        steps=20,
        cost="2N − 1",
    ),
}
"""Name -> solver. A line here is all that a new one needs:
``SOLVERS["mine"] = Solver(solve=mine, note="…")`` makes it ``sampler="mine"``."""

LEVEL_OPTIONS: Mapping[str, Any] = _options(NoiseLevels.descending)
"""Options that all solvers here have, and their defaults: where their noise levels lie."""
