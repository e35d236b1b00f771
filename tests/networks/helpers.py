"""What the tests of all U-Nets share."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

TIMES = {"hour": "class", "day_of_year": "timestep"}


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers, the same in every run."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def roughen(network: nn.Module, scale: float = 0.05, seed: int = 1) -> nn.Module:
    """Disturb all weights: those that start at zero would hide what comes before them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)
    return network


def untouched(network: nn.Module, output: torch.Tensor) -> list[str]:
    """Names of the parameters that the gradient of an output does not reach."""
    output.square().sum().backward()
    return [
        name
        for name, p in network.named_parameters()
        if p.requires_grad and (p.grad is None or not bool((p.grad != 0).any()))
    ]


def of_deepr(cls: Any, config: dict[str, Any]) -> Any:
    """The network of a published ``config.json``, with fresh weights."""
    return cls(**cls.keywords_of_deepr(config))
