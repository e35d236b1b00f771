"""The verb: plan, sample blocks lazily, blend, write CF metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.cf.dimensions import each_entry, entry_key, further_dims
from xdeepr.downscaling.fields import lazy_field
from xdeepr.downscaling.model_source import (
    Model,
    check_options,
    check_suits,
    resolve,
    warn_of_new_months,
)
from xdeepr.downscaling.output import cf_dataset
from xdeepr.downscaling.request import Request
from xdeepr.errors import OptionError
from xdeepr.grids import grid_of
from xdeepr.inputs.missing import Missing, check_missing
from xdeepr.models.card import Card
from xdeepr.sampling.sample import prepare
from xdeepr.sampling.samplers import Sampler, SamplingOptions, as_sampler

XarrayObject = TypeVar("XarrayObject", xr.DataArray, xr.Dataset)

DEFAULT_BATCH = 16
"""Tiles in a network call where the user does not say."""


def downscale(
    obj: XarrayObject,
    model: Any,
    *,
    members: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    sampler: Sampler | str | Mapping[str, Any] | None = None,
    covariates: xr.Dataset | xr.DataArray | None = None,
    factor: int | None = None,
    like: xr.Dataset | xr.DataArray | None = None,
    tile: int | tuple[int, int] | None = None,
    overlap: int | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    missing: Missing = "error",
) -> XarrayObject:
    """Downscale a coarse field; nothing is computed before the result is asked for.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        The coarse predictors on a grid (latitude/longitude, rotated pole, projected x/y, or
        curvilinear with 2-D latitude and longitude), in any order of dimensions, any orientation
        and any convertible units. Further dimensions (members of an ensemble, levels, forecast
        times) are kept, and each entry is downscaled by itself.
    model : str, path or Downscaler
        A trained model, the folder it was saved to, the short name of a model that ships with
        xdeepr ("ddpm"), or an interpolation: "nearest", "bilinear", "bicubic".
    members : int, optional
        Number of realizations. With it the result has the dimension ``realization``; without
        it, it is one realization without that dimension.
    seed : int, default: 0
        Seed of the noise. The same input, model and seed give the same field, however it is
        chunked, tiled into batches or scheduled.
    steps : int, optional
        Steps of the solver, each one network evaluation. Default: the model's own.
    sampler : str, mapping or Sampler, optional
        Solver: "dpm++", "ddim", "ddpm", "lms", … or the name of a diffusers scheduler; a mapping
        ``{"name": "ddim", "eta": 0.5}`` gives options. Default: the model's own.
    covariates : xarray.Dataset or xarray.DataArray, optional
        Static fields the model was trained with, such as orography. Not needed on the domain
        of the training, whose covariates are kept with the model.
    factor : int, optional
        For interpolation only: HR cells in an LR cell along each axis.
    like : xarray.Dataset or xarray.DataArray, optional
        For interpolation only: an object on the HR grid to interpolate to.
    tile : int or (int, int), optional
        Height and width of the network's windows in HR pixels. Default: the size of the
        training windows, or the whole domain where it is not much larger.
    overlap : int, optional
        HR pixels that neighbouring tiles share. Default: a quarter of a tile.
    batch_size : int, optional
        Tiles in one network call. Default: 16.
    device : str, optional
        Torch device. Default: a GPU where the worker has one, otherwise the CPU.
    missing : {"error", "mask", "fill"}
        What to do where predictors have missing values: refuse when the block is computed; fill
        them from their nearest neighbours and leave the result missing there; or fill them and
        keep what the model makes of it.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        The same kind as `obj`, dask-backed, float32, dimensions
        ([realization,] [further,] [time,] y, x) on the HR grid, with CF metadata. An ensemble of N
        input members gives N · `members` realizations, whose coordinates ``input_realization``
        and ``drawn_realization`` say what they come from.

    Raises
    ------
    OptionError
        For an unknown model or sampler (with the nearest names) or a bad number.
    AxisError, VariableError, UnitsError
        If coordinates, variables or units are missing or ambiguous.
    GridError
        If the grid does not suit the model.
    CheckpointError
        If a checkpoint is damaged or of an unknown version.
    MissingValuesError
        When the result is computed, if a predictor has missing values and ``missing="error"``, or
        no value at all at one time.

    Examples
    --------
    >>> out = xdeepr.downscale(ds, "bicubic", factor=4)  # doctest: +SKIP
    """
    ds = cf.as_dataset(obj)
    check_missing(missing)
    _check_whole_number("members", members, optional=True)
    _check_whole_number("seed", seed, least=0, most=2**63 - 1)
    _check_whole_number("batch_size", batch_size, optional=True)
    axes = cf.find_axes(ds)
    cf.check_time(ds, axes.time)
    lr_grid = grid_of(ds)
    resolved = resolve(model, ds, lr_grid, factor=factor, like=like, device=device)
    check_options(resolved, members=members, sampler=sampler, steps=steps)
    if resolved.card is not None:
        check_suits(resolved.card, lr_grid)
        warn_of_new_months(resolved.card, cf.valid_time(ds, axes.time))
    _check_covariates(resolved, covariates)
    hr_grid, resolved = resolved.hr_grid(lr_grid)
    options = SamplingOptions(
        seed, _sampler(resolved.card, sampler, steps), batch_size or DEFAULT_BATCH
    )
    given = None if covariates is None else cf.as_dataset(covariates)
    provenance = _provenance(resolved, options, members)

    def one(entry: xr.Dataset) -> xr.Dataset:
        request = Request(
            _with_dask(entry, axes), cf.valid_time(entry, axes.time), lr_grid, hr_grid, given, tile, overlap,
            options, members or 1, entry_key(entry),
        )  # fmt: skip
        return cf_dataset(
            lazy_field(resolved, request, missing),
            entry,
            axes=axes,
            grid=hr_grid,
            predictands=resolved.predictands,
            with_realization=members is not None,
            provenance=provenance,
        )

    out = each_entry(ds, further_dims(ds, axes), one, with_members=members is not None)
    return out if isinstance(obj, xr.Dataset) else as_dataarray(out, obj)


def _with_dask(ds: xr.Dataset, axes: cf.Axes) -> xr.Dataset:
    """Return the fields as dask arrays, so that a file opened without chunks is not read yet."""
    chunks: dict[str, Any] = {axes.time: "auto"} if axes.time is not None else {}
    names = [n for n in cf.spatial_variables(ds, axes) if ds[n].chunks is None]
    return ds.assign({name: ds[name].chunk(chunks) for name in names})


def as_dataarray(ds: xr.Dataset, template: xr.DataArray) -> xr.DataArray:
    """Return the only predictand of a dataset as a DataArray that carries the provenance."""
    axes = cf.find_axes(ds)
    names = cf.spatial_variables(ds, axes)
    if len(names) > 1:
        raise OptionError(
            f"the model makes {' and '.join(names)}, which one DataArray cannot hold: give a"
            " Dataset, for example da.to_dataset()."
        )
    name = names[0]
    mapping = ds[name].attrs.get("grid_mapping")
    ds = ds.set_coords(mapping) if mapping in ds.data_vars else ds
    out = ds[name].assign_attrs({**ds.attrs, **ds[name].attrs})
    for coord in out.coords.values():
        coord.attrs.pop("bounds", None)  # a DataArray cannot hold the bounds variables
    return out.rename(template.name)


def _check_whole_number(
    name: str, value: Any, *, least: int = 1, most: int | None = None, optional: bool = False
) -> None:
    """Refuse anything but a whole number of at least `least`."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise OptionError(f"{name}={value!r}: give a whole number of at least {least}.")
    if most is not None and value > most:
        raise OptionError(f"{name}={value!r}: give a whole number of at most {most}.")


