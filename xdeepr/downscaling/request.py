"""What is asked for, and where its tiles and blocks lie on the HR grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from xdeepr import cf
from xdeepr.downscaling.model_source import Model
from xdeepr.errors import GridError, OptionError
from xdeepr.grids import Grid
from xdeepr.models.card import Card
from xdeepr.sampling.samplers import SamplingOptions
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import EDGE, make_plan

_TILE_SLACK = 1.5
"""A domain up to this many times as large as a training window is done in one tile."""


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Parameters
    ----------
    source : Gridded
        One entry of the coarse data, backed by dask.
    hr_grid : Grid
        Where the result lies.
    entry : int
        Tells the noise of different input members apart.
    """

    source: cf.Gridded[Grid]
    hr_grid: Grid
    geometry: Geometry
    covariates: cf.Gridded[Grid] | None
    options: SamplingOptions
    members: int
    entry: int = 0

    def for_model(self, model: Model) -> Request:
        """Return the same for one field of another model, in tiles of that model's own size."""
        geometry = plan_geometry(model, self.source.grid, self.hr_grid)
        return replace(self, geometry=geometry, members=1)


def plan_geometry(
    model: Model,
    lr_grid: Grid,
    hr_grid: Grid,
    *,
    tile: int | tuple[int, int] | None = None,
    overlap: int | None = None,
) -> Geometry:
    """Plan tiles and blocks on the whole HR domain.

    `tile` (height and width) and `overlap` are in HR pixels; None stands for the defaults that
    :func:`xdeepr.downscale` names.
    """
    card, shape = model.card, hr_grid.shape
    scale = card.scale if card else 1
    size = _tile_size(card, shape, tile)
    overlap = _overlap(card, shape, size) if overlap is None else int(overlap)
    plan = make_plan(
        (-(-shape[0] // scale), -(-shape[1] // scale)),
        tile=(-(-size[0] // scale), -(-size[1] // scale)),
        overlap=overlap // scale,
        block=EDGE // scale,
        closed=_closed(card, lr_grid, hr_grid),
    )
    return Geometry(
        plan,
        model.factor,
        (model.margin[0], model.margin[2]),
        lr_grid.shape,
        hr_grid.origin(),
        hr_grid.period,
        context=card.context if card else 0,
        scale=scale,
        shape=shape,
        trained=place_of(model, hr_grid) if card and card.bound else ((0, 0), (0, 0)),
        overhang=plan.overhang * scale if plan.closed else 0,
    )


def _closed(card: Card | None, lr_grid: Grid, hr_grid: Grid) -> bool:
    """Whether tiles go on across the seam of the globe."""
    if card is None or card.bound or not (lr_grid.closed and hr_grid.closed):
        return False
    width = hr_grid.shape[1]
    if card.fixed_size and width <= card.tile[1]:  # a tile that cannot be made wider
        return False
    return width == hr_grid.period and width % card.scale == 0


def _tile_size(
    card: Card | None, shape: tuple[int, int], tile: int | tuple[int, int] | None
) -> tuple[int, int]:
    """Return height and width of a tile in HR pixels."""
    if tile is None:
        trained = card.tile if card else shape
        slack = 1.0 if card and card.fixed_size else _TILE_SLACK
        size = tuple(n if n <= slack * t else t for n, t in zip(shape, trained, strict=True))
    else:
        size = (tile, tile) if isinstance(tile, int | np.integer) else tuple(tile)
    if len(size) != 2:
        raise OptionError(f"tile={tile!r}: give one number or a pair (height, width) in HR pixels.")
    return int(size[0]), int(size[1])


def _overlap(card: Card | None, shape: tuple[int, int], size: tuple[int, int]) -> int:
    """Return how many HR pixels neighbouring tiles share where the user does not say."""
    overlap = min(min(s, n) for s, n in zip(size, shape, strict=True)) // 4
    if card and card.context:  # tiles of whole LR cells need no further cells
        cut = 0 if size[0] < shape[0] else 1
        overlap += (size[cut] - overlap) % card.factor
    return overlap


def place_of(model: Model, hr_grid: Grid) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return where a domain begins on that of the training: LR cell and HR pixel, each (y, x).

    A domain that is no part of the training's is refused by a GridError.
    """
    training = hr_grid.with_values(model.known)
    at = training.locate(hr_grid)
    y, x = at.first
    if at.part() is None or y % model.factor or x % model.factor:
        raise GridError(
            f"the model {model.name!r} is normalized cell by cell and serves only on its training"
            f" domain: that covers {training.extent()}, the data {hr_grid.extent()}. Select a part"
            " of that domain, or fit with normalization='domain-wise'."
        )
    return (y // model.factor, x // model.factor), (y, x)
