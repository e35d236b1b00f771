"""What the user and the table of published models say beside the files of a checkpoint.

Sources of the table: the configurations and training logs in the repositories of the Hub, their
model cards, and the code and documentation of ECMWFCode4Earth/DeepR.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from xdeepr.checks import one_of, whole_number
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card_checks import FACTORS

Hour = Literal["none", "class", "timestep", "positional"]
"""Embedding of the hour of the day (UTC) in a diffusion model."""

Scaling = Literal["instance", "scale", "none"]
"""How the numbers a network sees are made: each field by its own mean and deviation; by a
``training_scale.json``; not at all."""

Target = Literal["field", "residual"]
"""What a diffusion model draws: the HR field, or what it adds to the condition."""

Predictors = Mapping[str, str | Mapping[str, Any]]
"""Name -> units, or a mapping of CF attributes with ``units``."""

Source = str | os.PathLike[str] | Mapping[str, Any]
"""A JSON file, or what it holds."""

_MEANING = {
    "lr_grid": "anything on the LR grid of the training, an xarray object",
    "factor": "HR cells in an LR cell, or hr_grid=, anything on the HR grid of the training",
    "predictors": "name and units of the quantity that is downscaled, {'t2m': 'K'}",
    "hour": "embedding of the hour: 'none', 'class', 'timestep' or 'positional'",
    "target": "what it draws: 'field' or 'residual' (learn_residuals in DeepR)",
    "normalization": (
        "how its numbers were made: 'instance' (instance_norm in DeepR), 'scale' or 'none'"
    ),
    "scale": "the training_scale.json, a path or its content",
    "scheduler": "the scheduler_config.json, a path or its content",
    "covariates": "the static HR fields that the network was trained with, an xarray object",
}
"""Option -> what to give, for messages."""

_T2M = {"units": "K", "standard_name": "air_temperature", "long_name": "2 metre temperature"}


@dataclass(frozen=True)
class Span:
    """Evenly spaced coordinate values in degrees; `first` is the smallest."""

    first: float
    step: float
    cells: int

    def values(self) -> np.ndarray:
        """Return the values, ascending."""
        return np.round(self.first + self.step * np.arange(self.cells), 9)


@dataclass(frozen=True)
class Domain:
    """The region a model was trained on: latitude and longitude of its LR and HR cells."""

    lr: tuple[Span, Span]
    hr: tuple[Span, Span]


MEDITERRANEAN = Domain(
    # DeepR selects 35.50 to 46.45 and -8.35 to 6.60 from ERA5's own grid, whose points are at
    # whole quarters of a degree (its full domain is 66.25 to 29 and -20.5 to 39.25)
    lr=(Span(35.5, 0.25, 44), Span(-8.25, 0.25, 60)),
    hr=(Span(37.0, 0.05, 160), Span(-6.85, 0.05, 240)),
)
"""The western Mediterranean: 37.00 to 44.95 °N, 6.85 °W to 5.10 °E."""


@dataclass(frozen=True)
class Facts:
    """What a folder does not say; None stands for what nobody published.

    `predictors` are units and CF attributes by name, and the predictands too; `training` goes into
    the card.
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


@dataclass(frozen=True)
class Description:
    """What does not stand in the files of a model: the options of :func:`xdeepr.from_deepr`.

    For a published model the facts take the place of those that are not given. `where` names the
    folder or repository in messages.
    """

    where: str
    facts: Facts
    lr_grid: xr.Dataset | xr.DataArray | None = None
    hr_grid: xr.Dataset | xr.DataArray | None = None
    factor: int | None = None
    predictors: Predictors | None = None
    covariates: xr.Dataset | xr.DataArray | None = None
    hour: Hour | None = None
    target: Target | None = None
    normalization: Scaling | None = None
    scale: Source | None = None
    scheduler: Source | None = None

    def __post_init__(self) -> None:
        for name, choices in (("hour", Hour), ("target", Target), ("normalization", Scaling)):
            if getattr(self, name) is not None:
                one_of(name, getattr(self, name), get_args(choices))
        whole_number("factor", self.factor, least=FACTORS[0], most=FACTORS[1], optional=True)
        if self.hr_grid is not None and self.lr_grid is None:
            raise OptionError(
                "hr_grid= without lr_grid=: how the grids lie on each other follows from both."
                " Give lr_grid= too."
            )

    def require(self, *names: str) -> None:
        """Refuse to guess: name all options that are missing, and what each of them means."""
        missing = [name for name in names if not self._has(name)]
        if missing:
            wanted = "; ".join(f"{name}= ({_MEANING[name]})" for name in missing)
            raise CheckpointError(
                f"{self.where}: the files do not say everything, and nothing is guessed. Give"
                f" {wanted}. What DeepR published under its own names is known without."
            )

    def _has(self, name: str) -> bool:
        if name in ("lr_grid", "factor") and self.lr_grid is None and self.facts.domain is not None:
            return True
        if name == "factor" and self.hr_grid is not None:
            return True
        return self.value(name) is not None

    def value(self, name: str) -> Any:
        """Return what the user gave, else the published fact, else None."""
        own = getattr(self, name)
        return own if own is not None else getattr(self.facts, name, None)

    def quantities(self, count: int) -> tuple[Quantity, ...]:
        """Return the predictors, one for each of the network's channels for them."""
        quantities = []
        for name, stated in self.value("predictors").items():
            attrs = {"units": stated} if isinstance(stated, str) else dict(stated)
            units = attrs.pop("units", None)
            if not isinstance(units, str) or not units.strip():
                raise OptionError(
                    f"predictors={{{name!r}: ...}} has no units: give them, for example"
                    f" {{{name!r}: 'K'}}."
                )
            quantities.append(Quantity(name, units, attrs))
        if len(quantities) != count:
            raise OptionError(
                f"predictors: {len(quantities)} given ({', '.join(q.name for q in quantities)}),"
                f" but the network has {count} channels for them: name them in its order."
            )
        return tuple(quantities)
