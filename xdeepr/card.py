"""The card of a model: everything about it but the weights, as plain data.

Reading a card needs neither torch nor the training data.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xdeepr.errors import CheckpointError
from xdeepr.normalization import Normalization

CARD_VERSION = 1
"""Version of the card's layout; raised whenever a reader of the old one would go wrong."""


@dataclass(frozen=True)
class Quantity:
    """A physical field that goes into or comes out of a model.

    Parameters
    ----------
    name : str
        Variable name in the training data.
    units : str
        Units of the numbers the model works with.
    attrs : mapping
        Further CF attributes (``standard_name``, ``long_name``, ``cell_methods``, …).
    """

    name: str
    units: str
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def standard_name(self) -> str | None:
        """CF standard name, if there is one."""
        return self.attrs.get("standard_name")


@dataclass(frozen=True)
class Diffusion:
    """Noise levels in training and sampling (Karras et al., 2022, arXiv:2206.00364).

    Parameters
    ----------
    sigma_data : float
        Standard deviation of the normalized residual.
    log_mean, log_std : float
        Training draws the logarithm of the noise level from this normal distribution.
    sigma_min, sigma_max : float
        Range of noise levels that sampling visits.
    sampler : str
        Default solver.
    steps : int
        Default number of steps.
    """

    sigma_data: float = 1.0
    log_mean: float = -0.4
    log_std: float = 1.2
    sigma_min: float = 0.05
    sigma_max: float = 20.0
    sampler: str = "EDMDPMSolverMultistepScheduler"
    steps: int = 10


@dataclass(frozen=True)
class Card:
    """What a model downscales, from which grid to which, and how it was made.

    Parameters
    ----------
    name : str
        Name of the model, written into the output's history.
    predictors, predictands, covariates : tuple of Quantity
        Inputs on the LR grid, outputs on the HR grid, static inputs on the HR grid.
    base : tuple of int
        For each predictand, the predictor whose interpolation the residual is added to.
    time_features : tuple of str
        Names of the time channels (see :mod:`xdeepr.conditioning`).
    factor : int
        Number of HR cells in an LR cell, along each axis.
    margin : tuple of int
        HR cells by which the HR domain is smaller than the LR domain, on the low-y, high-y,
        low-x and high-x side.
    grid_kind : str
        "latlon", "projected" or "rotated".
    resolution : tuple of float
        LR cell size along y and x in the units of the grid's coordinates.
    tile : tuple of int
        Height and width in HR pixels of the windows seen in training.
    network : mapping
        ``name`` in the registry and the ``config`` to build it from.
    diffusion : Diffusion
        Noise levels and default solver.
    normalization : mapping of str to Normalization
        For ``predictors``, ``residual`` and ``covariates``.
    training : mapping
        Period, domain, number of times, fingerprint of the data, settings and results.
    versions : mapping
        Versions of the packages that made the model.
    version : int
        Layout version of this card.
    """

    name: str
    predictors: tuple[Quantity, ...]
    predictands: tuple[Quantity, ...]
    covariates: tuple[Quantity, ...]
    base: tuple[int, ...]
    time_features: tuple[str, ...]
    factor: int
    margin: tuple[int, int, int, int]
    grid_kind: str
    resolution: tuple[float, float]
    tile: tuple[int, int]
    network: Mapping[str, Any]
    diffusion: Diffusion
    normalization: Mapping[str, Normalization]
    training: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    version: int = CARD_VERSION

    def to_json(self) -> str:
        """Return the card as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, *, source: str = "card") -> Card:
        """Read a card.

        Parameters
        ----------
        text : str
            JSON text.
        source : str
            Where it came from, for error messages.

        Raises
        ------
        CheckpointError
            If the text is no JSON, has another version, or lacks or adds a key.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise CheckpointError(
                f"{source} is not valid JSON ({error}): the file is damaged; copy it again."
            ) from None
        version = data.get("version") if isinstance(data, dict) else None
        if version != CARD_VERSION:
            raise CheckpointError(
                f"{source} has card version {version!r}, this xdeepr reads version"
                f" {CARD_VERSION}: install a newer xdeepr, or make the checkpoint again."
            )
        try:
            return cls(
                **{
                    **data,
                    **{
                        key: tuple(Quantity(**q) for q in data[key])
                        for key in ("predictors", "predictands", "covariates")
                    },
                    **{
                        key: tuple(data[key])
                        for key in ("base", "time_features", "margin", "resolution", "tile")
                    },
                    "diffusion": Diffusion(**data["diffusion"]),
                    "normalization": {
                        key: Normalization(tuple(n["mean"]), tuple(n["std"]))
                        for key, n in data["normalization"].items()
                    },
                }
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{source} does not have the expected keys ({error}): the file is damaged or was"
                " edited; make the checkpoint again."
            ) from None

    def digest(self, weights: bytes = b"") -> str:
        """Return 16 hexadecimal digits that identify this card with these weights."""
        return hashlib.sha256(self.to_json().encode() + weights).hexdigest()[:16]
