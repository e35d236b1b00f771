"""From the section ``data_configuration`` to datasets: LR and HR fields, static fields, splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import xarray as xr

from xdeepr import cf
from xdeepr.deepr_compat.configuration.data import (
    DataConfiguration,
    FeaturesConfiguration,
    LabelConfiguration,
    Period,
)
from xdeepr.deepr_compat.configuration.files import open_fields
from xdeepr.deepr_compat.configuration.selecting import at_times, within
from xdeepr.deepr_compat.configuration.statics import statics_on
from xdeepr.errors import AxisError, OptionError

DEFAULT_FACTOR = 4
"""HR cells in an LR cell where there are only labels, so that the LR field is made of them."""

SPLITS = ("train", "validation", "test")

_HERE, _FEATURES, _LABELS = "data_configuration", "features_configuration", "label_configuration"


@dataclass(frozen=True)
class Part:
    """LR and HR fields of one split; `hr` is None where there are no labels."""

    lr: xr.Dataset
    hr: xr.Dataset | None


@dataclass(frozen=True)
class Data:
    """Everything that was opened.

    Parameters
    ----------
    parts : mapping of str to Part
        By the names "train", "validation", "test"; "all" if no splits are given.
    statics : xarray.Dataset or None
        Static covariates on the HR grid.
    notes : tuple of str
        What the user should know.
    """

    parts: Mapping[str, Part]
    statics: xr.Dataset | None
    notes: tuple[str, ...]

    @property
    def training(self) -> Part:
        """The part to train on.

        Raises
        ------
        OptionError
            If the splits leave nothing for it.
        """
        if "all" in self.parts:
            return self.parts["all"]
        if "train" not in self.parts:
            raise OptionError(
                "data_configuration: the splits leave no time for training: give"
                " split_coverages.train, or smaller parts for validation and test."
            )
        return self.parts["train"]


def open_data(configuration: DataConfiguration, *, statics: tuple[str, ...] | None = None) -> Data:
    """Open the fields lazily, cut them to their domains, and split them.

    Parameters
    ----------
    configuration : DataConfiguration
        The section.
    statics : tuple of str, optional
        Static fields wanted, by the names of the keys of `add_auxiliary`. Default: those that
        stand there.

    Returns
    -------
    Data

    Raises
    ------
    DataUnavailableError, VariableError, AxisError, GridError
        If files, variables, times or cells are missing.
    OptionError
        If a static field is asked for without its location.
    """
    features, labels = configuration.features_configuration, configuration.label_configuration
    notes: list[str] = []
    months = _months(configuration)
    hr = None
    if labels is not None:
        hr, said = open_fields(labels, labels.names, months, role=f"{_HERE}.{_LABELS}")
        notes += said
        hr = _cut(hr, labels, _LABELS, notes)
    if features is not None and features.location is not None:
        names = features.variables or ()
        lr, said = open_fields(features, names, months, role=f"{_HERE}.{_FEATURES}")
        notes += said
        lr = _cut(lr, features, _FEATURES, notes)
    else:
        assert hr is not None  # checked when the configuration was read
        lr, hr = _coarsened(hr, features, notes)
    wanted = statics if statics is not None else _asked_statics(features)
    if hr is None and wanted:
        notes.append(
            f"{_HERE}.{_FEATURES}.add_auxiliary: static fields are not read: there is no"
            f" {_LABELS}, on whose grid they would be"
        )
    return Data(
        _split(configuration, lr, hr),
        None if hr is None else statics_on(configuration, wanted, lr, hr),
        tuple(notes),
    )


def _months(configuration: DataConfiguration) -> frozenset[str] | None:
    """Return the months of all periods together, or None for all there are."""
    periods = _periods(configuration)
    return frozenset().union(*(p.months() for p in periods.values())) if periods else None


def _periods(configuration: DataConfiguration) -> dict[str, Period]:
    """Return the periods given, by the name of the split or as "all"."""
    if configuration.common_configuration is not None:
        return {"all": configuration.common_configuration.temporal_coverage}
    if configuration.split_coverages is None:
        return {}
    splits = {name: getattr(configuration.split_coverages, name) for name in SPLITS}
    return {name: period for name, period in splits.items() if period is not None}


def _cut(
    ds: xr.Dataset,
    fields: FeaturesConfiguration | LabelConfiguration,
    role: str,
    notes: list[str],
) -> xr.Dataset:
    if fields.spatial_coverage is None:
        return ds
    cut, said = within(ds, fields.spatial_coverage, f"{_HERE}.{role}")
    notes += said
    return cut


def _coarsened(
    hr: xr.Dataset, features: FeaturesConfiguration | None, notes: list[str]
) -> tuple[xr.Dataset, xr.Dataset]:
    """Make the LR fields of the labels; cut the labels to whole LR cells."""
    from xdeepr.grids.coarsening import coarsen

    factor = (features.factor if features is not None else None) or DEFAULT_FACTOR
    axes = cf.find_axes(hr)
    kept = {dim: hr.sizes[dim] // factor * factor for dim in (axes.y, axes.x)}
    if any(kept[dim] != hr.sizes[dim] for dim in kept):
        notes.append(
            f"the labels were cut to {kept[axes.y]} × {kept[axes.x]} cells, multiples of the factor"
            f" {factor}"
        )
    if features is None:
        notes.append(
            f"there is no features_configuration: the LR field is the labels, coarsened by {factor}"
        )
    else:
        notes += [
            f"{_HERE}.{_FEATURES}.{key} has no effect: the coarse field is made of the labels"
            for key in ("data_name", "spatial_resolution")
            if getattr(features, key) is not None
        ]
    hr = hr.isel({dim: slice(0, size) for dim, size in kept.items()})
    names = features.variables if features is not None else None
    return coarsen(hr if names is None else hr[list(names)], factor), hr


def _split(
    configuration: DataConfiguration, lr: xr.Dataset, hr: xr.Dataset | None
) -> dict[str, Part]:
    """Cut the fields to the splits; nothing is computed."""
    periods = _periods(configuration)
    if not periods:
        return {"all": Part(lr, hr)}
    parts = {}
    for name, period in periods.items():
        place = "common_configuration" if name == "all" else f"split_coverages.{name}"
        role = f"{_HERE}.{place}"
        labels = None if hr is None else at_times(hr, period, role)
        parts[name] = Part(at_times(lr, period, role), labels)
    common = configuration.common_configuration
    if common is None:
        return parts
    return _fractions(parts["all"], common.data_split.validation, common.data_split.test)


def _fractions(whole: Part, validation: float, test: float) -> dict[str, Part]:
    """Split a period: training first, then validation, then test."""
    leading = whole.lr if whole.hr is None else whole.hr
    times = leading.indexes[str(cf.find_axes(leading).time)]
    tested = round(test * times.size)
    watched = min(round(validation * times.size), times.size - tested)
    ends = {"train": times.size - watched - tested, "validation": watched, "test": tested}
    parts, first = {}, 0
    for name, size in ends.items():
        if size:
            window = slice(times[first], times[first + size - 1])
            labels = None if whole.hr is None else _between(whole.hr, window, name)
            parts[name] = Part(_between(whole.lr, window, name), labels)
        first += size
    return parts


def _between(ds: xr.Dataset, window: slice, name: str) -> xr.Dataset:
    """Return the times in a window, both ends included."""
    cut = ds.sel({str(cf.find_axes(ds).time): window})
    if cut.sizes[str(cf.find_axes(ds).time)] == 0:
        raise AxisError(
            f"data_configuration.common_configuration.data_split: the {name} part holds no time of"
            " the coarse fields."
        )
    return cut


def _asked_statics(features: FeaturesConfiguration | None) -> tuple[str, ...]:
    return () if features is None else features.add_auxiliary.statics()
