"""Assemble the lazy field from what its blocks are computed from."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import dask.array as da
import numpy as np

from xdeepr import cf
from xdeepr.cf.dimensions import keyed_with
from xdeepr.checks import warn
from xdeepr.downscaling.graph import Chunking, Recipe, lazy_blocks
from xdeepr.downscaling.model_source import Model
from xdeepr.downscaling.parts import Arrays
from xdeepr.downscaling.request import Request, place_of
from xdeepr.errors import GridError
from xdeepr.grids import Grid, grid_of
from xdeepr.inputs.covariates import no_statics, solar_on, statics_on, varying_on
from xdeepr.inputs.instance_statistics import lazy_statistics
from xdeepr.inputs.missing import Missing, under_gaps, without_gaps
from xdeepr.inputs.quantities import stack_fields
from xdeepr.inputs.times import time_inputs
from xdeepr.models.card import Card
from xdeepr.models.stored_arrays import load_covariates, load_untrained
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import EDGE

_WRAP = 3
"""LR columns beyond the seam that interpolation may look at."""


def lazy_field(model: Model, request: Request, missing: Missing = "error") -> da.Array:
    """Return the output of a model, lazily: (realization, time, predictand, y, x), ascending."""
    if missing == "error":
        values = _computed(model, request)
    else:
        values = _computed(model, replace(request, source=without_gaps(request.source)))
        if missing == "mask":
            lr = stack_fields(request.source, model.predictors, role="predictor").data
            hidden = under_gaps(lr, model.factor, model.margin)
            blocks = (values.chunks[1], 1, *values.chunks[3:])
            values = da.where(hidden.rechunk(blocks), np.float32(np.nan), values)
    untrained = _untrained(model, request.hr_grid)
    return values if untrained is None else da.where(untrained, np.float32(np.nan), values)


def _untrained(model: Model, hr_grid: Grid) -> np.ndarray | None:
    """Return the cells whose labels were always missing in training, if the domain is the same."""
    if model.card is None or not model.card.training.get("masked"):
        return None
    try:
        y, x = place_of(model, hr_grid)[1]
    except GridError:
        return None
    never = load_untrained(model.source.name)
    return never[y : y + hr_grid.shape[0], x : x + hr_grid.shape[1]]


def _computed(model: Model, request: Request) -> da.Array:
    """Return the output of a model where nothing is missing, (realization, time, V, y, x)."""
    card, source, hr_grid = model.card, request.source, request.hr_grid
    time, geometry = source.time, request.geometry
    lr = stack_fields(source, model.predictors, role="predictor").data
    if source.grid.closed and hr_grid.closed and not (card and card.bound):
        lr, geometry = around_the_globe(lr, geometry, source.grid)
    features = card.time_features if card else {}
    covariates = _covariates(model, request)
    sun = solar_on(hr_grid, features, time)
    fields = [f for f in (covariates.varying, sun) if f is not None]
    arrays = Arrays(
        lr,
        covariates.statics,
        da.concatenate(fields, axis=1) if fields else None,
        _base(model, request),
        lazy_statistics(lr, geometry) if card and card.instance else None,
        covariates.in_files,
    ).around(geometry.overhang)
    times = time_inputs(time, features)
    blocks = list(geometry.plan.blocks())
    request.options.check_blocks(len(blocks))
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
    return _computed(model.base, request.for_model(model.base))[0]


def around_the_globe(lr: da.Array, geometry: Geometry, lr_grid: Grid) -> tuple[da.Array, Geometry]:
    """Return LR fields with columns from the opposite side beyond both ends of the strip.

    So interpolation, and what the network sees of the LR fields, goes on across the seam. Tiles of
    a closed plan see as much on the other side as on their own. The LR grid may hold some columns
    twice, at both ends.
    """
    width = max(_WRAP, geometry.context + 1) - (-geometry.overhang // geometry.factor)
    west, east = lr_grid.x.beyond_the_seam(width)
    lr = da.concatenate([lr[..., west], lr, lr[..., east]], axis=-1)
    lr = lr.rechunk({lr.ndim - 1: -1})  # at once, not again for every block and time
    margin = (geometry.margin[0], geometry.margin[1] + width * geometry.factor)
    shape = (geometry.lr_shape[0], lr.shape[-1])
    return lr, replace(geometry, margin=margin, lr_shape=shape)


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
        return _Covariates(no_statics(grid))
    try:
        if given is not None:
            statics = statics_on(grid, given, card.covariates)
            varying = (
                varying_on(grid, given, card.varying, request.source.time) if card.varying else None
            )
            return _Covariates(statics, varying)
        if card.varying:
            names = ", ".join(q.name for q in card.varying)
            raise GridError(
                f"the model {card.name!r} needs {names}, which vary in time: pass covariates=."
            )
        ds = load_covariates(model.source.name, card, grid, model.digest)
        axes = cf.Axes(grid.y.name, grid.x.name, None)
        kept = cf.Gridded(ds, axes, grid_of(ds, axes), ds)
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
    warn(
        f"the model {card.name!r} works without its covariates {names} here, less exactly: pass"
        " covariates= to use them."
    )
    time = request.source.time
    times = 1 if time is None else max(time.size, 1)
    varying = _blanks((times, len(card.varying)), request) if card.varying else None
    return _Covariates(_blanks((len(card.covariates),), request), varying, known=False)


def _blanks(leading: tuple[int, ...], request: Request) -> da.Array:
    """Return fields of 0 on the HR grid."""
    chunks = (*(1 for _ in leading), EDGE, EDGE)
    return da.zeros((*leading, *request.hr_grid.shape), chunks=chunks, dtype=np.float32)
