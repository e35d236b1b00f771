"""The verb: plan, sample blocks lazily, blend, write CF metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import xarray as xr

from xdeepr import cf
from xdeepr.cf.dimensions import each_entry, entry_key
from xdeepr.checks import whole_number
from xdeepr.downscaling.fields import lazy_field
from xdeepr.downscaling.model_source import (
    Model,
    check_options,
    check_suits,
    interpolation,
    resolve,
    warn_of_new_months,
)
from xdeepr.downscaling.output import cf_dataset
from xdeepr.downscaling.request import Request, plan_geometry
from xdeepr.errors import OptionError
from xdeepr.grids import Grid, gridded
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
    >>> lr, hr, _ = xdeepr.synthetic.example_pair(days=1)
    >>> xdeepr.downscale(lr, "bicubic", factor=4)["t2m"].shape
    (24, 64, 64)
    """
    check_missing(missing)
    whole_number("members", members, optional=True)
    whole_number("seed", seed, least=0, most=2**63 - 1)
    whole_number("batch_size", batch_size, optional=True)
    source = gridded(obj)
    cf.check_time(source.dataset, source.axes.time)
    found = resolve(model, source, factor=factor, like=like, device=device)
    check_options(found, members=members, sampler=sampler, steps=steps)
    _check_covariates(found, covariates)
    result = downscaled(
        source,
        found,
        covariates=None if covariates is None else gridded(covariates),
        options=SamplingOptions(
            seed, _sampler(found.card, sampler, steps), batch_size or DEFAULT_BATCH
        ),
        members=members,
        tile=tile,
        overlap=overlap,
        missing=missing,
    )
    out = result.as_given()
    if isinstance(out, xr.DataArray):  # its own attributes are all that it has
        out.attrs = {**result.dataset.attrs, **out.attrs}
    return out  # type: ignore[return-value]


def interpolate(source: cf.Gridded[Grid], method: str, factor: int) -> cf.Gridded[Grid]:
    """Return fields interpolated to `factor` times finer cells, lazily: what there is to beat."""
    return downscaled(source, interpolation(method, source, factor=factor))


def downscaled(
    source: cf.Gridded[Grid],
    model: Model,
    *,
    covariates: cf.Gridded[Grid] | None = None,
    options: SamplingOptions | None = None,
    members: int | None = None,
    tile: int | tuple[int, int] | None = None,
    overlap: int | None = None,
    missing: Missing = "error",
) -> cf.Gridded[Grid]:
    """Do what :func:`downscale` does with what was found out and checked at its door.

    Without options a model samples as it does by itself, with seed 0.
    """
    if model.card is not None:
        check_suits(model.card, source.grid)
        warn_of_new_months(model.card, source.time)
    options = options or SamplingOptions(0, _sampler(model.card, None, None), DEFAULT_BATCH)
    hr_grid, model = model.hr_grid(source.grid), model.on(source.grid)
    geometry = plan_geometry(model, source.grid, hr_grid, tile=tile, overlap=overlap)
    provenance = _provenance(model, options, members)

    def one(entry: cf.Gridded[Grid]) -> xr.Dataset:
        request = Request(
            _with_dask(entry), hr_grid, geometry, covariates, options, members or 1,
            entry_key(entry.dataset),
        )  # fmt: skip
        return cf_dataset(
            lazy_field(model, request, missing),
            entry,
            grid=hr_grid,
            predictands=model.predictands,
            with_realization=members is not None,
            provenance=provenance,
        )

    names = [quantity.name for quantity in model.predictands]
    out = each_entry(source, one, fields=names, with_members=members is not None)
    axes = cf.Axes(hr_grid.y.name, hr_grid.x.name, source.axes.time)
    return replace(source, dataset=out, axes=axes, grid=hr_grid)


def _with_dask(source: cf.Gridded[Grid]) -> cf.Gridded[Grid]:
    """Return the fields as dask arrays, so that a file opened without chunks is not read yet."""
    ds, time = source.dataset, source.axes.time
    chunks: dict[str, Any] = {time: "auto"} if time is not None else {}
    names = [n for n in source.fields if ds[n].chunks is None]
    return source.with_dataset(ds.assign({name: ds[name].chunk(chunks) for name in names}))


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
        whole_number("steps", steps)
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
