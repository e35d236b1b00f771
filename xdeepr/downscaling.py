"""The verb: plan, sample blocks lazily, blend, write CF metadata."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import dask.array as da
import numpy as np
import xarray as xr

from xdeepr import cf, checkpoint
from xdeepr.blocks import Geometry, SamplingOptions
from xdeepr.card import Card, Quantity
from xdeepr.conditioning import (
    covariates_on,
    describe,
    stack_fields,
    time_channels,
    time_keys,
)
from xdeepr.errors import GridError, OptionError
from xdeepr.grid import Grid, Margin, grid_of, relate
from xdeepr.interpolation import METHODS
from xdeepr.lazy import Chunking, Recipe, Source, lazy_blocks
from xdeepr.output import cf_dataset
from xdeepr.plan import make_plan
from xdeepr.solvers import Sampler, as_sampler

XarrayObject = TypeVar("XarrayObject", xr.DataArray, xr.Dataset)

DEFAULT_BATCH = 16
"""Tiles in a network call where the user does not say."""

_TILE_SLACK = 1.5
"""A domain up to this many times as large as a training window is done in one tile."""


@dataclass(frozen=True)
class Model:
    """What the verb needs to know of a model or an interpolation.

    ``known`` holds HR coordinate values (y, x) to hand on to the bit, from `like` or the training.
    """

    source: Source
    name: str
    predictors: tuple[Quantity, ...]
    predictands: tuple[Quantity, ...]
    factor: int
    margin: Margin
    known: tuple[np.ndarray, np.ndarray]
    card: Card | None = None

    @property
    def digest(self) -> str:
        """Hash of the checkpoint, empty for interpolation."""
        return self.source.digest


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
) -> XarrayObject:
    """Downscale a coarse field; nothing is computed before the result is asked for.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        The coarse predictors on a rectilinear grid (latitude/longitude, rotated pole, or
        projected x/y), in any order of dimensions, any orientation and any convertible units.
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

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        The same kind as `obj`, dask-backed, float32, dimensions
        ([realization,] [time,] y, x) on the HR grid, with CF metadata.

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
        When the result is computed, if a predictor has missing values.

    Examples
    --------
    >>> out = xdeepr.downscale(ds, "bicubic", factor=4)  # doctest: +SKIP
    """
    ds = cf.as_dataset(obj)
    _check_whole_number("members", members, optional=True)
    _check_whole_number("seed", seed, least=0, most=2**63 - 1)
    _check_whole_number("batch_size", batch_size, optional=True)
    axes = cf.find_axes(ds)
    cf.check_time(ds, axes)
    lr_grid = grid_of(ds)
    resolved = _resolve(model, ds, lr_grid, factor=factor, like=like, device=device)
    if resolved.card is None:
        _refuse_for_interpolation(members=members, sampler=sampler, steps=steps)
    else:
        _check_suits(resolved.card, lr_grid)
        _warn_of_new_months(resolved.card, _time_of(ds, axes))

    lr = stack_fields(_with_dask(ds, axes), resolved.predictors, role="predictor")
    hr_grid = lr_grid.refine(resolved.factor).crop(resolved.margin)
    hr_grid = replace(
        hr_grid,
        y=hr_grid.y.snap(resolved.known[0]),
        x=hr_grid.x.snap(resolved.known[1]),
    )
    geometry = _geometry(resolved, lr_grid, hr_grid, tile, overlap)
    options = SamplingOptions(
        seed, _sampler(resolved.card, sampler, steps), batch_size or DEFAULT_BATCH
    )
    time = _time_of(ds, axes)
    values = _lazy_values(resolved, lr, hr_grid, geometry, options, covariates, time, members or 1)
    out = cf_dataset(
        values,
        ds,
        axes=axes,
        grid=hr_grid,
        predictands=resolved.predictands,
        with_realization=members is not None,
        provenance=_provenance(resolved, options, members),
    )
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


def _resolve(
    model: Any,
    ds: xr.Dataset,
    lr_grid: Grid,
    *,
    factor: int | None,
    like: xr.Dataset | xr.DataArray | None,
    device: str | None,
) -> Model:
    """Find out what `model` is."""
    if isinstance(model, str) and model in METHODS:
        return _interpolation(model, ds, lr_grid, factor, like)
    if isinstance(model, str | os.PathLike):
        folder = checkpoint.locate(model)
        card, digest = checkpoint.load_card(folder)
    else:
        from xdeepr.downscaler import Downscaler
        from xdeepr.model_cache import store

        if not isinstance(model, Downscaler):
            raise OptionError(
                f"model={model!r}: give a Downscaler, the folder of a checkpoint, or a name."
            )
        folder, digest = store(model)
        card = model.card
    if like is not None:
        raise OptionError("like= is for interpolation only: a trained model knows its own grid.")
    if factor is not None and factor != card.factor:
        raise OptionError(
            f"factor={factor}: the model {card.name!r} was trained for ×{card.factor}. Leave factor"
            " out, or train a model for the other factor."
        )
    source = Source(str(folder.resolve()), digest, device or "auto")
    return Model(
        source,
        card.name,
        card.predictors,
        card.predictands,
        card.factor,
        card.margin,
        checkpoint.load_coordinates(folder),
        card,
    )


def _interpolation(
    method: str,
    ds: xr.Dataset,
    lr_grid: Grid,
    factor: int | None,
    like: xr.Dataset | xr.DataArray | None,
) -> Model:
    """Describe an interpolation of all spatial variables."""
    if (factor is None) == (like is None):
        raise OptionError(
            f"model={method!r} needs either factor= (HR cells in an LR cell) or like= (an object on"
            " the HR grid)."
        )
    margin: Margin = (0, 0, 0, 0)
    known = (np.empty(0), np.empty(0))
    if like is not None:
        wanted = grid_of(like)
        factor, margin = relate(lr_grid, wanted)
        known = wanted.y.known(), wanted.x.known()
    whole = isinstance(factor, int | np.integer) and not isinstance(factor, bool)
    if factor is None or not whole or not 2 <= factor <= 8:
        raise OptionError(f"factor={factor!r}: give a whole number from 2 to 8.")
    names = cf.spatial_variables(ds, cf.find_axes(ds))
    fields = tuple(describe(ds[name]) for name in names)
    return Model(Source(method), method, fields, fields, int(factor), margin, known)


def _refuse_for_interpolation(**options: Any) -> None:
    """Refuse options that mean nothing for an interpolation."""
    for name, value in options.items():
        if value is not None:
            raise OptionError(
                f"{name}={value!r}: an interpolation gives one field and no ensemble. Leave {name}"
                " out, or use a trained model."
            )


def _check_suits(card: Card, lr_grid: Grid) -> None:
    """Compare the LR grid with the one the model was trained on."""
    if lr_grid.kind != card.grid_kind:
        raise GridError(
            f"the model {card.name!r} was trained on a {card.grid_kind} grid, the data is on a"
            f" {lr_grid.kind} grid: regrid the data, or train a model for its grid."
        )
    for axis, trained in zip((lr_grid.y, lr_grid.x), card.resolution, strict=True):
        if abs(axis.step / trained - 1) > 0.02:
            raise GridError(
                f"the model {card.name!r} was trained on LR cells of {trained:g} along"
                f" {axis.name!r}, the data has cells of {axis.step:g}: regrid the data to"
                f" {trained:g}, or train a model for this resolution."
            )


def _warn_of_new_months(card: Card, time: xr.DataArray | None) -> None:
    """Warn where the model is asked for a season it was not trained on."""
    trained = card.training.get("months")
    if time is None or not trained:
        return
    new = sorted(set(np.atleast_1d(time.dt.month.values).tolist()) - set(trained))
    if new:
        warnings.warn(
            f"the model {card.name!r} was trained on the months {trained}, the data has also"
            f" {new}: do not rely on the result there; train on a period that covers these months.",
            stacklevel=4,
        )


def _geometry(
    model: Model,
    lr_grid: Grid,
    hr_grid: Grid,
    tile: int | tuple[int, int] | None,
    overlap: int | None,
) -> Geometry:
    """Plan tiles and blocks on the whole HR domain."""
    shape = hr_grid.shape
    if tile is None:
        trained = model.card.tile if model.card else shape
        size = tuple(n if n <= _TILE_SLACK * t else t for n, t in zip(shape, trained, strict=True))
    else:
        size = (tile, tile) if isinstance(tile, int | np.integer) else tuple(tile)
    if len(size) != 2:
        raise OptionError(f"tile={tile!r}: give one number or a pair (height, width) in HR pixels.")
    if overlap is None:
        overlap = min(min(s, n) for s, n in zip(size, shape, strict=True)) // 4
    plan = make_plan(shape, tile=(int(size[0]), int(size[1])), overlap=int(overlap))
    return Geometry(
        plan,
        model.factor,
        (model.margin[0], model.margin[2]),
        lr_grid.shape,
        hr_grid.origin(),
        hr_grid.period,
    )


def _sampler(
    card: Card | None, sampler: Sampler | str | Mapping[str, Any] | None, steps: int | None
) -> Sampler:
    """Return the solver: the user's, or the model's own."""
    if steps is not None:
        _check_whole_number("steps", steps)
    if sampler is None and card is not None:
        return Sampler(card.diffusion.sampler, steps or card.diffusion.steps)
    return as_sampler(sampler, steps)


def _time_of(ds: xr.Dataset, axes: cf.Axes) -> xr.DataArray | None:
    """Return the time coordinate: the dimension's, or a scalar one."""
    if axes.time is not None:
        return ds[axes.time]
    scalars = [
        coord
        for name, coord in ds.coords.items()
        if coord.ndim == 0
        and cf.holds_times(coord)
        and coord.attrs.get("standard_name", name) != "forecast_reference_time"
    ]
    # GRIB fields have the time of the analysis too; the one that is valid says so
    stated = [coord for coord in scalars if coord.attrs.get("standard_name") == "time"]
    return next(iter(stated or scalars), None)


