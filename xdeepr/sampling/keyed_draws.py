"""Make the random draws of a foreign solver come from a noise source; torch's private door."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from xdeepr.sampling.solvers import NoiseSource

_OTHER_DRAWS = {
    *(torch.rand, torch.rand_like, torch.randint, torch.randint_like, torch.randperm),
    *(torch.normal, torch.bernoulli, torch.multinomial, torch.poisson),
    *(torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.bernoulli_, torch.Tensor.random_),
}


class KeyedRandn(TorchFunctionMode):
    """Make a scheduler's own random draws come from a noise source.

    Some diffusers schedulers draw from ``torch.randn`` inside ``step`` and take no noise from
    outside. Inside this context (it holds for the current thread only) those draws are
    replaced by ``noise(1)``, ``noise(2)``, …, so that the result depends on position and seed
    and not on a stream's state. Any other draw is an error.
    """

    def __init__(self, noise: NoiseSource) -> None:
        super().__init__()
        self.noise = noise
        self.drawn = 0

    def draw(self) -> torch.Tensor:
        """Return the next noise."""
        self.drawn += 1
        return self.noise(self.drawn)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _OTHER_DRAWS:
            raise RuntimeError(
                f"a scheduler drew from {func.__name__}, which cannot be keyed: take another"
                " sampler, and please report this one."
            )
        if func is torch.randn:
            size = args or (kwargs["size"],)
            shape = tuple(size) if isinstance(size[0], int) else tuple(size[0])
        elif func is torch.randn_like:
            shape = tuple((args[0] if args else kwargs["input"]).shape)
        else:
            return func(*args, **kwargs)
        drawn = self.draw()
        if shape != tuple(drawn.shape):
            raise RuntimeError(f"a scheduler drew noise of shape {shape}, not {tuple(drawn.shape)}")
        return drawn


class KeyedBrownian:
    """Increments of one Brownian path over noise levels, in place of diffusers' Brownian tree.

    One noise is drawn for each level that is new to the path.
    """

    def __init__(self, keyed: KeyedRandn) -> None:
        self.keyed = keyed
        self.path: list[tuple[float, torch.Tensor | float]] = []

    def __call__(
        self, sigma: float | torch.Tensor, sigma_next: float | torch.Tensor
    ) -> torch.Tensor:
        """Return the increment between two levels, divided by its standard deviation."""
        start, end = float(sigma), float(sigma_next)
        before = self._at(start)
        return torch.as_tensor(self._at(end) - before) / abs(start - end) ** 0.5

    def _at(self, sigma: float) -> torch.Tensor | float:
        """Return the path at a level: known already, or below all that are known."""
        if not self.path:
            self.path.append((sigma, 0.0))
        for known, value in self.path:
            if abs(known - sigma) <= 1e-5 * known:  # levels go through logarithms and back
                return value
        known, value = self.path[-1]
        if sigma > known:
            raise RuntimeError(f"a solver went back from noise level {known} to {sigma}")
        value = value + (known - sigma) ** 0.5 * self.keyed.draw()
        self.path = [*self.path[-2:], (sigma, value)]
        return value
