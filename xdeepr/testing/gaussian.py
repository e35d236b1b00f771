"""Gaussian targets, whose denoiser and posterior are known, and checks that rest on them.

For clean ~ N(m, C) everything that sampling is about has a closed form (Rasmussen and Williams,
2006, eq. A.6), so that solvers and guidance can be checked without any training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from xdeepr.sampling.guidance import Guidance, Tile, guided
from xdeepr.sampling.noise import NoiseKey, white_noise
from xdeepr.sampling.noise_levels import NoiseLevels
from xdeepr.sampling.sample import prepare, sample
from xdeepr.sampling.samplers import Sampler
from xdeepr.tiling.plan import Span


@dataclass(frozen=True)
class GaussianTarget:
    """Fields of one variable from a Gaussian distribution with any covariance.

    The mean is (H, W); the covariance is (H · W, H · W), in the order of ``mean.flatten()``.
    """

    mean: torch.Tensor
    covariance: torch.Tensor

    @classmethod
    def smooth(cls, size: int, *, length: float = 3.0, deviation: float = 0.5) -> GaussianTarget:
        """Return a target of `size` × `size` pixels, with a slope as its mean.

        All pixels have the same `deviation`; at the distance `length` the correlation is 1 / e.
        """
        at = torch.arange(size, dtype=torch.float64)
        y, x = (axis.flatten() for axis in torch.meshgrid(at, at, indexing="ij"))
        distance = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2).sqrt()
        return cls((0.3 + 0.1 * y).reshape(size, size), deviation**2 * (-distance / length).exp())

    def denoiser(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """Return E[clean | x] = m + C (C + sigma²)⁻¹ (x - m) for x (N, 1, H, W)."""
        return self._filtered(x, lambda variance: variance / (variance + sigma**2))

    def flow(self, x: torch.Tensor, sigma: float, after: float = 0.0) -> torch.Tensor:
        """Return where the probability flow from x at `sigma` has come to at the level `after`.

        In the eigenvectors of C, dx/dsigma = (x - D) / sigma = sigma (x - m) / (variance + sigma²),
        so that x - m grows as the root of (variance + sigma²).
        """
        return self._filtered(
            x, lambda variance: ((variance + after**2) / (variance + sigma**2)).sqrt()
        )

    def given_means(self, factor: int, means: torch.Tensor) -> GaussianTarget:
        """Return the distribution given the mean of each block of `factor` × `factor` pixels."""
        pixels = torch.eye(self.mean.numel(), dtype=self.mean.dtype)
        maps = pixels.reshape(-1, 1, *self.mean.shape)
        observe = torch.nn.functional.avg_pool2d(maps, factor).flatten(1).T  # (blocks, pixels)
        gain = torch.linalg.solve(observe @ self.covariance @ observe.T, observe @ self.covariance)
        missed = means.flatten().to(self.mean) - observe @ self.mean.flatten()
        return GaussianTarget(
            self.mean + (gain.T @ missed).reshape(self.mean.shape),
            self.covariance - gain.T @ observe @ self.covariance,
        )

    def _filtered(
        self, x: torch.Tensor, factors: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Return m + U f(variances) Uᵀ (x - m), with the eigenvectors U of C."""
        variances, vectors = torch.linalg.eigh(self.covariance)
        anomaly = (x.double() - self.mean).flatten(1) @ vectors
        filtered = anomaly * factors(variances.clamp(min=0)) @ vectors.T
        return (self.mean + filtered.reshape(x.shape)).to(x.dtype)


def keyed_noise(
    stream: int,
    *,
    members: Sequence[int] = (0,),
    origin: tuple[int, int] = (0, 0),
    shape: tuple[int, int] = (64, 64),
) -> torch.Tensor:
    """Return keyed noise of some members on a window, (members, 1, H, W): a source for solvers."""
    fields = [white_noise(NoiseKey(1, member, 0, 0, stream), origin, shape) for member in members]
    return torch.from_numpy(np.stack(fields))[:, None]


MEAN, DEVIATION = 0.7, 0.5
"""Of the pixels of the target of :func:`check_solver`, which are independent of each other."""


