"""Bring a forecast and what it is compared with onto the same times, cells and units."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import dask
import numpy as np
import pandas as pd
import xarray as xr

from xdeepr import cf
from xdeepr.cf import Axes
from xdeepr.cf.dimensions import is_ensemble
from xdeepr.errors import AxisError, GridError
from xdeepr.grids import Grid
from xdeepr.verification.metrics import REALIZATION

_TOLERANCE = 1e-2
"""Relative to a cell; float32 coordinates of a projected grid are off by less."""

_BLOCK_BYTES = 2**23
"""Largest block, as float64, that one task turns into statistics, which need some copies."""

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Field:
    """One variable in standard form, ([realization], [time], y, x) in the user's order.

    It has only index coordinates, and a dimension of time where it had a scalar time. Messages
    call it by its `role`, such as "reference".
    """

    data: xr.DataArray
    axes: Axes
    grid: Grid
    role: str

    @property
    def is_ensemble(self) -> bool:
        """Whether the field has an ensemble dimension."""
        return REALIZATION in self.data.dims


def counterpart(source: cf.Gridded[Grid], like: xr.DataArray, role: str) -> str:
    """Return the name of the variable that stands for the quantity `like`.

    A DataArray is taken as it is; see :func:`xdeepr.cf.select_variable` for a Dataset.
    """
    if isinstance(source.given, xr.DataArray) and len(source.fields) == 1:
        return source.fields[0]
    return source.variable(str(like.name), like.attrs.get("standard_name"), role=role)


def standard_field(source: cf.Gridded[Grid], name: str, role: str) -> Field:
    """Bring one variable into standard form (see :class:`Field`); nothing is computed."""
    da = source.dataset[name]
    time = source.axes.time if source.axes.time in da.dims else None
    da = cf.at_valid_times(da, time)
    cf.check_time(da, time)
    if time is None and (single := cf.valid_time(da, None)) is not None:
        time = str(single.name)
        da = da.assign_coords({time: single}).expand_dims(time)
    axes = replace(source.axes, time=time)
    others = [str(d) for d in da.dims if d not in (axes.time, axes.y, axes.x)]
    members = [d for d in others if is_ensemble(da[d])]
    if len(others) > len(members) or len(members) > 1:
        raise AxisError(
            f"the {role} {da.name!r} has the dimensions {tuple(da.dims)}; besides time, y and x "
            f"only one ensemble dimension called {REALIZATION!r} can be used. Select one value of "
            f"{', '.join(map(repr, others))}, e.g. with .isel({others[0]}=0)."
        )
    bare = da.reset_coords(drop=True)
    if members:
        bare = bare.rename({members[0]: REALIZATION}) if members[0] != REALIZATION else bare
    order = [d for d in (REALIZATION, axes.time, axes.y, axes.x) if d in bare.dims]
    return Field(bare.transpose(*order), axes, source.grid, role)


def on_forecast_grid(field: Field, forecast: Field) -> Field:
    """Select from `field` the cells of `forecast`, in its order, convention and units.

    The field may cover more than the forecast; the cells must be the same.
    """
    ours, theirs = forecast.axes, field.axes
    names = ((theirs.y, ours.y), (theirs.x, ours.x), (theirs.time, ours.time))
    renamed = {old: new for old, new in names if old and new and old != new}
    data, target = field.data.rename(renamed), forecast.data
    for name, index in _cells(field, forecast).items():
        if not np.array_equal(index, np.arange(data.sizes[name])):
            data = data.isel({name: index})
        data = data.assign_coords({name: target[name]}) if name in target.coords else data
    axes = replace(ours, time=ours.time if theirs.time else None)
    data = cf.convert_units(data, cf.units_of(target))
    return Field(data, axes, forecast.grid, field.role)


def _cells(field: Field, forecast: Field) -> dict[str, np.ndarray]:
    """Return the rows and columns of a field that are the cells of the forecast, in its order."""
    role, ours, theirs = field.role, forecast.grid, field.grid
    if not ours.same_kind(theirs):
        raise GridError(
            f"the {role} is on a {theirs.kind} grid, the forecast on a {ours.kind} one. Regrid the"
            f" {role} to the forecast's grid first."
        )
    for a, b in zip(ours.axes, theirs.axes, strict=True):
        if ours.rectilinear and abs(a.step - b.step) > _TOLERANCE * a.step:
            raise GridError(
                f"the {role} has a grid step of {b.step:g} along {a.name!r}, the forecast of"
                f" {a.step:g}. Regrid the {role} to the forecast's grid first."
            )
    at = theirs.locate(ours)
    if not at.same(_TOLERANCE):
        worst = max(float(off.max()) for off in at.off)
        cause = f"it covers {theirs.extent()}, the forecast {ours.extent()}"
        if worst > _TOLERANCE:
            cause += f", and centres are up to {worst:.2g} cells apart"
        raise GridError(
            f"the {role} does not have the cells of the forecast: {cause}. Regrid the {role} to"
            f" the forecast's grid, or select the part of the forecast that the {role} covers."
        )
    index = {}
    for a, b, numbers in zip(ours.axes, theirs.axes, (at.rows, at.columns), strict=True):
        numbers = b.size - 1 - numbers if b.descending else numbers
        index[a.name] = numbers[::-1] if a.descending else numbers
    return index


def join_times(fields: Mapping[_Key, Field]) -> dict[_Key, xr.DataArray]:
    """Select the times that all fields share; AxisError if there are none."""
    times = {key: field.axes.time for key, field in fields.items()}
    if not any(times.values()):
        return {key: field.data for key, field in fields.items()}
    without = [fields[key].role for key, time in times.items() if time is None]
    if without:
        raise AxisError(
            f"the {' and the '.join(without)} has no time coordinate, the other fields have one. "
            "Give it one, e.g. with .expand_dims(time=[...])."
        )
    first, *others = fields.values()
    time = str(first.axes.time)
    common = first.data.indexes[time]
    for field in others:
        index = field.data.indexes[time]
        shared = common[common.isin(index)]
        if len(shared) == 0:
            raise AxisError(
                f"the {field.role} ({_period(index)}) has no time in common with the "
                f"{first.role} ({_period(common)}). Check periods, hours and calendars; "
                "shift or convert one of them, e.g. with .convert_calendar(...)."
            )
        common = shared
    return {
        key: field.data
        if field.data.indexes[time].equals(common)
        else field.data.sel({time: common})
        for key, field in fields.items()
    }


def in_bounded_blocks(
    data: Mapping[_Key, xr.DataArray], whole: Sequence[str] = ()
) -> dict[_Key, xr.DataArray]:
    """Give all fields the same chunks, small enough for statistics in bounded memory.

    All realizations of a cell come into one block, since a CRPS needs them together, and so do
    dimensions that have to be `whole`; blocks of the others follow the first ensemble's chunks
    where these are small enough.
    """
    widest = max(data.values(), key=lambda da: da.sizes.get(REALIZATION, 1))
    together = (REALIZATION, *whole)
    chunks: dict[Any, Any] = {d: -1 if d in together else "auto" for d in widest.dims}
    limit = _BLOCK_BYTES * widest.dtype.itemsize // 8
    with dask.config.set({"array.chunk-size": limit}):
        blocks = widest.chunk(chunks).chunksizes
    same = {d: size for d, size in blocks.items() if d != REALIZATION}
    return {
        key: da.chunk({**same, REALIZATION: -1} if REALIZATION in da.dims else same)
        for key, da in data.items()
    }


def _period(index: pd.Index) -> str:
    return f"{index[0]} to {index[-1]}, {len(index)} times"
