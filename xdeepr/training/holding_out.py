"""Which part of the data is trained on, and on which part the training is watched."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from xdeepr import cf
from xdeepr.errors import GridError, OptionError, VariableError
from xdeepr.grids import Grid, gridded
from xdeepr.training.alignment import Aligned, XarrayObject, align, listed, without_missing
from xdeepr.training.options import DataOptions


@dataclass(frozen=True)
class Period:
    """A period of the data: predictors and labels brought together, and the covariates."""

    aligned: Aligned
    covariates: cf.Gridded[Grid] | None


def split(
    predictors: XarrayObject,
    labels: XarrayObject,
    covariates: XarrayObject | None,
    options: DataOptions,
) -> tuple[Period, Period | None]:
    """Return the training period and the validation period, if any is held out."""

    def paired(lr: XarrayObject, hr: XarrayObject) -> Aligned:
        aligned = align(gridded(lr), gridded(hr), options.variables)
        _check_twins(aligned)
        return without_missing(aligned) if options.gaps else aligned

    statics = None if covariates is None else gridded(covariates)
    period = Period(paired(predictors, labels), statics)
    validation = options.validation
    if isinstance(validation, tuple):
        held_out = paired(*validation)
        _check_same_fields(period.aligned, held_out)
        return period, Period(held_out, statics)
    if not validation:
        return period, None
    if not 0 < validation < 1:
        raise OptionError(
            f"validation={validation!r}: give a fraction between 0 and 1, or a pair of datasets"
            " (predictors, labels)."
        )
    times = period.aligned.time.size
    kept = times - round(times * validation)
    if kept in (0, times):
        return period, None
    first, last = (period.aligned.at(cut) for cut in (slice(0, kept), slice(kept, None)))
    return replace(period, aligned=first), replace(period, aligned=last)


def _check_twins(aligned: Aligned) -> None:
    """Refuse labels without a coarse version; pairs and models can do without, fit not yet."""
    for quantity, twin in zip(aligned.predictands, aligned.base, strict=True):
        if twin is None:
            raise VariableError(
                f"label {quantity.name!r} has no coarse version among the predictors"
                f" {listed(aligned.predictors)}, or more than one could be meant: give it the same"
                " name or standard_name there."
            )


def _check_same_fields(training: Aligned, validation: Aligned) -> None:
    """Refuse a validation part on other grids or with other variables."""
    for grid in ("lr_grid", "hr_grid"):
        ours, theirs = getattr(training, grid), getattr(validation, grid)
        for a, b in ((ours.y, theirs.y), (ours.x, theirs.x)):
            if a.size != b.size or np.abs(a.centres - b.centres).max() > 0.1 * a.step:
                raise GridError(
                    f"validation: {b.name!r} runs from {b.centres[0]:g} to {b.centres[-1]:g} in"
                    f" {b.size} cells, in training from {a.centres[0]:g} to {a.centres[-1]:g} in"
                    f" {a.size}: give both on the same grids."
                )
    for role in ("predictors", "predictands"):
        ours, theirs = (listed(getattr(part, role)) for part in (training, validation))
        if ours != theirs:
            raise VariableError(
                f"validation: the {role} are {theirs}, in training {ours}: give the same variables"
                " in the same units."
            )
