"""The interpolation that a downscaled field has to beat."""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import xarray as xr

from xdeepr import cf
from xdeepr.errors import OptionError
from xdeepr.grids import Grid, grid_of, relate
from xdeepr.grids.coarsening import coarsen
from xdeepr.verification.alignment import counterpart

Interpolation = Literal["nearest", "bilinear", "bicubic"]


def check_baseline_name(name: str) -> None:
    """Raise OptionError unless `name` is one of the interpolations."""
    if name not in get_args(Interpolation):
        raise OptionError(
            f"baseline={name!r} is not known. Use one of {', '.join(get_args(Interpolation))}, "
            "None, or the baseline's own field as a DataArray or Dataset."
        )


def interpolate_predictor(
    predictor: xr.DataArray | xr.Dataset,
    name: str,
    like: xr.DataArray,
    grid: Grid,
    times: xr.DataArray | None,
) -> xr.DataArray:
    """Interpolate the LR field that `like` was downscaled from to the HR grid (lazily).

    Parameters
    ----------
    predictor : xarray.DataArray or xarray.Dataset
        LR field; a Dataset may hold more variables.
    name : str
        Name of the interpolation.
    like : xarray.DataArray
        The forecast variable that is verified.
    grid : Grid
        Grid of the forecast, which gives the factor.
    times : xarray.DataArray or None
        Times of the forecast, or None: times that are not verified are not interpolated.

    Raises
    ------
    GridError
        If the forecast's grid does not nest in the predictor's.
    """
    field = counterpart(predictor, like, "predictor")
    factor, _ = relate(grid_of(field), grid)
    time = cf.find_axes(field).time
    field = cf.at_valid_times(field, time)
    if times is not None and time is not None:
        wanted = field.indexes[time].isin(times.indexes[str(times.name)])
        field = field.isel({time: wanted})
    return _interpolate(field, name, factor, str(like.name))


def interpolate_coarsened(
    reference: xr.DataArray, name: str, like: xr.DataArray, factor: int | None
) -> xr.DataArray:
    """Coarsen the reference and interpolate it back: the baseline of a perfect-model experiment.

    Raises
    ------
    OptionError
        If the factor is not known.
    """
    if factor is None:
        raise OptionError(
            f"baseline={name!r} needs the LR field that is to be interpolated, and the forecast "
            "does not tell its factor (attribute 'xdeepr_factor'). Pass predictor=<the LR "
            "field>, or baseline=None, or the baseline's own field."
        )
    warnings.warn(
        f"No predictor given: the {name} baseline interpolates the reference coarsened by a "
        f"factor of {factor} (perfect model). Pass predictor=<the LR field> if the forecast was "
        "made from another one.",
        UserWarning,
        stacklevel=5,  # the caller of `verify`
    )
    return _interpolate(coarsen(reference, factor), name, factor, str(like.name))


def _interpolate(field: xr.DataArray, name: str, factor: int, variable: str) -> xr.DataArray:
    from xdeepr.downscaling import downscale  # the verb; only needed where a name is given

    result: xr.Dataset = downscale(field.to_dataset(name=variable), model=name, factor=factor)
    return result[variable]
