"""What the user and the table of published models say beside the files of a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import xarray as xr

from xdeepr.checks import one_of, whole_number
from xdeepr.deepr_compat.checkpoints.published import Facts, Hour, Scaling, Target
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card_checks import FACTORS

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


@dataclass(frozen=True)
class Description:
    """What does not stand in the files of a model: the user's options first, then the facts.

    Parameters
    ----------
    where : str
        Folder or repository, for messages.
    facts : Facts
        Of the published model; empty for others.
    lr_grid, hr_grid, factor, predictors, covariates, hour, target, normalization, scale, scheduler
        As in :func:`xdeepr.from_deepr`.
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
        """Refuse to guess: name all options that are missing, and what each of them means.

        Raises
        ------
        CheckpointError
            If one of them is neither given nor published.
        """
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
        """Return the predictors, one for each of the network's channels for them.

        Raises
        ------
        OptionError
            If their number differs, or one has no units.
        """
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