def _check_covariates(model: Model, covariates: xr.Dataset | xr.DataArray | None) -> None:
    """Refuse covariates that the model would not look at."""
    known = model.card is not None and (model.card.covariates or model.card.varying)
    if covariates is not None and not known:
        raise OptionError(
            f"covariates: {model.name!r} was made without them. Leave covariates out, or train"
            " a model with them."
        )


def _sampler(
    card: Card | None, sampler: Sampler | str | Mapping[str, Any] | None, steps: int | None
) -> Sampler:
    """Return the solver: the user's, or the model's own."""
    if steps is not None:
        _check_whole_number("steps", steps)
    if sampler is None and card is not None:
        own = card.diffusion
        return Sampler(own.sampler, steps or own.steps, own.sampler_options)
    chosen = as_sampler(sampler, steps)
    if chosen.options and card is not None:
        # only diffusers knows its options; better now than in a task
        prepare(chosen, card.diffusion)
    return chosen


def _provenance(model: Model, options: SamplingOptions, members: int | None) -> dict[str, Any]:
    """Return the global attributes that say how the field was made."""
    attrs: dict[str, Any] = {"xdeepr_model": model.name, "xdeepr_factor": model.factor}
    if model.card is None:
        attrs["history"] = f"{model.name} interpolation, factor {model.factor}"
        return attrs
    attrs["xdeepr_checkpoint"] = model.digest
    made = f"downscaled x{model.factor} with model {model.name!r} (checkpoint {model.digest})"
    if model.card.stochastic:
        attrs["xdeepr_seed"] = options.seed
        made += f", seed {options.seed}, {members or 1} realization(s), {options.describe()}"
    return {**attrs, "history": made}
