"""Which part of the data is trained on, and on which part the training is watched."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.errors import GridError, OptionError, VariableError
from xdeepr.training.alignment import Aligned, XarrayObject, align, without_missing
from xdeepr.training.options import DataOptions


@dataclass(frozen=True)
class Part:
    """A part of the data: predictors and labels brought together, and what goes with them.

    Parameters
    ----------
    aligned : Aligned
        Predictors and labels.
    predictors : xarray.Dataset or xarray.DataArray
        The predictors as given, for the base model.
    covariates : xarray.Dataset, optional
        Static and varying ones.
    """

    aligned: Aligned
    predictors: XarrayObject
    covariates: xr.Dataset | None


def split(
    predictors: XarrayObject,
    labels: XarrayObject,
    covariates: XarrayObject | None,
    options: DataOptions,
) -> tuple[Part, Part | None]:
    """Return the training part and the validation part.

    Parameters
    ----------
    predictors, labels, covariates
        As given to :func:`xdeepr.fit`.
    options : DataOptions
        Names the labels and what is held out.

    Raises
    ------
    OptionError, GridError, VariableError
        If the part to hold out is no fraction, or a pair with other grids or variables.
    """
    mend = without_missing if options.gaps else (lambda part: part)
    statics = None if covariates is None else cf.as_dataset(covariates)
    part = Part(mend(align(predictors, labels, options.variables)), predictors, statics)
    validation = options.validation
    if isinstance(validation, tuple):
        held_out = mend(align(*validation, options.variables))
        _check_same_fields(part.aligned, held_out)
        return part, Part(held_out, validation[0], statics)
    if not validation:
        return part, None
    if not 0 < validation < 1:
        raise OptionError(
            f"validation={validation!r}: give a fraction between 0 and 1, or a pair of datasets"
            " (predictors, labels)."
        )
    times = part.aligned.time.size
    kept = times - round(times * validation)
    if kept in (0, times):
        return part, None
    first, last = (part.aligned.at(cut) for cut in (slice(0, kept), slice(kept, None)))
    return replace(part, aligned=first), replace(part, aligned=last)


def _check_same_fields(training: Aligned, validation: Aligned) -> None:
    """Refuse a validation part on other grids or with other variables."""
    for ours, theirs in (
        (training.lr_grid, validation.lr_grid),
        (training.hr_grid, validation.hr_grid),
    ):
        for a, b in ((ours.y, theirs.y), (ours.x, theirs.x)):
            if a.size != b.size or np.abs(a.centres - b.centres).max() > 0.1 * a.step:
                raise GridError(
                    f"validation: {b.name!r} runs from {b.centres[0]:g} to {b.centres[-1]:g} in"
                    f" {b.size} cells, in training from {a.centres[0]:g} to {a.centres[-1]:g} in"
                    f" {a.size}: give both on the same grids."
                )
    for role in ("predictors", "predictands"):
        names = [
            [f"{q.name} [{q.units}]" for q in getattr(part, role)]
            for part in (training, validation)
        ]
        if names[0] != names[1]:
            raise VariableError(
                f"validation: the {role} are {', '.join(names[1])}, in training"
                f" {', '.join(names[0])}: give the same variables in the same units."
            )