def pixel_denoiser(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return E[clean | x] for independent pixels from N(MEAN, DEVIATION²)."""
    return (DEVIATION**2 * x + sigma**2 * MEAN) / (DEVIATION**2 + sigma**2)


def check_solver(
    solver: str | Sampler, *, steps: int = 300, trained: NoiseLevels | None = None
) -> None:
    """Check what xdeepr needs of a solver, on a target whose denoiser is exact.

    Parameters
    ----------
    solver : str or Sampler
        A name of the registry, or a sampler with options.
    steps : int, default: 300
        So many that mean and standard deviation are those of the target, to 0.02 and 5 %.
    trained : NoiseLevels, optional
        Noise levels of the model.

    Raises
    ------
    AssertionError
        Says what is wrong: mean or spread, number of evaluations, a result that changes from call
        to call, with the batch or where it is cut out of a larger domain, or another dtype.
    """
    given = solver if isinstance(solver, Sampler) else Sampler(solver)
    fine, few = (Sampler(given.name, n, given.options) for n in (steps, max(8, given.solver.least)))
    levels = trained or NoiseLevels()
    out = sample(pixel_denoiser, partial(keyed_noise, shape=(128, 128)), fine, levels)
    mean, deviation = float(out.mean()), float(out.std())
    _need(abs(mean - MEAN) < 0.02, f"the mean is {mean:.3f}, not {MEAN}")
    spread = deviation / DEVIATION - 1
    _need(abs(spread) < 0.05, f"the standard deviation is off by {100 * spread:.1f} %")

    calls: list[float] = []

    def counted(x: torch.Tensor, sigma: float) -> torch.Tensor:
        calls.append(sigma)
        return pixel_denoiser(x, sigma)

    whole = sample(counted, keyed_noise, few, levels)
    counts = f"{len(calls)} evaluations, where {few.evaluations} are promised"
    _need(len(calls) == few.evaluations, counts)
    visited = prepare(few, levels)[0]
    _need(list(visited) == sorted(visited, reverse=True), "its noise levels do not descend")

    torch.manual_seed(len(calls))  # must not matter
    again = sample(pixel_denoiser, keyed_noise, few, levels)
    _need(torch.equal(again, whole), "it draws noise that does not come from noise(stream)")
    many = sample(pixel_denoiser, partial(keyed_noise, members=(2, 0, 1)), few, levels)
    _need(torch.allclose(many[1:2], whole, 1e-5, 1e-5), "it depends on the batch")
    window = partial(keyed_noise, origin=(8, 5), shape=(21, 30))
    part = sample(pixel_denoiser, window, few, levels)
    cut = whole[..., 8:29, 5:35]
    _need(torch.allclose(part, cut, 1e-5, 1e-5), "it depends on the size of the domain")
    double = sample(pixel_denoiser, lambda s: keyed_noise(s).double(), few, levels)
    _need(double.dtype == torch.float64, f"it makes {double.dtype} of float64")


def check_guidance(term: Guidance, tiles: Sequence[Tile], target: GaussianTarget) -> None:
    """Check what xdeepr needs of a guidance term, on tiles of a target whose denoiser is exact.

    Parameters
    ----------
    term : Guidance
        The term.
    tiles : sequence of Tile
        At least two, of the size of the target.
    target : GaussianTarget
        Gives the denoiser.

    Raises
    ------
    AssertionError
        Says what is wrong: no description, a correction of another shape, one that depends on the
        other tiles of a batch, on earlier calls, or is not finite, or a gradient that leaks out.
    """
    text = term.describe()
    _need(isinstance(text, str) and text and "\n" not in text, "describe() gives no line of text")
    shape = (len(tiles), 1, *target.mean.shape)
    x = keyed_noise(0, members=range(len(tiles)), shape=shape[2:])

    def correct(sigma: float, chosen: slice) -> torch.Tensor:
        denoiser = partial(target.denoiser, sigma=sigma)
        return guided(denoiser, sigma * x[chosen], sigma, (term,), tiles[chosen])

    for sigma in (20.0, 1.0, 0.05):
        together = correct(sigma, slice(None))
        _need(together.shape == x.shape, f"the corrected estimate has shape {together.shape}")
        _need(bool(together.isfinite().all()), f"it is not finite at sigma={sigma}")
        _need(not together.requires_grad, "the corrected estimate carries a gradient")
        alone = torch.cat([correct(sigma, slice(n, n + 1)) for n in range(len(tiles))])
        close = torch.allclose(together, alone, 1e-4, 1e-4)
        _need(close, f"at sigma={sigma} it depends on the other tiles of a batch")
        again = correct(sigma, slice(None))
        _need(torch.equal(again, together), f"at sigma={sigma} it depends on earlier calls")


def whole_tile(target: GaussianTarget, factor: int, *, realization: int = 0) -> Tile:
    """Return a tile that is the whole domain of a target, at time 0."""
    height, width = target.mean.shape
    return Tile(Span(0, height), Span(0, width), 0, realization, factor)


def _need(fine: object, wrong: str) -> None:
    if not fine:
        raise AssertionError(wrong)
