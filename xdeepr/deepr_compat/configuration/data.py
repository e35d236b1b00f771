"""From the section ``data_configuration`` to datasets: LR and HR fields, static fields, splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.checks import nearest
from xdeepr.deepr_compat.configuration.files import open_fields, open_static
from xdeepr.deepr_compat.configuration.schema import PARAMETERS, TrainingConfiguration
from xdeepr.deepr_compat.configuration.schema_data import (
    STATICS,
    Coverage,
    DataConfiguration,
    DataSplit,
    FeaturesConfiguration,
    FieldsConfiguration,
    Period,
)
from xdeepr.deepr_compat.configuration.section import note
from xdeepr.errors import AxisError, GridError, OptionError
from xdeepr.grids import Grid, grid_of, gridded, relate
from xdeepr.inputs.covariates import covariates_on, describe_covariates

DEFAULT_FACTOR = 4
"""HR cells in an LR cell where there are only labels, so that the LR field is made of them."""

_TOLERANCE = 0.01
"""Part of a cell by which a cell's centre may miss the box: coordinates are often rounded."""

_HERE, _FEATURES, _LABELS = "data_configuration", "features_configuration", "label_configuration"
_AUXILIARY = f"{_HERE}.{_FEATURES}.add_auxiliary"


@dataclass(frozen=True)
class Part:
    """LR and HR fields of one split; `hr` is None where there are no labels."""

    lr: xr.Dataset
    hr: xr.Dataset | None

    def fields(self, whole_cells: bool = False) -> tuple[xr.Dataset, xr.Dataset]:
        """Return both, where it was checked that there are labels; if asked, on whole LR cells."""
        assert self.hr is not None
        return self.lr, on_whole_cells(self.lr, self.hr) if whole_cells else self.hr


@dataclass(frozen=True)
class Data:
    """The splits by name, "all" if there are none; static covariates on the HR grid."""

    parts: Mapping[str, Part]
    statics: xr.Dataset | None

    @property
    def training(self) -> Part:
        """The part to train on."""
        part = self.parts.get("all", self.parts.get("train"))
        if part is None:
            raise OptionError(
                "data_configuration: the splits leave no time for training: give"
                " split_coverages.train, or smaller parts for validation and test."
            )
        return part


def open_data(configuration: DataConfiguration, *, statics: tuple[str, ...] | None = None) -> Data:
    """Open, cut and split fields lazily; `statics` take the place of those `add_auxiliary` has."""
    features, labels = configuration.features_configuration, configuration.label_configuration
    periods = configuration.periods()
    months = frozenset().union(*(p.months() for p in periods.values())) if periods else None
    hr = None
    if labels is not None:
        hr = _opened(labels, labels.names, months, f"{_HERE}.{_LABELS}")
    if features is not None and features.location is not None:
        lr = _opened(features, features.variables or (), months, f"{_HERE}.{_FEATURES}")
    else:
        assert hr is not None  # checked when the configuration was read
        lr, hr = _coarsened(hr, features)
    wanted = statics if statics is not None else configuration.asked_statics()
    if hr is None and wanted:
        note(
            f"{_AUXILIARY}: static fields are not read: there is no"
            f" {_LABELS}, on whose grid they would be"
        )
    return Data(
        _split(configuration, lr, hr),
        _statics(configuration, wanted, lr, hr) if wanted and hr is not None else None,
    )


def _opened(
    fields: FieldsConfiguration, names: Sequence[str], months: frozenset[str] | None, role: str
) -> xr.Dataset:
    """Open the fields of a section, in its box."""
    ds = open_fields(fields, names, months, role=role)
    return ds if fields.spatial_coverage is None else within(ds, fields.spatial_coverage, role)


