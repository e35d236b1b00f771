"""What the user and the table of known models say beside the files of a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr

from xdeepr.deepr_compat.checkpoints.known import Facts, Hour, Scaling
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.inputs.quantities import Quantity

Predictors = Mapping[str, str | Mapping[str, Any]]
"""Name -> units, or a mapping of CF attributes with ``units``."""

Target = str
"""``"field"`` or ``"residual"``."""

_WANTED = {
    "lr_grid": "anything on the LR grid of the training, an xarray object",
    "factor": "HR cells in an LR cell, or hr_grid=, anything on the HR grid of the training",
    "predictors": "name and units of the quantity that is downscaled, {'t2m': 'K'}",
    "hour": "how the network is told of the hour: 'none', 'class', 'timestep' or 'positional'",
    "target": "what it draws: 'field' or 'residual' (learn_residuals in DeepR)",
    "normalization": (
        "how its numbers were made: 'instance' (instance_norm in DeepR), 'scale' or 'none'"
    ),
    "scale": "the training_scale.json, a path or its content",
    "scheduler": "the scheduler_config.json, a path or its content",
    "covariates": "the static HR fields that the network was trained with, an xarray object",
}


@dataclass(frozen=True)
class Given:
    """What is known of a model and does not stand in its files.

    Parameters
    ----------
    where : str
        Folder or repository, for messages.
    facts : Facts
        What the table of known models says.
    lr_grid, hr_grid, factor, predictors, covariates, hour, target, normalization, scale, scheduler
        As in :func:`xdeepr.deepr_compat.checkpoints.from_deepr`.
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
    scale: str | os.PathLike[str] | Mapping[str, Any] | None = None
    scheduler: str | os.PathLike[str] | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        _one_of("hour", self.hour, ("none", "class", "timestep", "positional"))
        _one_of("target", self.target, ("field", "residual"))
        _one_of("normalization", self.normalization, ("instance", "scale", "none"))
        _check_factor(self.factor)
        if self.hr_grid is not None and self.lr_grid is None:
            raise OptionError(
                "hr_grid= without lr_grid=: how the grids lie on each other follows from both."
                " Give lr_grid= too."
            )

    def require(self, *names: str) -> None:
        """Refuse to guess.

        Parameters
        ----------
        *names : str
            Options that have to be known.

        Raises
        ------
        CheckpointError
            Names all that are missing, and what each of them means.
        """
        missing = [name for name in names if not self._known(name)]
        if missing:
            wanted = "; ".join(f"{name}= ({_WANTED[name]})" for name in missing)
            raise CheckpointError(
                f"{self.where}: the files do not say everything, and nothing is guessed. Give"
                f" {wanted}. What DeepR published under its own names is known without."
            )

    def _known(self, name: str) -> bool:
        """Whether an option was given or is known of a published model."""
        if name in ("lr_grid", "factor") and self.lr_grid is None and self.facts.domain is not None:
            return True
        if name == "factor":
            return self.factor is not None or self.hr_grid is not None
        return getattr(self, name) is not None or getattr(self.facts, name, None) is not None

    def value(self, name: str) -> Any:
        """Return what the user gave, else what is known, else None."""
        own = getattr(self, name)
        return own if own is not None else getattr(self.facts, name, None)

    def quantities(self, count: int) -> tuple[Quantity, ...]:
        """Return the predictors.

        Parameters
        ----------
        count : int
            Channels of the network.

        Raises
        ------
        OptionError
            If their number differs, or one has no units.
        """
        predictors = self.value("predictors")
        found = []
        for name, said in predictors.items():
            attrs = {"units": said} if isinstance(said, str) else dict(said)
            units = attrs.pop("units", None)
            if not isinstance(units, str) or not units.strip():
                raise OptionError(
                    f"predictors={{{name!r}: ...}} has no units: give them, for example"
                    f" {{{name!r}: 'K'}}."
                )
            found.append(Quantity(name, units, attrs))
        if len(found) != count:
            raise OptionError(
                f"predictors: {len(found)} given ({', '.join(q.name for q in found)}), but the"
                f" network has {count} channels for them: name them in its order."
            )
        return tuple(found)


def _one_of(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise OptionError(f"{name}={value!r}: choose of {', '.join(known)}.")


def _check_factor(factor: Any) -> None:
    whole = isinstance(factor, int) and not isinstance(factor, bool)
    if factor is not None and not (whole and 2 <= factor <= 8):
        raise OptionError(f"factor={factor!r}: give a whole number from 2 to 8.")
