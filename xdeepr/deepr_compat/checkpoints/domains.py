"""Where a model of DeepR was trained: its grids, and how DeepR laid them on each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from xdeepr.deepr_compat.checkpoints.description import Description, Span
from xdeepr.errors import GridError, OptionError
from xdeepr.grids import Grid, Margin, grid_of, relate

Shape = tuple[int, int]


@dataclass(frozen=True)
class TrainingGrids:
    """The grids of the training, and the place of the one in the other, in HR cells.

    DeepR cut `margin` off the interpolated LR domain, as many cells on both sides. The HR domain
    lies `shift` cells farther north and east than what is left: DeepR did not look at coordinates,
    and in the Mediterranean domain its HR fields lie 0.1° north of the middle of the LR fields. The
    network learnt that; its output has to be put there.
    """

    factor: int
    margin: Margin
    shift: tuple[int, int]
    lr: Grid
    hr: Grid

    def coordinates(self) -> dict[str, np.ndarray]:
        """Return the HR coordinates "y" and "x", ascending."""
        pairs = zip("yx", self.hr.values(), strict=True)
        return {key: np.asarray(values, dtype=np.float64) for key, values in pairs}

    def text(self) -> str:
        """Return the HR domain for people."""
        first = ("latitude", "longitude") if self.hr.geographic else ("y", "x")
        return ", ".join(
            f"{name} {values[0]:g} to {values[-1]:g}"
            for name, values in zip(first, self.coordinates().values(), strict=True)
        )


def training_grids(
    given: Description, hr_shape: Shape, *, factor: int | None = None, lr_shape: Shape | None = None
) -> TrainingGrids:
    """Return where a model was trained: on the user's grids, or on those published.

    Sizes are those of the configuration; the factor is needed where there is no HR grid.
    """
    lr_grid, hr_grid, domain = given.lr_grid, given.hr_grid, given.facts.domain
    if lr_grid is None:
        assert domain is not None  # the caller has asked for what is missing
        lr_grid, hr_grid = _empty(domain.lr), _empty(domain.hr)
    lr = grid_of(lr_grid)
    hr = grid_of(hr_grid) if hr_grid is not None else None
    _check_shape("lr_grid", lr.shape, lr_shape)
    nested: Margin | None = None
    if hr is not None:
        _check_shape("hr_grid", hr.shape, hr_shape)
        measured, nested = relate(lr, hr)
        if factor not in (None, measured):
            raise OptionError(
                f"factor={factor}: an LR cell of lr_grid holds {measured} cells of hr_grid along"
                " each axis. Give the grids that the model was trained on, or leave factor out."
            )
        factor = measured
    assert factor is not None  # the caller has asked for what is missing
    cut = [_cut(n * factor, m) for n, m in zip(lr.shape, hr_shape, strict=True)]
    margin = (cut[0], cut[0], cut[1], cut[1])
    if hr is None or nested is None:
        return TrainingGrids(factor, margin, (0, 0), lr, lr.refine(factor).crop(margin))
    return TrainingGrids(factor, margin, (nested[0] - cut[0], nested[2] - cut[1]), lr, hr)


def _cut(fine: int, kept: int) -> int:
    """Return the HR cells that DeepR cut off on each side."""
    cut, odd = divmod(fine - kept, 2)
    if cut < 0 or odd:
        raise GridError(
            f"the interpolated LR domain has {fine} HR cells, the model's fields have {kept}: DeepR"
            " cut the same number off on both sides, which cannot be. Give the lr_grid= and the"
            " factor= of the training."
        )
    return cut


def _check_shape(option: str, shape: Shape, wanted: Shape | None) -> None:
    if wanted is not None and shape != wanted:
        raise GridError(
            f"{option} has {shape[0]} × {shape[1]} cells, the model was trained on {wanted[0]} ×"
            f" {wanted[1]}: give an object on exactly the domain of the training."
        )


def _empty(spans: tuple[Span, Span]) -> xr.Dataset:
    """Return a dataset of coordinates alone, with latitudes as DeepR's files have them."""
    y, x = (span.values() for span in spans)
    latitude = ("latitude", y[::-1], {"units": "degrees_north", "standard_name": "latitude"})
    longitude = ("longitude", x, {"units": "degrees_east", "standard_name": "longitude"})
    return xr.Dataset(coords={"latitude": latitude, "longitude": longitude})
