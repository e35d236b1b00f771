"""The interpolation that a downscaled field has to beat."""

from __future__ import annotations

import xarray as xr

from xdeepr import cf
from xdeepr.checks import warn
from xdeepr.downscaling import interpolate
from xdeepr.errors import OptionError
from xdeepr.grids import Grid, relate
from xdeepr.grids.coarsening import coarsened
from xdeepr.verification.alignment import counterpart


def interpolate_predictor(
    predictor: cf.Gridded[Grid],
    name: str,
    like: xr.DataArray,
    grid: Grid,
    times: xr.DataArray | None,
) -> cf.Gridded[Grid]:
    """Interpolate the LR field that `like` was downscaled from to the HR grid (lazily).

    The forecast's `grid` gives the factor; times of the predictor that are not among `times`,
    those that are verified, are not interpolated.
    """
    variable = counterpart(predictor, like, "predictor")
    factor, _ = relate(predictor.grid, grid)
    source = predictor.at_valid_times()
    source = source.with_dataset(source.dataset[[variable]].rename({variable: like.name}))
    time = source.axes.time
    if times is not None and time is not None:
        wanted = source.dataset.indexes[time].isin(times.indexes[str(times.name)])
        source = source.with_dataset(source.dataset.isel({time: wanted}))
    return interpolate(source, name, factor)


def interpolate_coarsened(
    reference: cf.Gridded[Grid], name: str, factor: int | None
) -> cf.Gridded[Grid]:
    """Coarsen the reference and interpolate it back: the baseline of a perfect-model experiment."""
    if factor is None:
        raise OptionError(
            f"baseline={name!r} needs the LR field that is to be interpolated, and the forecast "
            "does not tell its factor (attribute 'xdeepr_factor'). Pass predictor=<the LR "
            "field>, or baseline=None, or the baseline's own field."
        )
    warn(
        f"no predictor given: the {name} baseline interpolates the reference coarsened by a "
        f"factor of {factor} (perfect model). Pass predictor=<the LR field> if the forecast was "
        "made from another one."
    )
    return interpolate(coarsened(reference, factor), name, factor)
