"""Call networks of both families on fields of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from xdeepr.errors import GridError
from xdeepr.networks.padding import padded_call


@dataclass(frozen=True)
class Conditions:
    """The conditions of a batch of tiles; everything is normalized.

    Parameters
    ----------
    channels : torch.Tensor
        Maps on the HR grid, shape (N, C, H, W). The interpolated predictors come first.
    labels : torch.Tensor, optional
        Features of the time as numbers, shape (N, L).
    lr : torch.Tensor, optional
        Predictors with their context, shape (N, P, y, x), if the network :func:`needs_lr`.
    covariates : torch.Tensor, optional
        The channels but the predictors on whole LR cells, shape (N, C − P, n · factor,
        m · factor), if the network :func:`works_on_lr`.
    offsets : sequence of (int, int)
        HR pixels from the first whole LR cell to the tile, along y and x.
    """

    channels: torch.Tensor
    labels: torch.Tensor | None = None
    lr: torch.Tensor | None = None
    covariates: torch.Tensor | None = None
    offsets: Sequence[tuple[int, int]] = ()

    def to(self, device: torch.device) -> Conditions:
        """Return the conditions on a device."""
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, torch.Tensor)
        }
        return replace(self, **moved)

    @staticmethod
    def join(parts: Sequence[Conditions]) -> Conditions:
        """Return the conditions of several batches as one."""
        if len(parts) == 1:
            return parts[0]

        def cat(name: str) -> torch.Tensor | None:
            tensors = [getattr(part, name) for part in parts]
            return None if tensors[0] is None else torch.cat(tensors)

        offsets = [offset for part in parts for offset in part.offsets]
        channels = torch.cat([part.channels for part in parts])
        return Conditions(channels, cat("labels"), cat("lr"), cat("covariates"), offsets)


def needs_lr(network: Any) -> bool:
    """Whether a network is given the predictors on the LR grid."""
    return works_on_lr(network) or bool(getattr(network, "uses_lr", False))


def works_on_lr(network: Any) -> bool:
    """Whether a network maps the LR grid to the HR grid."""
    return getattr(network, "grid", "hr") == "lr"


def evaluate(
    network: nn.Module,
    conditions: Conditions,
    noisy: torch.Tensor | None = None,
    noise_label: torch.Tensor | None = None,
) -> torch.Tensor:
    """Evaluate a network of the registry on a batch of N tiles: (N, V, H, W).

    The scaled `noisy` target (N, V, H, W) is put before the channels; `noise_label` is (N,), by
    default zeros.
    """
    if works_on_lr(network):
        return _on_lr_grid(network, conditions)
    channels = conditions.channels
    inputs = channels if noisy is None else torch.cat([noisy, channels], dim=1)
    if noise_label is None:
        noise_label = inputs.new_zeros(inputs.shape[0])
    more: list[torch.Tensor | None] = []
    if conditions.labels is not None or conditions.lr is not None:
        more = [conditions.labels, conditions.lr]
    return padded_call(network, inputs, noise_label, *more)


def _on_lr_grid(network: Any, conditions: Conditions) -> torch.Tensor:
    """Evaluate a network that maps the LR grid to the HR grid, and cut out the tiles."""
    lr, covariates = conditions.lr, conditions.covariates
    assert lr is not None  # `needs_lr` was asked when the conditions were made
    height, width = conditions.channels.shape[-2:]
    more = [_missing(network, n, axis) for axis, n in enumerate(lr.shape[-2:])]
    if any(more):
        lr = nn.functional.pad(lr, (0, more[1], 0, more[0]), mode="replicate")
        if covariates is not None:
            fine = [network.factor * n for n in more]
            covariates = nn.functional.pad(covariates, (0, fine[1], 0, fine[0]), mode="replicate")
    out = network(lr, covariates)
    offsets = conditions.offsets
    if len(set(offsets)) == 1:
        y, x = offsets[0]
        return out[..., y : y + height, x : x + width]
    tiles = zip(out, offsets, strict=True)
    return torch.stack([tile[:, y : y + height, x : x + width] for tile, (y, x) in tiles])


def _missing(network: Any, cells: int, axis: int) -> int:
    """Return the cells to add on the high side of an axis so that the network can take it."""
    fixed = getattr(network, "lr_shape", None)
    if fixed is None:
        return -(cells - 2 * network.context) % int(network.multiple)
    if cells > fixed[axis]:
        raise GridError(
            f"the network takes {fixed[axis]} LR cells along axis {'yx'[axis]}, a tile has {cells}:"
            " its architecture belongs to one size. Use the tile it was trained with, and a domain"
            " whose edges are edges of LR cells."
        )
    return int(fixed[axis]) - cells
