"""How an HR grid nests in an LR grid."""

from __future__ import annotations

from xdeepr.errors import GridError
from xdeepr.grids.axis import Margin
from xdeepr.grids.grid import Grid
from xdeepr.grids.location import SAME_CELL


def relate(lr: Grid, hr: Grid) -> tuple[int, Margin]:
    """Return factor (2 to 8) and margin such that ``hr == lr.refine(factor).crop(margin)``.

    Refused with GridError if the grids are of different kinds, or the HR grid does not nest or
    reaches beyond.
    """
    if not lr.same_kind(hr):
        raise GridError(
            f"the LR grid is {lr.kind}, the HR grid {hr.kind}: regrid one of them to the other's"
            " kind first, for example with lr.deepr.nest(labels)."
        )
    factor = _factor(lr, hr)
    at = lr.locate_among_parts(hr, factor)
    margin: list[int] = []
    for axis, first, off, size in zip(hr.axes, at.first, at.off, at.shape, strict=True):
        if off[0] > SAME_CELL:  # sizes agree: the first cell speaks for all
            raise GridError(
                f"the HR grid does not nest in the LR grid: along {axis.name!r} its cells are off"
                f" by {off[0]:.2g} of an HR cell. {lr.cure}"
            )
        sides = (first, size - first - axis.size)
        for missing, side in zip(sides, ("low", "high"), strict=True):
            if missing < 0:
                raise GridError(
                    f"the HR domain reaches {-missing} HR cells beyond the LR domain on the {side}"
                    f" side of {axis.name!r}: select labels inside {lr.extent()}, or give a larger"
                    " LR domain."
                )
        margin += sides
    return factor, (margin[0], margin[1], margin[2], margin[3])


def _factor(lr: Grid, hr: Grid) -> int:
    """Return the number of HR cells along the side of an LR cell."""
    ratios = lr.ratios(hr)
    factor = round(sum(ratios) / 2)
    whole = all(abs(r / max(factor, 1) - 1) <= lr.ratio_tolerance(hr) for r in ratios)
    if not whole or not 2 <= factor <= 8:
        raise GridError(
            f"the HR grid does not nest in the LR grid: an LR cell holds {ratios[0]:.4g} HR cells"
            f" along {hr.y.name!r} and {ratios[1]:.4g} along {hr.x.name!r}; one whole number"
            f" from 2 to 8 is needed. {lr.cure}"
        )
    return factor