def _coarsened(
    hr: xr.Dataset, features: FeaturesConfiguration | None
) -> tuple[xr.Dataset, xr.Dataset]:
    """Make the LR fields of the labels; cut the labels to whole LR cells."""
    from xdeepr.grids.coarsening import coarsen

    factor = (features.factor if features is not None else None) or DEFAULT_FACTOR
    axes = cf.find_axes(hr)
    kept = {dim: hr.sizes[dim] // factor * factor for dim in (axes.y, axes.x)}
    if any(kept[dim] != hr.sizes[dim] for dim in kept):
        note(
            f"the labels were cut to {kept[axes.y]} × {kept[axes.x]} cells, multiples of the factor"
            f" {factor}"
        )
    if features is None:
        note(
            f"there is no features_configuration: the LR field is the labels, coarsened by {factor}"
        )
    for key in ("data_name", "spatial_resolution"):
        if getattr(features, key, None) is not None:
            note(f"{_HERE}.{_FEATURES}.{key} has no effect: the coarse field is made of the labels")
    hr = hr.isel({dim: slice(0, size) for dim, size in kept.items()})
    names = features.variables if features is not None else None
    return coarsen(hr if names is None else hr[list(names)], factor), hr


# --- the box ------------------------------------------------------------------------------


def within(ds: xr.Dataset, coverage: Coverage, role: str) -> xr.Dataset:
    """Return the cells of a latitude/longitude grid with centres in a box, in its longitudes."""
    grid = grid_of(ds)
    if not grid.geographic:
        raise GridError(
            f"{role}.spatial_coverage is in degrees, but the grid is {grid.kind}: leave it out, or"
            " cut the files."
        )
    axes = cf.find_axes(ds)
    latitude, longitude = ds[axes.y].values, ds[axes.x].values
    south, north = sorted(coverage.latitude)
    west, east = sorted(coverage.longitude)
    slack_y, slack_x = _TOLERANCE * grid.y.step, _TOLERANCE * grid.x.step
    rows = np.flatnonzero((latitude >= south - slack_y) & (latitude <= north + slack_y))
    offset = (longitude - west + slack_x) % 360 - slack_x  # eastward of the box's western side
    columns = np.flatnonzero(offset <= east - west + slack_x)
    if rows.size == 0 or columns.size == 0:
        raise GridError(
            f"{role}.spatial_coverage holds no cell: the data cover latitude {latitude.min():g} to"
            f" {latitude.max():g} and longitude {longitude.min():g} to {longitude.max():g}."
        )
    if (np.diff(columns) != 1).any():  # the box crosses the seam of the data's longitudes
        columns = columns[np.argsort(offset[columns])]
    inside = ds.isel({axes.y: rows, axes.x: columns})
    moved = west + offset[columns]
    if np.abs(moved - longitude[columns]).max() > slack_x:
        inside = inside.drop_vars(ds[axes.x].attrs.get("bounds", ()), errors="ignore")
        attrs = {k: v for k, v in ds[axes.x].attrs.items() if k != "bounds"}
        inside = inside.assign_coords({axes.x: (axes.x, moved, attrs)})
    steps = (axes.y, "latitude", grid.y.step), (axes.x, "longitude", grid.x.step)
    for dim, key, step in steps:
        low, high = sorted(getattr(coverage, key))
        first, last = float(inside[dim].min()), float(inside[dim].max())
        if first - low > step or high - last > step:
            note(
                f"{role}.spatial_coverage asks for {key} {low:g} to {high:g}, the data have"
                f" {first:g} to {last:g} of it"
            )
    return inside


def on_whole_cells(lr: xr.Dataset, hr: xr.Dataset) -> xr.Dataset:
    """Return the labels that fill whole LR cells; nothing is computed."""
    axes = cf.find_axes(hr)
    factor, margin = relate(grid_of(lr), grid_of(hr))
    cut = {}
    for dim, low in ((axes.y, margin[0]), (axes.x, margin[2])):
        first = -low % factor  # counted from the low side
        last = first + (hr.sizes[dim] - first) // factor * factor
        ascending, size = hr[dim].values[0] < hr[dim].values[-1], hr.sizes[dim]
        cut[dim] = slice(first, last) if ascending else slice(size - last, size - first)
    return hr.isel(cut)


# --- times --------------------------------------------------------------------------------


def at_times(ds: xr.Dataset, period: Period, role: str) -> xr.Dataset:
    """Return the times of a period, in the months that it names; in any calendar."""
    axes = cf.find_axes(ds)
    if axes.time is None:
        raise AxisError(f"{role}: the fields have no time axis, so no period can be chosen.")
    cf.check_time(ds, axes.time)
    cut = ds.sel({axes.time: slice(period.start, period.end)})
    inside = cut[axes.time].dt.strftime("%Y%m").isin(sorted(period.months())).values
    if not inside.any():
        index = ds.indexes[axes.time]
        raise AxisError(
            f"{role}: there is no time from {period.start} to {period.end} (frequency"
            f" {period.frequency}); the data run from {index[0]} to {index[-1]}."
        )
    return cut if inside.all() else cut.isel({axes.time: np.flatnonzero(inside)})


def _split(
    configuration: DataConfiguration, lr: xr.Dataset, hr: xr.Dataset | None
) -> dict[str, Part]:
    """Cut the fields to the splits; nothing is computed."""
    periods, common = configuration.periods(), configuration.common_configuration
    parts = {} if periods else {"all": Part(lr, hr)}
    for name, period in periods.items():
        role = f"{_HERE}.{'common_configuration' if common else f'split_coverages.{name}'}"
        labels = None if hr is None else at_times(hr, period, role)
        parts[name] = Part(at_times(lr, period, role), labels)
    return parts if common is None else _fractions(parts["all"], common.data_split)


def _fractions(whole: Part, split: DataSplit) -> dict[str, Part]:
    """Split a period: training first, then validation, then test."""
    leading = whole.lr if whole.hr is None else whole.hr
    times = leading.indexes[str(cf.find_axes(leading).time)]
    tested = round(split.test * times.size)
    watched = min(round(split.validation * times.size), times.size - tested)
    sizes = {"train": times.size - watched - tested, "validation": watched, "test": tested}
    parts, first = {}, 0
    for name, size in sizes.items():
        if size:
            window = slice(times[first], times[first + size - 1])
            labels = None if whole.hr is None else _between(whole.hr, window, name)
            parts[name] = Part(_between(whole.lr, window, name), labels)
        first += size
    return parts


def _between(ds: xr.Dataset, window: slice, name: str) -> xr.Dataset:
    """Return the times in a window, both ends included."""
    time = str(cf.find_axes(ds).time)
    cut = ds.sel({time: window})
    if cut.sizes[time] == 0:
        raise AxisError(
            f"{_HERE}.common_configuration.data_split: the {name} part holds no time of the coarse"
            " fields."
        )
    return cut


# --- static fields ------------------------------------------------------------------------


def static_covariates(
    data: DataConfiguration, training: TrainingConfiguration, options: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the static covariates; the keywords of `fit` say if the normalization needs a mask."""
    features, parameters = data.features_configuration, training.parameters
    unused = set(parameters.encodings().values()) == {"none"}
    if features is not None and features.add_auxiliary.time and unused:
        note(f"{_AUXILIARY}.time has no effect: {PARAMETERS}.hour_embed_type is 'none'")
    chosen = auxiliary = data.asked_statics()
    if parameters.static_covariables is not None:
        chosen = tuple(map(_static_name, parameters.static_covariables))
        for name in auxiliary:
            if name not in chosen:
                note(
                    f"{_AUXILIARY}.{name} has no effect: {PARAMETERS}.static_covariables does not"
                    " list it"
                )
    if training.type == "autoencoder" and chosen:
        note(f"{_HERE}: static fields have no effect: an autoencoder has no covariates")
        chosen = ()
    if options.get("normalization") == "landmask-wise":
        chosen = _with_mask(data, chosen)
    unread_statics(data, chosen)
    return chosen


def _static_name(name: str) -> str:
    """Read "lsm" and "orog" as the fine ones."""
    full = f"{name}-high" if name in ("lsm", "orog") else name
    if full not in STATICS:
        near = nearest(name, STATICS, count=1)[0]
        raise OptionError(f"{PARAMETERS}.static_covariables: {name!r} is unknown. Nearest: {near}")
    return full


def unread_statics(data: DataConfiguration, chosen: tuple[str, ...]) -> None:
    """Say which locations of static fields are not read, those not chosen."""
    for name in STATICS:
        section, key, location = data.static_location(name)
        if location is not None and name not in chosen:
            note(f"{_HERE}.{section}.{key} is not read: add_auxiliary.{name} does not ask for it")


def _with_mask(data: DataConfiguration, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Add a land–sea mask, by which fields are normalized."""
    if "lsm-high" in chosen or "lsm-low" in chosen:
        return chosen
    for name in ("lsm-high", "lsm-low"):
        if data.static_location(name)[2] is not None:
            note(f"{name} is a condition of the network too, because the method is landmask-wise")
            return (name, *chosen)
    raise OptionError(
        f"{_HERE}: the method 'landmask-wise' needs a land–sea mask: give"
        " label_configuration.land_mask_location."
    )


def _statics(
    configuration: DataConfiguration, wanted: Sequence[str], lr: xr.Dataset, hr: xr.Dataset
) -> xr.Dataset:
    """Open static fields and bring them onto HR cells.

    These are the HR cells of the whole LR domain if all fields cover it (some normalizations need
    that), otherwise those of the HR domain. Coarse fields are interpolated and get the ending
    ``_low``.
    """
    fields = [_static(configuration, name) for name in wanted]
    lr_grid, hr_grid = grid_of(lr), grid_of(hr)
    factor, _ = relate(lr_grid, hr_grid)
    try:
        return _on(lr_grid.refine(factor), fields)
    except GridError:
        return _on(hr_grid, fields)


def _static(configuration: DataConfiguration, name: str) -> xr.DataArray:
    """Open one static field, under the name it is to have."""
    section, key, location = configuration.static_location(name)
    if location is None:
        raise OptionError(
            f"{_AUXILIARY}.{name} is asked for, but {section}.{key} does not say where it is."
        )
    field = open_static(location, key)
    return field.rename(f"{field.name}_low") if name.endswith("-low") else field


def _on(grid: Grid, fields: Sequence[xr.DataArray]) -> xr.Dataset:
    """Return fields on a grid, ascending, with its coordinates and projection."""
    dims = (grid.y.name, grid.x.name)
    coords = {axis.name: (axis.name, axis.known(), dict(axis.attrs)) for axis in (grid.y, grid.x)}
    out = xr.Dataset(coords=coords)
    for field in fields:
        source = gridded(field)
        (quantity,), _ = describe_covariates(source)
        attrs = {**quantity.attrs, "units": quantity.units}
        if grid.mapping is not None:
            attrs["grid_mapping"] = grid.mapping[0]
        out[str(field.name)] = (dims, covariates_on(grid, source, (quantity,))[0], attrs)
    if grid.mapping is not None:
        out[grid.mapping[0]] = ((), 0, grid.mapping[1])
    return out
