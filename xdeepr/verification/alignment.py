"""Bring a forecast and what it is compared with onto the same times, cells and units."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import dask
import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.cf import Axes
from xdeepr.errors import AxisError, GridError
from xdeepr.grids import Grid
from xdeepr.verification.metrics import REALIZATION

_TOLERANCE = 1e-2
"""Relative to a cell; float32 coordinates of a projected grid are off by less."""

_BLOCK_BYTES = 2**23
"""Largest block, as float64, that one task turns into statistics, which need some copies."""

_Key = TypeVar("_Key", bound=Hashable)
_MEMBER_NAMES = (REALIZATION, "member", "number", "ensemble")


@dataclass(frozen=True, eq=False)
class Field:
    """One variable in standard form: only index coordinates, ensemble dimension `realization`.

    Attributes
    ----------
    data
        The field with dimensions ([realization], [time], y, x) in the user's order.
    axes
        Names of its dimensions; `time` is set where the field has a scalar time coordinate too.
    grid
        Its grid, from the object as it was given.
    role
        What the field is for, as error messages call it ("reference", "baseline"...).
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
    """Bring one variable into standard form (see :class:`Field`); nothing is computed.

    Raises
    ------
    AxisError
        If times are unsorted, or there is a dimension that no axis explains.
    """
    da = source.dataset[name]
    time = source.axes.time if source.axes.time in da.dims else None
    da = cf.at_valid_times(da, time)
    cf.check_time(da, time)
    if time is None and (single := cf.valid_time(da, None)) is not None:
        time = str(single.name)
        da = da.assign_coords({time: single}).expand_dims(time)
    axes = replace(source.axes, time=time)
    others = [str(d) for d in da.dims if d not in (axes.time, axes.y, axes.x)]
    members = [d for d in others if _is_member_dim(da, d)]
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

    Raises
    ------
    GridError
        If the cells are not those of the forecast, or do not cover it.
    UnitsError
        If units are missing or cannot be converted.
    """
    if field.grid.kind != forecast.grid.kind:
        raise GridError(
            f"The {field.role} is on a {field.grid.kind} grid, the forecast on a "
            f"{forecast.grid.kind} one. Regrid the {field.role} to the forecast's grid first."
        )
    renamed = {
        old: new
        for old, new in (
            (field.axes.y, forecast.axes.y),
            (field.axes.x, forecast.axes.x),
            (field.axes.time, forecast.axes.time),
        )
        if old is not None and new is not None and old != new
    }
    data = field.data.rename(renamed)
    target = forecast.data
    if forecast.grid.kind == "curvilinear":
        data = _same_places(data, field, forecast)
        axes = Axes(
            forecast.axes.y, forecast.axes.x, forecast.axes.time if field.axes.time else None
        )
        data = cf.convert_units(data, cf.units_of(target))
        return Field(data, axes, forecast.grid, field.role)
    for name, ours, theirs in (
        (forecast.axes.y, forecast.grid.y.step, field.grid.y.step),
        (forecast.axes.x, forecast.grid.x.step, field.grid.x.step),
    ):
        period = 360.0 if name == forecast.axes.x and forecast.grid.kind != "projected" else None
        if abs(ours - theirs) > _TOLERANCE * ours:
            raise GridError(
                f"The {field.role} has a grid step of {theirs:g} along {name!r}, the forecast of "
                f"{ours:g}. Regrid the {field.role} to the forecast's grid first."
            )
        index = _cells(target[name].values, data[name].values, ours, period, name, field.role)
        if not np.array_equal(index, np.arange(data.sizes[name])):
            data = data.isel({name: index})
        data = data.assign_coords({name: target[name]})
    axes = Axes(forecast.axes.y, forecast.axes.x, forecast.axes.time if field.axes.time else None)
    data = cf.convert_units(data, cf.units_of(target))
    return Field(data, axes, forecast.grid, field.role)


def _same_places(data: xr.DataArray, field: Field, forecast: Field) -> xr.DataArray:
    """Select the cells of a curvilinear forecast, by latitude and longitude."""
    ours, theirs = forecast.grid.places, field.grid.places
    first = None if ours is None or theirs is None else theirs.locate(ours)
    if first is None or ours is None:
        raise GridError(
            f"The {field.role} does not have the cells of the forecast: their latitudes and"
            f" longitudes differ. Regrid the {field.role} to the forecast's grid, or select the "
            f"part of the forecast that the {field.role} covers."
        )
    dims = (forecast.axes.y, forecast.axes.x)
    part = {d: slice(a, a + n) for d, a, n in zip(dims, first, ours.shape, strict=True)}
    return data.isel(part).drop_vars([d for d in dims if d in data.coords])


def join_times(fields: Mapping[_Key, Field]) -> dict[_Key, xr.DataArray]:
    """Select the times that all fields share.

    Raises
    ------
    AxisError
        If there are none, or only some of the fields have a time.
    """
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


def _is_member_dim(da: xr.DataArray, dim: str) -> bool:
    standard_name = da[dim].attrs.get("standard_name") if dim in da.coords else None
    return dim in _MEMBER_NAMES or standard_name == REALIZATION


def _cells(
    target: np.ndarray,
    source: np.ndarray,
    step: float,
    period: float | None,
    name: str,
    role: str,
) -> np.ndarray:
    """Index in `source` of each cell centre in `target`; GridError where there is none."""
    distance = target.astype(float)[:, np.newaxis] - source.astype(float)[np.newaxis, :]
    if period is not None:
        distance = (distance + period / 2) % period - period / 2
    distance = np.abs(distance)
    index = distance.argmin(axis=1)
    off = distance.min(axis=1)
    worst = int(off.argmax())
    if off[worst] > _TOLERANCE * step:
        raise GridError(
            f"the {role} has no cell at {name}={target[worst]:g}: its nearest centre is "
            f"{off[worst] / step:.2f} cells away, its range {source.min():g} to {source.max():g}, "
            f"the forecast's {target.min():g} to {target.max():g}. Regrid the {role} to the "
            f"forecast's grid, or select the part of the forecast that the {role} covers."
        )
    return index


def _period(index: object) -> str:
    first, last = str(index[0]), str(index[-1])  # type: ignore[index]
    return f"{first} to {last}, {len(index)} times"  # type: ignore[arg-type]
