"""How an HR grid nests in an LR grid."""

from __future__ import annotations

from xdeepr.errors import GridError
from xdeepr.grids.axis import NESTING_TOLERANCE, GridAxis, Margin
from xdeepr.grids.curvilinear import nest
from xdeepr.grids.grid import Grid


def relate(lr: Grid, hr: Grid) -> tuple[int, Margin]:
    """Return how an HR grid nests in an LR grid.

    Parameters
    ----------
    lr, hr : Grid
        The grids; the HR domain may be smaller.

    Returns
    -------
    factor : int
        HR cells in an LR cell along each axis, 2 to 8.
    margin : tuple of int
        HR cells missing on the low-y, high-y, low-x and high-x side, so that
        ``hr == lr.refine(factor).crop(margin)``.

    Raises
    ------
    GridError
        If the grids are of different kinds, or the HR grid does not nest or reaches beyond.
    """
    if lr.kind != hr.kind:
        raise GridError(
            f"the LR grid is {lr.kind}, the HR grid {hr.kind}: regrid one of them to the other's"
            " kind first, for example with lr.deepr.nest(labels)."
        )
    if lr.places is not None and hr.places is not None and lr.kind == "curvilinear":
        return nest(lr.places, hr.places, (hr.y.name, hr.x.name))
    factors = [a.step / b.step for a, b in ((lr.y, hr.y), (lr.x, hr.x))]
    factor = round(factors[0])
    sizes = max(hr.shape)
    if any(abs(f / max(factor, 1) - 1) * sizes > NESTING_TOLERANCE * 10 for f in factors) or not (
        2 <= factor <= 8
    ):
        raise GridError(
            f"the HR grid does not nest in the LR grid: an LR cell holds {factors[0]:.4g} HR cells"
            f" along {hr.y.name!r} and {factors[1]:.4g} along {hr.x.name!r}; one whole number"
            " from 2 to 8 is needed. Bring the coarse data onto cells in which the labels nest with"
            " lr.deepr.nest(labels), or regrid the labels to a whole fraction of the LR cell."
        )
    low_y, high_y = _margins(lr.y, hr.y, factor, periodic=False)
    low_x, high_x = _margins(lr.x, hr.x, factor, periodic=lr.kind != "projected")
    return factor, (low_y, high_y, low_x, high_x)


def _margins(lr: GridAxis, hr: GridAxis, factor: int, *, periodic: bool) -> tuple[int, int]:
    """Return the HR cells between the sides of the two domains along one axis."""
    offset = hr.edges[0] - lr.edges[0]
    if periodic:
        offset -= 360 * round((hr.edges.mean() - lr.edges.mean()) / 360)
    low = round(offset / hr.step)
    off = offset / hr.step - low
    if abs(off) > NESTING_TOLERANCE * 5:
        raise GridError(
            f"the HR grid does not nest in the LR grid: along {hr.name!r} its cells are off by"
            f" {abs(off):.2g} of an HR cell ({abs(off) * hr.step:.3g} in the coordinate's units)."
            " Bring the coarse data onto cells in which the labels nest with"
            " lr.deepr.nest(labels), or regrid the labels so that LR cell edges are HR cell edges."
        )
    high = lr.size * factor - low - hr.size
    for missing, side in ((low, "low"), (high, "high")):
        if missing < 0:
            raise GridError(
                f"the HR domain reaches {-missing} HR cells beyond the LR domain on the {side} side"
                f" of {hr.name!r}: select labels inside {lr.edges[0]:g} to {lr.edges[-1]:g}, or"
                " give a larger LR domain."
            )
    return low, high
