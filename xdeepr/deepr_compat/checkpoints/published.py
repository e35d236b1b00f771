"""DeepR's published models: what does not stand in their folders.

Sources: the configurations and training logs in the repositories of the Hub, their model cards,
and the code and documentation of ECMWFCode4Earth/DeepR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

Hour = Literal["none", "class", "timestep", "positional"]
"""Embedding of the hour of the day (UTC) in a diffusion model."""

Scaling = Literal["instance", "scale", "none"]
"""How the numbers a network sees are made: each field by its own mean and deviation; by a
``training_scale.json``; not at all."""

Target = Literal["field", "residual"]
"""What a diffusion model draws: the HR field, or what it adds to the condition."""

_T2M = {
    "units": "K",
    "standard_name": "air_temperature",
    "long_name": "2 metre temperature",
}


@dataclass(frozen=True)
class Span:
    """Evenly spaced coordinate values.

    Parameters
    ----------
    first, step : float
        Smallest value and distance, in degrees.
    cells : int
        Number of values.
    """

    first: float
    step: float
    cells: int

    def values(self) -> np.ndarray:
        """Return the values, ascending."""
        return np.round(self.first + self.step * np.arange(self.cells), 9)


@dataclass(frozen=True)
class Domain:
    """The region a model was trained on.

    Parameters
    ----------
    name : str
        For people.
    lr, hr : tuple of Span
        Latitude and longitude of the LR and HR cells.
    """

    name: str
    lr: tuple[Span, Span]
    hr: tuple[Span, Span]


MEDITERRANEAN = Domain(
    "western Mediterranean: 37.00 to 44.95 °N, 6.85 °W to 5.10 °E",
    # DeepR selects 35.50 to 46.45 and -8.35 to 6.60 from ERA5's own grid, whose points are at
    # whole quarters of a degree (its full domain is 66.25 to 29 and -20.5 to 39.25)
    lr=(Span(35.5, 0.25, 44), Span(-8.25, 0.25, 60)),
    hr=(Span(37.0, 0.05, 160), Span(-6.85, 0.05, 240)),
)


@dataclass(frozen=True)
class Facts:
    """What a folder does not say; None stands for what nobody published.

    Parameters
    ----------
    domain : Domain, optional
        Where the model was trained.
    predictors : mapping of str to mapping, optional
        Name -> units and CF attributes; predictands are the same quantities.
    hour : {"none", "class", "timestep", "positional"}, optional
        Embedding of the hour in diffusion models.
    target : {"field", "residual"}, optional
        What diffusion models draw.
    normalization : {"instance", "scale", "none"}, optional
        How the numbers that the network sees were made.
    training : mapping
        Goes into the card: ``years`` and ``data``.
    """

    domain: Domain | None = None
    predictors: Mapping[str, Mapping[str, Any]] | None = None
    hour: Hour | None = None
    target: Target | None = None
    normalization: Scaling | None = None
    training: Mapping[str, Any] = field(default_factory=dict)


_DATA = {"data": "predictors ERA5, labels CERRA (0.05°), 3-hourly, Copernicus Climate Data Store"}
_CONVOLUTIONAL = Facts(MEDITERRANEAN, {"t2m": _T2M}, normalization="scale", training=_DATA)
_DIFFUSION = Facts(MEDITERRANEAN, {"t2m": _T2M}, "class", "field", "instance", _DATA)
_YEARS = {"years": "1981 to 2013, validation 2014 to 2017"}

PUBLISHED: Mapping[str, Facts] = MappingProxyType(
    {
        "predictia/convswin2sr_mediterranean": replace(_CONVOLUTIONAL, training=_DATA | _YEARS),
        "predictia/europe_reanalysis_downscaler_convswin2sr": _CONVOLUTIONAL,
        "predictia/europe_reanalysis_downscaler_convswin2sr_orog-high": _CONVOLUTIONAL,
        "predictia/europe_reanalysis_downscaler_convbaseline": _CONVOLUTIONAL,
        "predictia/sr_ddpm_mediterranean_reanalysis": _DIFFUSION,
        "jpxkqx/ddpm_mediterranean_reanalysis_tas": _DIFFUSION,
    }
)
"""Repository on the Hub -> facts."""
