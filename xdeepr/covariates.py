"""Bring covariates onto the HR grid: static ones at once, those that vary in time lazily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.card import Quantity
from xdeepr.conditioning import FIELD, describe
from xdeepr.errors import AxisError, GridError, MissingValuesError, UnitsError
from xdeepr.grid import Grid, ascending, grid_of

_EDGE = 1024
"""HR pixels along the edge of a chunk of lazy fields, as of a block."""


def describe_covariates(
    covariates: xr.Dataset,
) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
    """Return the static covariates of a dataset, and those that vary in time.

    Units that are missing count as "1": masks and fractions often come without. They only need
    the same units in training and in use, so "1" is safe.

    Raises
    ------
    AxisError
        If a field varies along a dimension other than time and the horizontal ones.
    """
    axes = cf.find_axes(covariates)
    static: list[Quantity] = []
    varying: list[Quantity] = []
    for name in cf.spatial_variables(covariates, axes):
        field = _without_single_dims(covariates[[name]], name)
        kind = varying if axes.time in field.dims else static
        try:
            kind.append(describe(field))
        except UnitsError:
            if field.attrs.get("units"):
                raise
            kind.append(describe(field.assign_attrs(units="1")))
    return tuple(static), tuple(varying)


def covariates_on(grid: Grid, covariates: xr.Dataset, quantities: Sequence[Quantity]) -> np.ndarray:
    """Bring static covariates onto the HR grid.

    Fields that are on this grid (or on a larger one with the same cells) are taken as they
    are; others are interpolated bilinearly by coordinates.

    Parameters
    ----------
    grid : Grid
        The HR grid.
    covariates : xarray.Dataset
        Static fields; a time dimension of size 1 is dropped.
    quantities : sequence of Quantity
        Fields and units wanted.

    Returns
    -------
    numpy.ndarray
        float32, shape (covariate, y, x), ascending.

    Raises
    ------
    AxisError
        If a covariate varies in time.
    GridError
        If the covariates are on another kind of grid or do not cover the HR grid.
    MissingValuesError
        If a covariate is not finite somewhere on the HR grid.
    """
    fields = np.asarray(statics_on(grid, covariates, quantities))
    check_statics(fields, quantities)
    return fields


def statics_on(grid: Grid, covariates: xr.Dataset, quantities: Sequence[Quantity]) -> da.Array:
    """Bring static covariates onto the HR grid, lazily where they are lazy.

    Parameters
    ----------
    grid, covariates, quantities
        See :func:`covariates_on`.

    Returns
    -------
    dask.array.Array
        float32, shape (covariate, y, x), ascending. Fields in memory are checked and travel in
        the graph; tasks read the part that they need of others, and have to check it.

    Raises
    ------
    AxisError, GridError, MissingValuesError
        See :func:`covariates_on`.
    """
    fields = []
    for quantity in quantities:
        field = _wanted(covariates, quantity)
        extra = sorted(set(map(str, field.dims)) - set(_horizontal(field)))
        if extra:
            raise AxisError(
                f"covariate {field.name!r} varies along {extra[0]!r}, but the model knows it as a"
                f" static field: select one entry, for example covariates.isel({extra[0]}=0)."
            )
        values = regrid(field.astype("float64"), grid).data.astype(np.float32)
        if isinstance(values, np.ndarray):
            check_statics(values[None], [quantity])
            values = da.from_array(values, chunks=_EDGE)
        fields.append(values)
    if not fields:
        return da.zeros((0, *grid.shape), chunks=(1, _EDGE, _EDGE), dtype=np.float32)
    return da.stack(fields)


def check_statics(fields: np.ndarray, quantities: Sequence[Quantity]) -> None:
    """Refuse missing values.

    Parameters
    ----------
    fields : numpy.ndarray
        Shape (covariate, y, x).
    quantities : sequence of Quantity
        What they are, for the message.

    Raises
    ------
    MissingValuesError
        Names the covariate.
    """
    for quantity, field in zip(quantities, fields, strict=True):
        if not np.isfinite(field).all():
            raise MissingValuesError(
                f"covariate {quantity.name!r} has missing values on the HR grid: fill them, for"
                f" example covariates[{quantity.name!r}].fillna(0) where 0 is the value over sea."
            )


def varying_on(
    grid: Grid, covariates: xr.Dataset, quantities: Sequence[Quantity], time: xr.DataArray | None
) -> da.Array:
    """Bring covariates that vary in time onto the HR grid, lazily.

    Parameters
    ----------
    grid : Grid
        The HR grid.
    covariates : xarray.Dataset
        Fields with a time dimension, on the HR grid or on any that covers it.
    quantities : sequence of Quantity
        Fields and units wanted.
    time : xarray.DataArray
        Times wanted.

    Returns
    -------
    dask.array.Array
        float32, shape (time, covariate, y, x), ascending.

    Raises
    ------
    AxisError
        If a time is missing.
    GridError
        If the covariates are on another kind of grid or do not cover the HR grid.
    """
    fields = []
    for quantity in quantities:
        field = _wanted(covariates, quantity, keep_time=True)
        dim = cf.find_axes(field).time
        if time is None or dim is None:
            raise AxisError(
                f"covariate {field.name!r} varies in time for this model, but"
                f" {'the data' if time is None else 'the covariate'} has no time dimension: give"
                " both with the same times."
            )
        field = _at_times(field, dim, np.atleast_1d(time.values))
        if field.chunks is None:
            field = field.chunk({dim: "auto"})
        on_grid = regrid(field.astype("float32"), grid)
        fields.append(on_grid.transpose(dim, ...).data.astype(np.float32))
    return da.stack(fields, axis=1)


def solar_on(grid: Grid, features: Mapping[str, str], time: xr.DataArray | None) -> da.Array | None:
    """Return the fields of the sun's position on the HR grid, lazily.

    Parameters
    ----------
    grid : Grid
        The HR grid; needs latitude and longitude.
    features : mapping of str to str
        Time features of a model.
    time : xarray.DataArray
        The times.

    Returns
    -------
    dask.array.Array or None
        float32, shape (time, channel, y, x): cosine and sine of the local solar time, cosine of
        the zenith angle; None if the model knows neither.

    Raises
    ------
    GridError
        If latitude and longitude cannot be had.
    """
    wanted = [name for name, encoding in features.items() if encoding == FIELD]
    if not wanted or time is None:
        return None
    from xdeepr.solar import cos_solar_zenith, local_solar_time

    def fields(times: np.ndarray, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
        channels = []
        for name in wanted:
            if name == "cos_solar_zenith":
                channels.append(cos_solar_zenith(times, latitude, longitude))
            else:
                angle = 2 * np.pi * local_solar_time(times, longitude) / 24
                channels += [np.cos(angle), np.sin(angle)]
        return np.stack(channels, axis=1).astype(np.float32)

    latitude, longitude = _lazy_positions(grid)
    size = max(1, 2**24 // (min(grid.shape[0], _EDGE) * min(grid.shape[1], _EDGE)))
    times = da.from_array(np.atleast_1d(time.values), chunks=size)  # 64 MB a chunk and channel
    return da.blockwise(
        fields, "tcyx", times, "t", latitude, "yx", longitude, "yx",
        new_axes={"c": solar_channels(features)},
        dtype=np.float32,
        meta=np.empty((0, 0, 0, 0), np.float32),
    )  # fmt: skip


def _lazy_positions(grid: Grid) -> tuple[da.Array, da.Array]:
    """Return latitude and longitude of the cell centres (y, x), in chunks of about a block."""
    if grid.kind == "latlon":  # two vectors in the graph instead of two fields
        axes = [da.from_array(axis.centres, chunks=_EDGE) for axis in (grid.y, grid.x)]
        latitude, longitude = da.meshgrid(*axes, indexing="ij")
    else:
        from xdeepr.solar import geographic_coordinates

        latitude, longitude = (da.from_array(a, _EDGE) for a in geographic_coordinates(grid))
    return latitude, longitude


def solar_channels(features: Mapping[str, str]) -> int:
    """Return the number of channels of :func:`solar_on`."""
    sizes = {"local_solar_time": 2, "cos_solar_zenith": 1}
    return sum(sizes.get(name, 0) for name, encoding in features.items() if encoding == FIELD)


def _wanted(covariates: xr.Dataset, quantity: Quantity, *, keep_time: bool = False) -> xr.DataArray:
    """Return the field that is meant, in the units wanted."""
    name = cf.select_variable(
        covariates, name=quantity.name, standard_name=quantity.standard_name, role="covariate"
    )
    field = _without_single_dims(covariates[[name]], name, keep_time=keep_time)
    if not field.attrs.get("units") and quantity.units == "1":
        field = field.assign_attrs(units="1")
    return cf.convert_units(field, quantity.units)


def _without_single_dims(ds: xr.Dataset, name: str, *, keep_time: bool = False) -> xr.DataArray:
    """Return a field without its dimensions of size 1, refusing others than time, y and x."""
    axes = cf.find_axes(ds)
    field = ds[name]
    for dim in map(str, field.dims):
        if dim in (axes.y, axes.x) or (dim == axes.time and (keep_time or field.sizes[dim] > 1)):
            continue
        if field.sizes[dim] > 1:
            raise AxisError(
                f"covariate {name!r} varies along {dim!r}, but covariates vary in time at most:"
                f" select one entry, for example covariates.isel({dim}=0)."
            )
        field = field.isel({dim: 0}, drop=True)
    return field


def _horizontal(field: xr.DataArray) -> tuple[str, str]:
    """Return the names of the horizontal dimensions."""
    axes = cf.find_axes(field)
    return axes.y, axes.x


def _at_times(field: xr.DataArray, dim: str, times: np.ndarray) -> xr.DataArray:
    """Return a field at the times of the predictors."""
    index = field.indexes[dim]
    positions = index.get_indexer(times)
    if (positions < 0).any():
        raise AxisError(
            f"covariate {field.name!r} has no value at {times[positions < 0][0]}: it needs all the"
            f" times of the predictors; it has {index[0]} to {index[-1]}."
        )
    return field.isel({dim: positions})


def regrid(field: xr.DataArray, grid: Grid, *, role: str = "covariate") -> xr.DataArray:
    """Interpolate a field bilinearly to the centres of a grid; lazy where the field is.

    Parameters
    ----------
    field : xarray.DataArray
        On a grid of the same kind that covers the other one.
    grid : Grid
        Where its values are wanted.
    role : str
        What the field is, for error messages.

    Returns
    -------
    xarray.DataArray
        Ascending, with the field's own dimensions.

    Raises
    ------
    GridError
        If the grids are of different kinds, or the field does not cover the grid.
    """
    source = grid_of(field)
    if source.kind != grid.kind:
        raise GridError(
            f"{role} {field.name!r} is on a {source.kind} grid, the HR grid is {grid.kind}:"
            f" regrid the {role} to the HR grid first."
        )
    axes = cf.find_axes(field)
    field = ascending(field, axes).reset_coords(drop=True)
    if grid.kind == "curvilinear":
        return _same_cells(field, axes, source, grid)
    field = field.assign_coords({axes.y: source.y.centres, axes.x: source.x.centres})
    wanted: dict[str, Any] = {"y": grid.y.centres, "x": grid.x.centres}
    if grid.kind == "latlon":
        wanted["x"], field = around_the_globe(field, axes.x, source, wanted["x"])
    for dim, key, axis in ((axes.y, "y", source.y), (axes.x, "x", source.x)):
        low, high = axis.edges[0] - 0.01 * axis.step, axis.edges[-1] + 0.01 * axis.step
        if (wanted[key] < low).any() or (wanted[key] > high).any():
            raise GridError(
                f"{role} {field.name!r} covers {dim} {axis.edges[0]:g} to {axis.edges[-1]:g},"
                f" the HR grid needs {wanted[key].min():g} to {wanted[key].max():g}: give a"
                f" {role} that covers the HR domain."
            )
        centres = field[dim].values
        wanted[key] = np.clip(wanted[key], centres[0], centres[-1])
    same = {
        dim: _run_of(wanted[key], field[dim].values, 1e-3 * axis.step)
        for dim, key, axis in ((axes.y, "y", source.y), (axes.x, "x", source.x))
    }
    if None not in same.values():
        return field.isel(same)
    places = {axes.y: wanted["y"], axes.x: wanted["x"]}
    return field.interp(places) if field.chunks is None else _in_parts(field, places)


def _in_parts(field: xr.DataArray, places: Mapping[str, np.ndarray]) -> xr.DataArray:
    """Interpolate a lazy field to the points of a grid, in parts of the size of a block.

    A part needs of the field what lies around it, and no task the whole plane.
    """
    (y, rows), (x, columns) = places.items()

    def part(row: int, column: int) -> xr.DataArray:
        wanted = {y: rows[row : row + _EDGE], x: columns[column : column + _EDGE]}
        near = {dim: _around(field[dim].values, points) for dim, points in wanted.items()}
        return field.isel(near).chunk({y: -1, x: -1}).interp(wanted)

    parts = [
        xr.concat([part(row, c) for c in range(0, columns.size, _EDGE)], x)
        for row in range(0, rows.size, _EDGE)
    ]
    return xr.concat(parts, y)


def _around(centres: np.ndarray, points: np.ndarray) -> slice:
    """Return the run of centres between which some points lie, with one more on each side."""
    low, high = np.searchsorted(centres, [points.min(), points.max()])
    return slice(max(0, int(low) - 2), int(high) + 2)


def _run_of(wanted: np.ndarray, centres: np.ndarray, tolerance: float) -> slice | None:
    """Return where the wanted cells stand among others, or None if they are not all there."""
    first = int(np.abs(centres - wanted[0]).argmin())
    found = centres[first : first + wanted.size]
    if found.size < wanted.size or np.abs(found - wanted).max() > tolerance:
        return None
    return slice(first, first + wanted.size)


def _same_cells(field: xr.DataArray, axes: cf.Axes, source: Grid, grid: Grid) -> xr.DataArray:
    """Return the part of a field on a curvilinear grid that has the cells of another."""
    assert source.places is not None  # curvilinear grids have them
    assert grid.places is not None
    first = source.places.locate(grid.places)
    if first is None:
        raise GridError(
            f"covariate {field.name!r} does not have the cells of the curvilinear HR grid: regrid"
            " it to them first (for example with xesmf), or give one that covers the HR domain."
        )
    dims = (axes.y, axes.x)
    part = {d: slice(a, a + n) for d, a, n in zip(dims, first, grid.shape, strict=True)}
    return field.isel(part).drop_vars([d for d in dims if d in field.coords])


def around_the_globe(
    field: xr.DataArray, dim: str, source: Grid, wanted: np.ndarray
) -> tuple[np.ndarray, xr.DataArray]:
    """Return longitudes in the field's convention; a global field gets a column on each side.

    Parameters
    ----------
    field : xarray.DataArray
        On a latitude/longitude grid, its longitudes unwrapped.
    dim : str
        Name of the longitude dimension.
    source : Grid
        The field's grid.
    wanted : numpy.ndarray
        Longitudes in any convention.
    """
    low, step = source.x.edges[0], source.x.step
    tolerance = 1e-6 * step
    wanted = low + (wanted - low + tolerance) % 360 - tolerance
    if abs(source.x.size * step - 360) < 0.5 * step:
        last, first = field.isel({dim: [-1]}), field.isel({dim: [0]})
        field = xr.concat(
            [
                last.assign_coords({dim: last[dim] - 360}),
                field,
                first.assign_coords({dim: first[dim] + 360}),
            ],
            dim=dim,
        )
    return wanted, field
