"""Bring covariates onto the HR grid: static ones at once, those that vary in time lazily."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import dask.array as da
import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.errors import AxisError, MissingValuesError, UnitsError
from xdeepr.grids import Grid
from xdeepr.grids.resampling import regrid
from xdeepr.inputs.quantities import Quantity, describe
from xdeepr.inputs.times import FIELD
from xdeepr.tiling.plan import EDGE


def describe_covariates(
    covariates: cf.Gridded[Grid],
) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
    """Return the static covariates of a dataset, and those that vary in time.

    Units that are missing count as "1": masks and fractions often come without. They only need
    the same units in training and in use, so "1" is safe.
    """
    static: list[Quantity] = []
    varying: list[Quantity] = []
    for name in covariates.fields:
        field = _without_single_dims(covariates, name)
        kind = varying if covariates.axes.time in field.dims else static
        try:
            kind.append(describe(field))
        except UnitsError:
            if field.attrs.get("units"):
                raise
            kind.append(describe(field.assign_attrs(units="1")))
    return tuple(static), tuple(varying)


def covariates_on(
    grid: Grid, covariates: cf.Gridded[Grid], quantities: Sequence[Quantity]
) -> np.ndarray:
    """Bring static covariates onto the HR grid: (covariate, y, x), float32, ascending.

    Fields that are on this grid (or on a larger one with the same cells) are taken as they
    are; others are interpolated bilinearly by coordinates, those on latitudes and longitudes to
    grids of all kinds. Those that do not cover the HR grid are refused by a GridError.
    """
    fields = [np.asarray(f) for f in _statics(grid, covariates, quantities)]
    check_statics(fields, quantities)
    return np.stack(fields) if fields else np.zeros((0, *grid.shape), dtype=np.float32)


def statics_on(
    grid: Grid, covariates: cf.Gridded[Grid], quantities: Sequence[Quantity]
) -> da.Array:
    """Bring static covariates onto the HR grid as :func:`covariates_on` does, lazily.

    Fields in memory are checked and travel in the graph. Of lazy ones tasks read the part that
    they need, and have to check it.
    """
    fields = []
    for quantity, field in zip(quantities, _statics(grid, covariates, quantities), strict=True):
        if isinstance(field, np.ndarray):
            check_statics([field], [quantity])
            fields.append(da.from_array(field, chunks=EDGE))
        else:
            fields.append(field)
    return da.stack(fields) if fields else no_statics(grid)


def no_statics(grid: Grid) -> da.Array:
    """Return the static covariates of a model without any, shape (0, y, x)."""
    return da.zeros((0, *grid.shape), chunks=(1, EDGE, EDGE), dtype=np.float32)


def _statics(
    grid: Grid, covariates: cf.Gridded[Grid], quantities: Sequence[Quantity]
) -> Iterator[np.ndarray | da.Array]:
    """Return static covariates (y, x) on the HR grid, float32: in memory, or lazy."""
    axes = covariates.axes
    for quantity in quantities:
        field = _wanted(covariates, quantity)
        extra = sorted(set(map(str, field.dims)) - {axes.y, axes.x})
        if extra:
            raise AxisError(
                f"covariate {field.name!r} varies along {extra[0]!r}, but the model knows it as a"
                f" static field: select one entry, for example covariates.isel({extra[0]}=0)."
            )
        on_grid = regrid(field.astype("float64"), grid, axes=axes, source=covariates.grid)
        yield on_grid.data.astype(np.float32)


def check_statics(
    fields: np.ndarray | Sequence[np.ndarray], quantities: Sequence[Quantity]
) -> None:
    """Refuse missing values in static covariates (covariate, y, x)."""
    for quantity, field in zip(quantities, fields, strict=True):
        if not np.isfinite(field).all():
            raise MissingValuesError(
                f"covariate {quantity.name!r} has missing values on the HR grid: fill them, for"
                f" example covariates[{quantity.name!r}].fillna(0) where 0 is the value over sea."
            )


def varying_on(
    grid: Grid,
    covariates: cf.Gridded[Grid],
    quantities: Sequence[Quantity],
    time: xr.DataArray | None,
) -> da.Array:
    """Bring covariates that vary in time onto the HR grid: (time, covariate, y, x), lazily.

    `time` holds the times wanted; those of the covariates are their valid ones.
    """
    covariates, fields = covariates.at_valid_times(), []
    axes, cells = covariates.axes, covariates.grid
    for quantity in quantities:
        field = _wanted(covariates, quantity, keep_time=True)
        if time is None or axes.time is None or axes.time not in field.dims:
            raise AxisError(
                f"covariate {field.name!r} varies in time for this model, but"
                f" {'the data' if time is None else 'the covariate'} has no time dimension: give"
                " both with the same times."
            )
        field = _at_times(field, axes.time, np.atleast_1d(time.values))
        if field.chunks is None:
            field = field.chunk({axes.time: "auto"})
        on_grid = regrid(field.astype("float32"), grid, axes=axes, source=cells)
        fields.append(on_grid.transpose(axes.time, ...).data.astype(np.float32))
    return da.stack(fields, axis=1)


def solar_on(grid: Grid, features: Mapping[str, str], time: xr.DataArray | None) -> da.Array | None:
    """Return the fields of the sun's position, (time, channel, y, x), float32, lazily.

    The channels are cosine and sine of the local solar time, and cosine of the zenith angle; None
    if the model's time features name neither.
    """
    wanted = [name for name, encoding in features.items() if encoding == FIELD]
    if not wanted or time is None:
        return None
    from xdeepr.inputs.sun import cos_solar_zenith, local_solar_time

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
    size = max(1, 2**24 // (min(grid.shape[0], EDGE) * min(grid.shape[1], EDGE)))
    times = da.from_array(np.atleast_1d(time.values), chunks=size)  # 64 MB a chunk and channel
    return da.blockwise(
        fields, "tcyx", times, "t", latitude, "yx", longitude, "yx",
        new_axes={"c": solar_channels(features)},
        dtype=np.float32,
        meta=np.empty((0, 0, 0, 0), np.float32),
    )  # fmt: skip


def _lazy_positions(grid: Grid) -> tuple[da.Array, da.Array]:
    """Return latitude and longitude of the cell centres (y, x), in chunks of about a block."""
    # where the axes are latitude and longitude, two vectors in the graph instead of two fields
    chunks = da.core.normalize_chunks(EDGE, grid.shape)
    latitude, longitude = (
        da.broadcast_to(da.from_array(a, EDGE), grid.shape, chunks) for a in grid.positions()
    )
    return latitude, longitude


def solar_channels(features: Mapping[str, str]) -> int:
    """Return the number of channels of :func:`solar_on`."""
    sizes = {"local_solar_time": 2, "cos_solar_zenith": 1}
    return sum(sizes.get(name, 0) for name, encoding in features.items() if encoding == FIELD)


def _wanted(
    covariates: cf.Gridded[Grid], quantity: Quantity, *, keep_time: bool = False
) -> xr.DataArray:
    """Return the field that is meant, in the units wanted."""
    name = covariates.variable(quantity.name, quantity.standard_name, role="covariate")
    field = _without_single_dims(covariates, name, keep_time=keep_time)
    if not field.attrs.get("units") and quantity.units == "1":
        field = field.assign_attrs(units="1")
    return cf.convert_units(field, quantity.units)


def _without_single_dims(
    covariates: cf.Gridded[Grid], name: str, *, keep_time: bool = False
) -> xr.DataArray:
    """Return a field without its dimensions of size 1, refusing others than time, y and x."""
    axes, field = covariates.axes, covariates.dataset[name]
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