def _lazy_values(
    model: Model,
    lr: xr.DataArray,
    hr_grid: Grid,
    geometry: Geometry,
    options: SamplingOptions,
    covariates: xr.Dataset | xr.DataArray | None,
    time: xr.DataArray | None,
    members: int,
) -> da.Array:
    """Return the output (realization, time, predictand, y, x), ascending, as a dask array."""
    statics = _covariates(model, hr_grid, covariates)
    channels = time_channels(time, model.card.time_features if model.card else ())
    keys = time_keys(time)
    labels = np.atleast_1d(time.values) if time is not None else np.array(["the only time"])
    blocks = list(geometry.plan.blocks())
    block = blocks[0][2]
    chunking = Chunking.for_batches(
        lr.shape[0],
        members,
        len(blocks),
        sum(1 for _ in block.tiles()),
        options.batch_size,
        4 * len(model.predictands) * block.shape[0] * block.shape[1],
    )
    return lazy_blocks(
        Recipe(model.source, geometry, options, model.predictors),
        lr.chunk().data if lr.chunks is None else lr.data,
        da.from_array(statics, chunks=-1),
        (channels, keys, labels),
        chunking,
        len(model.predictands),
    )


def _covariates(
    model: Model, hr_grid: Grid, covariates: xr.Dataset | xr.DataArray | None
) -> np.ndarray:
    """Return the model's static covariates on the HR grid, (covariate, y, x)."""
    card = model.card
    if card is None or not card.covariates:
        if covariates is not None:
            raise OptionError(
                f"covariates: {model.name!r} was made without them. Leave covariates out, or train"
                " a model with them."
            )
        return np.zeros((0, *hr_grid.shape), dtype=np.float32)
    if covariates is not None:
        return covariates_on(hr_grid, cf.as_dataset(covariates), card.covariates)
    kept = checkpoint.load_covariates(model.source.name, card, hr_grid)
    try:
        return covariates_on(hr_grid, kept, card.covariates)
    except GridError as error:
        names = ", ".join(q.name for q in card.covariates)
        raise GridError(
            f"the model {card.name!r} needs the covariates {names} and keeps only those of its"
            f" training domain ({card.training.get('domain', 'unknown')}): pass covariates= for"
            f" the new domain. ({error})"
        ) from None


def _provenance(model: Model, options: SamplingOptions, members: int | None) -> dict[str, Any]:
    """Return the global attributes that say how the field was made."""
    attrs: dict[str, Any] = {"xdeepr_model": model.name, "xdeepr_factor": model.factor}
    if model.card is None:
        attrs["history"] = f"{model.name} interpolation, factor {model.factor}"
        return attrs
    attrs |= {"xdeepr_checkpoint": model.digest, "xdeepr_seed": options.seed}
    attrs["history"] = (
        f"downscaled x{model.factor} with model {model.name!r} (checkpoint {model.digest}),"
        f" seed {options.seed}, {members or 1} realization(s), {options.sampler.describe()}"
    )
    return attrs
