"""The card of a model: everything about it but the weights, as plain data.

Reading a card needs neither torch nor the training data.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from xdeepr.grids import KINDS
from xdeepr.inputs.quantities import Quantity
from xdeepr.normalization import Transform, write_transform
from xdeepr.sampling.noise_levels import NoiseLevels

CARD_VERSION = 2
"""Version of the card's layout; raised whenever a reader of the old one would go wrong."""

Kind = Literal["diffusion", "regression", "autoencoder", "latent"]
"""What a model does: draw from a distribution, give one field, compress, draw in latent space."""

Target = Literal["residual", "field"]
"""What is learnt: HR − base, or HR itself (the way of DeepR)."""

CHANNELS = ("predictors", "base", "covariates", "time")
"""Groups of condition channels, in the order of the network's input; "base" is the output of the
base model."""

USUAL_CHANNELS = tuple(group for group in CHANNELS if group != "base")
"""Those of a model that builds on no other."""


@dataclass(frozen=True)
class Diffusion(NoiseLevels):
    """The noise levels of a model, and how it is sampled where the user does not say."""

    sampler: str = "EDMDPMSolverMultistepScheduler"
    steps: int = 10
    sampler_options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain data; the order of the keys is part of a checkpoint's digest."""
        last = ("prediction", "schedule")
        plain = dataclasses.asdict(self)
        return {**{k: v for k, v in plain.items() if k not in last}, **{k: plain[k] for k in last}}


@dataclass(frozen=True)
class Card:
    """What a model downscales, from which grid to which, and how it was made.

    Parameters
    ----------
    name : str
        Written into the output's history.
    predictors, predictands, covariates : tuple of Quantity
        Inputs on the LR grid, outputs on the HR grid, static inputs on the HR grid.
    varying : tuple of Quantity
        Covariates on the HR grid that vary in time.
    base : tuple of int or None
        For each predictand, the predictor that is its coarse version; the residual is added to
        its interpolation, or to the output of the base model if there is one. None: no predictor
        is, and without a base model the field itself is learnt.
    channels : tuple of str
        Groups of :data:`CHANNELS` the network is conditioned on.
    time_features : mapping of str to str
        Feature -> its encoding (see :mod:`xdeepr.inputs.times`).
    covariate_dropout : float
        Share of the training batches without covariates; above 0 the model serves without them.
    factor : int
        Number of HR cells in an LR cell, along each axis.
    margin : tuple of int
        HR cells by which the HR domain is smaller than the LR domain, on the low-y, high-y,
        low-x and high-x side.
    shift : tuple of int
        HR cells along y and x by which the HR domain lies higher than its place among the LR cells
        that the network sees; not 0 for models of DeepR, which did not look at coordinates.
    grid_kind : str
        A kind of :data:`xdeepr.grids.KINDS`.
    resolution : tuple of float
        LR cell size along y and x in the units of the grid's coordinates.
    tile : tuple of int
        Height and width in HR pixels of the windows seen in training.
    network : mapping
        ``name`` in the registry and the ``config`` to build it from.
    diffusion : Diffusion
        Noise levels and default solver.
    context : int
        LR cells around a tile that the network sees, if it works on the LR grid.
    scale : int
        HR pixels along the edge of a pixel of the latent space.
    normalization : mapping of str to Transform
        Of ``predictors``, ``target`` and ``covariates`` (static ones, then varying ones).
    training : mapping
        Period, domain, number of times, fingerprint of the data, settings and results.
    versions : mapping
        Versions of the packages that made the model.
    """

    name: str
    predictors: tuple[Quantity, ...]
    predictands: tuple[Quantity, ...]
    covariates: tuple[Quantity, ...]
    base: tuple[int | None, ...]
    time_features: Mapping[str, str]
    factor: int
    margin: tuple[int, int, int, int]
    grid_kind: str
    resolution: tuple[float, float]
    tile: tuple[int, int]
    network: Mapping[str, Any]
    diffusion: Diffusion
    normalization: Mapping[str, Transform]
    kind: Kind = "diffusion"
    varying: tuple[Quantity, ...] = ()
    target: Target = "residual"
    channels: tuple[str, ...] = USUAL_CHANNELS
    covariate_dropout: float = 0.0
    context: int = 0
    shift: tuple[int, int] = (0, 0)
    scale: int = 1
    training: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    version: int = CARD_VERSION

    @property
    def twins(self) -> list[int]:
        """The predictors that are coarse versions of predictands, for those that have one."""
        return [place for place in self.base if place is not None]

    @property
    def instance(self) -> bool:
        """Whether each field is normalized with its own mean and deviation."""
        return self.normalization["predictors"].by_field

    @property
    def bound(self) -> bool:
        """Whether the normalization belongs to the pixels of the training domain."""
        return any(n.pixelwise for n in self.normalization.values())

    @property
    def fixed_size(self) -> bool:
        """Whether the network's architecture belongs to one size of its input."""
        return self.network["config"].get("lr_shape") is not None

    @property
    def hr_margin(self) -> tuple[int, int, int, int]:
        """HR cells between the sides of the LR domain and those of the HR fields' true place."""
        (south, north, west, east), (up, right) = self.margin, self.shift
        return south + up, north - up, west + right, east - right

    @property
    def stochastic(self) -> bool:
        """Whether the model draws realizations."""
        return self.kind in ("diffusion", "latent")

    @property
    def cell_sizes(self) -> tuple[str, str]:
        """Sizes of an LR cell and of an HR cell along y and x, as text with their unit."""
        coarse, fine = (
            " × ".join(f"{step / parts:.4g}" for step in self.resolution)
            + KINDS[self.grid_kind].unit
            for parts in (1, self.factor)
        )
        return coarse, fine

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays that are too large for the JSON text, by name."""
        return {
            f"{role}/{key}": array
            for role, normalization in self.normalization.items()
            for key, array in normalization.tensors().items()
        }

    def to_json(self) -> str:
        """Return the card as JSON text; the arrays of :meth:`tensors` are left out."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        normalization = {k: write_transform(n) for k, n in fields.pop("normalization").items()}
        plain = {k: _plain(v) for k, v in fields.items()}
        return json.dumps({**plain, "normalization": normalization}, indent=2, allow_nan=False)

    def digest(self, weights: bytes = b"") -> str:
        """Return 16 hexadecimal digits that identify this card with these weights."""
        return hashlib.sha256(self.to_json().encode() + weights).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Return dataclasses as dictionaries, also inside tuples."""
    if isinstance(value, Diffusion):
        return value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return [_plain(v) for v in value] if isinstance(value, tuple) else value
