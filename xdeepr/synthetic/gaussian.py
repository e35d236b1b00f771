"""Gaussian fields on nested grids, and their exact distribution given block means.

Rasmussen and Williams, 2006, Gaussian Processes for Machine Learning, eq. A.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from xdeepr.errors import OptionError

Array = npt.NDArray[np.floating[Any]]
Times = npt.NDArray[np.datetime64]

EARTH_RADIUS = 6371.229
"""Radius of the sphere in km."""

LARGEST_GAIN = 2**27
"""Most pairs of an HR and an LR cell: 1 GiB each for the gain and its covariance."""


@dataclass(frozen=True)
class Lattice:
    """Cells of the HR grid and their blocks, the LR grid."""

    shape: tuple[int, int]
    factor: int
    resolution: float
    south: float
    west: float

    def edges(self, merged: int) -> dict[str, Array]:
        """Return cell edges in degrees, with `merged` HR cells to a cell."""
        corners = {"latitude": self.south, "longitude": self.west}
        return {
            name: corner + self.resolution * np.arange(0, size + 1, merged)
            for (name, corner), size in zip(corners.items(), self.shape, strict=True)
        }

    def correlations(self, length: float) -> tuple[Array, Array]:
        """Return the correlation in y and in x; that of two cells is the product of both."""
        latitude, longitude = (np.radians(centres(edge)) for edge in self.edges(1).values())
        # Columns are everywhere as far apart as at the central latitude: only then is the
        # covariance a product of the two axes.
        positions = (latitude, np.cos(latitude.mean()) * longitude)
        y, x = (
            np.exp(-0.5 * ((position[:, None] - position) * EARTH_RADIUS / length) ** 2)
            for position in positions
        )
        return y, x

    def correlation_roots(self, length: float) -> tuple[Array, Array]:
        """Return the symmetric square roots of :meth:`correlations`."""
        y, x = (_symmetric_root(matrix) for matrix in self.correlations(length))
        return y, x

    @cached_property
    def weights(self) -> Array:
        """Relative area of the cells of each row on the sphere, dims (y, 1)."""
        area = np.diff(np.sin(np.radians(self.edges(1)["latitude"])))
        return (area / area.mean())[:, None]

    def domain_mean(self, field: Array) -> float:
        """Return the area-weighted mean of a field (y, x)."""
        return float((field * self.weights).mean())

    def block_mean(self, fields: Array) -> Array:
        """Return the area-weighted mean of each block, A in the formulas; dims (..., y, x)."""
        f = self.factor
        ny, nx = (size // f for size in self.shape)
        total = (fields * self.weights).reshape(*fields.shape[:-2], ny, f, nx, f).sum((-3, -1))
        return total / (f * self.weights.reshape(ny, f).sum(axis=1)[:, None])

    def block_operator(self) -> Array:
        """Return A as fields, dims (LR cell, y, x)."""
        ny, nx = (size // self.factor for size in self.shape)
        rows = np.eye(ny * nx).reshape(-1, ny, nx)
        rows = rows.repeat(self.factor, axis=1).repeat(self.factor, axis=2) * self.weights
        return rows / rows.sum(axis=(1, 2), keepdims=True)

    def coordinates(self, merged: int, times: Times | None = None) -> dict[str, Any]:
        """Return CF coordinates with bounds, with `merged` HR cells to a cell."""
        found: dict[str, Any] = {}
        if times is not None:
            found["time"] = ("time", times, {"standard_name": "time", "axis": "T"})
        kinds = {"latitude": ("degrees_north", "Y"), "longitude": ("degrees_east", "X")}
        for name, edge in self.edges(merged).items():
            units, axis = kinds[name]
            bounds = f"{name}_bnds"
            attrs = {"standard_name": name, "units": units, "axis": axis, "bounds": bounds}
            # CF forbids a fill value here, and xarray would write one.
            encoding = {"_FillValue": None}
            found[name] = (name, centres(edge), attrs, encoding)
            found[bounds] = ((name, "bnds"), np.stack([edge[:-1], edge[1:]], axis=1), {}, encoding)
        return found


class GaussianField:
    """A zero-mean Gaussian field on a lattice, and its distribution given its block means.

    Each of its independent parts has a standard deviation (y, x) in K and a correlation length in
    km.
    """

    def __init__(self, lattice: Lattice, parts: Sequence[tuple[Array, float]]) -> None:
        self.lattice = lattice
        self.parts = tuple(parts)

    def draw(self, keys: Sequence[tuple[int, ...]]) -> Array:
        """Draw one field a key, dims (key, y, x)."""
        fields = np.zeros((len(keys), *self.lattice.shape))
        for field, key in zip(fields, keys, strict=True):
            rng = np.random.default_rng(key)
            for (std, _), (root_y, root_x) in zip(self.parts, self._roots, strict=True):
                field += std * (root_y @ rng.standard_normal(field.shape) @ root_x)
        return fields

    def corrected(self, fields: Array, observed: Array) -> Array:
        """Move fields (time, y, x) by what their block means miss of `observed`."""
        missed = (observed - self.lattice.block_mean(fields)).reshape(len(observed), -1)
        return fields + (missed @ self._solution[0]).reshape(fields.shape)

    @property
    def spread(self) -> Array:
        """Standard deviation given the block means, dims (y, x)."""
        return self._solution[1]

    @cached_property
    def _roots(self) -> list[tuple[Array, Array]]:
        return [self.lattice.correlation_roots(length) for _, length in self.parts]

    @cached_property
    def _solution(self) -> tuple[Array, Array]:
        """The transposed gain, dims (LR cell, HR cell), and the conditional spread."""
        cells = int(np.prod(self.lattice.shape))
        blocks = cells // self.lattice.factor**2
        if cells * blocks > LARGEST_GAIN:
            raise OptionError(
                f"shape {self.lattice.shape} with factor {self.lattice.factor} is too large for "
                "the exact distribution: choose a smaller shape or a larger factor."
            )
        with_hr = self._covariance_with(self.lattice.block_operator())
        with_lr = self.lattice.block_mean(with_hr).reshape(blocks, blocks)
        with_hr = with_hr.reshape(blocks, cells)
        gain = cho_solve(cho_factor((with_lr + with_lr.T) / 2), with_hr)
        explained = (gain * with_hr).sum(axis=0).reshape(self.lattice.shape)
        prior = np.sum([std**2 for std, _ in self.parts], axis=0)
        return gain, np.sqrt(np.maximum(prior - explained, 0.0))

    def _covariance_with(self, fields: Array) -> Array:
        """Multiply fields (..., y, x) by the HR covariance K, which is never formed."""
        product = np.zeros_like(fields)
        for std, length in self.parts:
            along_y, along_x = self.lattice.correlations(length)
            product += std * (along_y @ (std * fields) @ along_x)
        return product


def centres(edges: Array) -> Array:
    """Return the middle of each cell."""
    return (edges[1:] + edges[:-1]) / 2


def _symmetric_root(matrix: Array) -> Array:
    """Return the symmetric square root, which is unique: the same on every machine.

    Rounding may leave eigenvalues just below 0.
    """
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
