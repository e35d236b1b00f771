"""Assemble the lazy field: where its blocks lie, and what they are computed from."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import NamedTuple

import dask.array as da
import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.blocks import Geometry, SamplingOptions
from xdeepr.card import Card, Quantity
from xdeepr.conditioning import stack_fields, time_inputs
from xdeepr.covariates import solar_on, statics_on, varying_on
from xdeepr.curvilinear import Places
from xdeepr.errors import GridError, OptionError
from xdeepr.further_dims import keyed_with
from xdeepr.grid import Grid
from xdeepr.kept_fields import load_covariates, load_untrained
from xdeepr.lazy import Arrays, Chunking, Recipe, Source, lazy_blocks
from xdeepr.missing import Missing, without_gaps
from xdeepr.moments import statistics_of_parts
from xdeepr.plan import Block, Segment, Span, make_plan
from xdeepr.resolving import Model

_TILE_SLACK = 1.5
"""A domain up to this many times as large as a training window is done in one tile."""

_STATISTICS = 2**22
"""HR pixels that are interpolated at a time to find the mean of a field."""

_WRAP = 3
"""LR columns beyond the seam that interpolation may look at."""


@dataclass(frozen=True)
class Request:
    """What is asked for; the same for a model and for the model it builds on.

    Parameters
    ----------
    ds : xarray.Dataset
        The coarse data, backed by dask.
    time : xarray.DataArray, optional
        Its times.
    lr_grid, hr_grid : Grid
        The grids.
    covariates : xarray.Dataset, optional
        As the user gave them.
    tile, overlap
        As the user gave them.
    options : SamplingOptions
        How to sample.
    members : int
        Number of realizations.
    entry : int
        Tells the noise of different input members apart.
    """

    ds: xr.Dataset
    time: xr.DataArray | None
    lr_grid: Grid
    hr_grid: Grid
    covariates: xr.Dataset | None
    tile: int | tuple[int, int] | None
    overlap: int | None
    options: SamplingOptions
    members: int
    entry: int = 0


def lazy_field(model: Model, request: Request, missing: Missing = "error") -> da.Array:
    """Return the output of a model, lazily.

    Parameters
    ----------
    model : Model
        What to use.
    request : Request
        What is asked for.
    missing : {"error", "mask", "fill"}
        How missing predictors are treated.

    Returns
    -------
    dask.array.Array
        float32, (realization, time, predictand, y, x), y and x ascending.
    """
    if missing == "error":
        values = _computed(model, request)
    else:
        whole, gaps = without_gaps(request.ds, cf.find_axes(request.ds))
        values = _computed(model, replace(request, ds=whole))
        if missing == "mask":
            values = da.where(
                _in_gaps(model, replace(request, ds=gaps)), np.float32(np.nan), values
            )
    untrained = _untrained(model, request.hr_grid)
    return values if untrained is None else da.where(untrained, np.float32(np.nan), values)


def _in_gaps(model: Model, request: Request) -> da.Array:
    """Return where a predictor is missing, (time, 1, y, x) on the HR grid."""
    gaps = tuple(Quantity(q.name, "1", q.attrs) for q in model.predictors)
    nearest = Model(
        Source("nearest"), "nearest", gaps, gaps, model.factor, model.margin, model.known
    )
    return (_computed(nearest, replace(request, members=1))[0] > 0.5).any(axis=1, keepdims=True)


def _untrained(model: Model, hr_grid: Grid) -> np.ndarray | None:
    """Return the cells whose labels were always missing in training, if the domain is the same."""
    if model.card is None or not model.card.training.get("masked"):
        return None
    try:
        y, x = _place(model, hr_grid)[1]
    except GridError:
        return None
    never = load_untrained(model.source.name)
    return never[y : y + hr_grid.shape[0], x : x + hr_grid.shape[1]]


def _computed(model: Model, request: Request) -> da.Array:
    """Return the output of a model where nothing is missing, (realization, time, V, y, x)."""
    card, time, hr_grid = model.card, request.time, request.hr_grid
    lr = stack_fields(request.ds, model.predictors, role="predictor").data
    geometry = _geometry(model, request)
    if request.lr_grid.closed and hr_grid.closed and not (card and card.bound):
        lr, geometry = around_the_globe(lr, geometry, request.lr_grid)
    features = card.time_features if card else {}
    covariates = _covariates(model, request)
    sun = solar_on(hr_grid, features, time)
    fields = [f for f in (covariates.varying, sun) if f is not None]
    arrays = Arrays(
        lr,
        covariates.statics,
        da.concatenate(fields, axis=1) if fields else None,
        _base(model, request),
        _statistics(card, geometry, lr) if card and card.instance else None,
        covariates.in_files,
    ).around(geometry.overhang)
    times = time_inputs(time, features)
    blocks = list(geometry.plan.blocks())
    block = geometry.hr_block(blocks[0][2])
    chunking = Chunking.for_batches(
        lr.shape[0],
        request.members,
        len(blocks),
        sum(1 for _ in block.tiles()),
        request.options.batch_size,
        4 * len(model.predictands) * block.shape[0] * block.shape[1],
    )
    return lazy_blocks(
        Recipe(
            model.source,
            geometry,
            request.options,
            model.predictors,
            (card.covariates, card.varying) if card else ((), ()),
            covariates.known,
        ),
        arrays,
        replace(times, keys=keyed_with(times.keys, request.entry)),
        chunking,
        len(model.predictands),
    )


def _base(model: Model, request: Request) -> da.Array | None:
    """Return the output of the model that this one builds on, (time, predictand, y, x)."""
    if model.base is None:
        return None
    whole = replace(request, members=1, tile=None, overlap=None)
    return _computed(model.base, whole)[0]


def around_the_globe(lr: da.Array, geometry: Geometry, lr_grid: Grid) -> tuple[da.Array, Geometry]:
    """Return LR fields with columns from the opposite side beyond both ends of the strip.

    So interpolation, and what the network sees of the LR fields, goes on across the seam. Tiles of
    a closed plan see as much on the other side as on their own.

    Parameters
    ----------
    lr : dask.array.Array
        Fields (time, predictor, y, x) whose columns go all the way round the globe.
    geometry : Geometry
        How the grids nest.
    lr_grid : Grid
        The LR grid. It may hold some columns twice, at both ends.
    """
    size, around = lr.shape[-1], round(360 / lr_grid.x.step)
    width = max(_WRAP, geometry.context + 1) - (-geometry.overhang // geometry.factor)
    west = np.arange(-width, 0) % around
    east = np.arange(size, size + width) % around
    lr = da.concatenate([lr[..., west], lr, lr[..., east]], axis=-1)
    lr = lr.rechunk({lr.ndim - 1: -1})  # at once, not again for every block and time
    margin = (geometry.margin[0], geometry.margin[1] + width * geometry.factor)
    shape = (geometry.lr_shape[0], size + 2 * width)
    return lr, replace(geometry, margin=margin, lr_shape=shape)


def _statistics(card: Card, geometry: Geometry, lr: da.Array) -> da.Array:
    """Return mean and deviation of each interpolated field, (time, 2, predictor)."""
    one_field = lr.rechunk({1: -1, 2: -1, 3: -1})
    return da.map_blocks(
        interpolated_statistics,
        one_field,
        geometry=geometry,
        dtype=np.float64,
        drop_axis=[2, 3],
        chunks=(one_field.chunks[0], (2,), (lr.shape[1],)),
        new_axis=[2],
        meta=np.empty((0, 0, 0)),
    )


def interpolated_statistics(lr: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Return mean and deviation of each field after interpolation to the HR domain.

    Parameters
    ----------
    lr : numpy.ndarray
        Fields (time, predictor, y, x) on the whole LR domain.
    geometry : Geometry
        How the grids nest.

    Returns
    -------
    numpy.ndarray
        Shape (time, 2, predictor).
    """
    import torch

    height, width = geometry.hr_shape
    columns = Segment(Span(0, width), (Span(0, width),))
    rows = max(1, _STATISTICS // width)
    bands = [Span(first, min(first + rows, height)) for first in range(0, height, rows)]

    def fine(field: np.ndarray, band: Span) -> np.ndarray:
        block = Block(Segment(band, (band,)), columns)
        y, x = geometry.lr_windows_of_fine(block)
        part = torch.from_numpy(field[None, :, y.slice, x.slice])
        return geometry.interpolate_fine(part, block, "bicubic")[0].numpy()

    fields = np.ascontiguousarray(lr, dtype=np.float32)
    return np.stack([statistics_of_parts(fine(f, band) for band in bands) for f in fields])


def _geometry(model: Model, request: Request) -> Geometry:
    """Plan tiles and blocks on the whole HR domain."""
    card, shape = model.card, request.hr_grid.shape
    scale = card.scale if card else 1
    size, overlap = _tile(model, request)
    plan = make_plan(
        (-(-shape[0] // scale), -(-shape[1] // scale)),
        tile=(-(-size[0] // scale), -(-size[1] // scale)),
        overlap=overlap // scale,
        block=1024 // scale,
        closed=_closed(model, request),
    )
    return Geometry(
        plan,
        model.factor,
        (model.margin[0], model.margin[2]),
        request.lr_grid.shape,
        request.hr_grid.origin(),
        request.hr_grid.period,
        context=card.context if card else 0,
        scale=scale,
        shape=shape,
        trained=_place(model, request.hr_grid) if card and card.bound else ((0, 0), (0, 0)),
        overhang=plan.overhang * scale if plan.closed else 0,
    )


def _closed(model: Model, request: Request) -> bool:
    """Whether tiles go on across the seam of the globe."""
    card, grid = model.card, request.hr_grid
    if card is None or card.bound or not (request.lr_grid.closed and grid.closed):
        return False
    width = grid.shape[1]
    if card.fixed_size and width <= card.tile[1]:  # a tile that cannot be made wider
        return False
    return width == grid.period and width % card.scale == 0


def _tile(model: Model, request: Request) -> tuple[tuple[int, int], int]:
    """Return height and width of a tile, and the overlap, in HR pixels."""
    card, shape, tile = model.card, request.hr_grid.shape, request.tile
    if tile is None:
        trained = card.tile if card else shape
        slack = 1.0 if card and card.fixed_size else _TILE_SLACK
        size = tuple(n if n <= slack * t else t for n, t in zip(shape, trained, strict=True))
    else:
        size = (tile, tile) if isinstance(tile, int | np.integer) else tuple(tile)
    if len(size) != 2:
        raise OptionError(f"tile={tile!r}: give one number or a pair (height, width) in HR pixels.")
    overlap = request.overlap
    if overlap is None:
        overlap = min(min(s, n) for s, n in zip(size, shape, strict=True)) // 4
        if card and card.context:  # tiles of whole LR cells need no further cells
            cut = 0 if size[0] < shape[0] else 1
            overlap += (size[cut] - overlap) % card.factor
    return (int(size[0]), int(size[1])), int(overlap)


def _place(model: Model, hr_grid: Grid) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return where this domain begins on that of the training, in LR cells and HR pixels."""
    first = []
    if hr_grid.kind == "curvilinear":
        return _curvilinear_place(model, hr_grid)
    for axis, known in zip((hr_grid.y, hr_grid.x), model.known, strict=True):
        offset = (axis.centres[0] - known[0]) / axis.step
        if hr_grid.kind != "projected" and axis is hr_grid.x:
            around = 360 / axis.step
            offset = (offset + 0.5) % around - 0.5
        place = round(offset)
        inside = place >= 0 and place + axis.size <= known.size
        if abs(offset - place) > 0.1 or place % model.factor or not inside:
            raise GridError(
                f"the model {model.name!r} is normalized cell by cell and serves only on its"
                f" training domain: {axis.name!r} runs from {known[0]:g} to {known[-1]:g} there,"
                f" here from {axis.centres[0]:g} to {axis.centres[-1]:g}. Select a part of that"
                " domain, or fit with normalization='domain-wise'."
            )
        first.append(place)
    y, x = first
    return (y // model.factor, x // model.factor), (y, x)


def _curvilinear_place(model: Model, hr_grid: Grid) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return where this domain begins on a curvilinear one of the training."""
    assert hr_grid.places is not None  # curvilinear grids have them
    found = Places.of(*model.known).locate(hr_grid.places)
    if found is None or any(place % model.factor for place in found):
        raise GridError(
            f"the model {model.name!r} is normalized cell by cell and serves only on its training"
            " domain, whose cells are not those of the data. Select a part of that domain, or fit"
            " with normalization='domain-wise'."
        )
    return (found[0] // model.factor, found[1] // model.factor), found


class _Covariates(NamedTuple):
    """Covariates on the HR grid: static ones and those that vary in time.

    `known` is whether they are the true ones, `in_files` whether tasks can read the static ones.
    """

    statics: da.Array
    varying: da.Array | None = None
    known: bool = True
    in_files: bool = False


def _covariates(model: Model, request: Request) -> _Covariates:
    """Return the covariates that a model needs."""
    card, grid, given = model.card, request.hr_grid, request.covariates
    if card is None or not (card.covariates or card.varying):
        return _Covariates(statics_on(grid, xr.Dataset(), ()))
    try:
        if given is not None:
            statics = statics_on(grid, given, card.covariates)
            varying = varying_on(grid, given, card.varying, request.time) if card.varying else None
            return _Covariates(statics, varying)
        if card.varying:
            names = ", ".join(q.name for q in card.varying)
            raise GridError(
                f"the model {card.name!r} needs {names}, which vary in time: pass covariates=."
            )
        kept = load_covariates(model.source.name, card, grid, model.digest)
        return _Covariates(statics_on(grid, kept, card.covariates), in_files=True)
    except GridError as error:
        if given is not None:
            raise
        return _without_covariates(card, request, error)


def _without_covariates(card: Card, request: Request, error: GridError) -> _Covariates:
    """Return blanks for a model that was trained to do without; refuse the others."""
    names = ", ".join(q.name for q in (*card.covariates, *card.varying))
    if not card.covariate_dropout:
        raise GridError(
            f"the model {card.name!r} needs the covariates {names} and keeps only static ones of"
            f" its training domain ({card.training.get('domain', 'unknown')}): pass covariates="
            f" for the new domain. ({error})"
        ) from None
    warnings.warn(
        f"the model {card.name!r} works without its covariates {names} here, less exactly: pass"
        " covariates= to use them.",
        stacklevel=6,
    )
    times = 1 if request.time is None else max(request.time.size, 1)
    varying = _blanks((times, len(card.varying)), request) if card.varying else None
    return _Covariates(_blanks((len(card.covariates),), request), varying, known=False)


def _blanks(leading: tuple[int, ...], request: Request) -> da.Array:
    """Return fields of 0 on the HR grid."""
    chunks = (*(1 for _ in leading), 1024, 1024)
    return da.zeros((*leading, *request.hr_grid.shape), chunks=chunks, dtype=np.float32)
