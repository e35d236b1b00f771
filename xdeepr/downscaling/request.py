"""What is asked for, and where its tiles and blocks lie on the HR grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from xdeepr.downscaling.model_source import Model
from xdeepr.errors import GridError, OptionError
from xdeepr.grids import Grid
from xdeepr.grids.curvilinear import Places
from xdeepr.sampling.samplers import SamplingOptions
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import EDGE, make_plan

_TILE_SLACK = 1.5
"""A domain up to this many times as large as a training window is done in one tile."""


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


def geometry_of(model: Model, request: Request) -> Geometry:
    """Plan tiles and blocks on the whole HR domain.

    Parameters
    ----------
    model : Model
        What to use.
    request : Request
        What is asked for.

    Returns
    -------
    Geometry

    Raises
    ------
    OptionError
        If tile or overlap are no sizes.
    GridError
        If the model is bound to the cells of its training and the domain lies elsewhere.
    """
    card, shape = model.card, request.hr_grid.shape
    scale = card.scale if card else 1
    size, overlap = _tile(model, request)
    plan = make_plan(
        (-(-shape[0] // scale), -(-shape[1] // scale)),
        tile=(-(-size[0] // scale), -(-size[1] // scale)),
        overlap=overlap // scale,
        block=EDGE // scale,
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
        trained=place_of(model, request.hr_grid) if card and card.bound else ((0, 0), (0, 0)),
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


def place_of(model: Model, hr_grid: Grid) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return where a domain begins on that of the training.

    Parameters
    ----------
    model : Model
        Knows the cells of its training.
    hr_grid : Grid
        The domain.

    Returns
    -------
    lr, hr : (int, int)
        First LR cell and first HR pixel, each (y, x).

    Raises
    ------
    GridError
        If it is not a part of that domain.
    """
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
