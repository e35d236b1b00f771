"""Bring a coarse field onto a grid in which the labels nest."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.checks import whole_number
from xdeepr.errors import GridError
from xdeepr.grids.axis import GridAxis
from xdeepr.grids.grid import Grid
from xdeepr.grids.reading import as_user_order, gridded
from xdeepr.grids.resampling import Method, regrid

XarrayObject = TypeVar("XarrayObject", xr.Dataset, xr.DataArray)

_DONE = {"bilinear": "interpolated to", "conservative": "averaged over"}


def nest(
    obj: XarrayObject,
    like: xr.Dataset | xr.DataArray,
    *,
    factor: int | None = None,
    method: Method = "bilinear",
) -> XarrayObject:
    """Bring a coarse field to a grid of about its resolution in which another grid nests.

    ERA5 on latitudes and longitudes and labels on a Lambert grid do not nest; nor do two
    latitude/longitude grids whose cells are not multiples of each other. The result is on cells
    that are blocks of `factor` × `factor` cells of the finer grid, and goes as far beyond it as the
    coarse data reach, so that the edges have context.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Coarse fields on a rectilinear grid: of the kind of `like`, or latitude/longitude.
    like : xarray.Dataset or xarray.DataArray
        Anything on the fine grid, of any kind. Around a curvilinear one there is no context, and
        its sizes must be multiples of the factor.
    factor : int, optional
        HR cells in an LR cell along each axis, 2 to 8. Default: the nearest to the ratio of the
        resolutions.
    method : {"bilinear", "conservative"}
        Interpolate at the centres of the new cells, or average over the area of the old cells that
        they share, so that totals are kept (precipitation, fluxes). The latter needs xarray-regrid
        and grids of the same kind.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        The same kind as `obj`, lazy where `obj` is lazy. Where values are missing, bilinear
        interpolation makes all cells between them and others missing, and averages are taken over
        the rest if that is half of a cell.

    Raises
    ------
    GridError
        If the coarse grid is curvilinear or of a kind that does not go with the fine one, does not
        cover the fine grid, or the resolutions differ by less than 2 or more than 8 and no factor
        is given.
    OptionError
        If the factor is out of range, or the method is unknown or not installed.

    Examples
    --------
    >>> from xdeepr.synthetic import SyntheticClimate
    >>> coarse = SyntheticClimate(resolution=0.1).sample("2001-07-01T12", seed=0)[0]
    >>> fine = SyntheticClimate(shape=(24, 24), south=39, west=5).sample("2001-07-01T12", seed=0)[1]
    >>> coarse.deepr.nest(fine).deepr.downscale("bicubic", like=fine)["t2m"].shape
    (1, 24, 24)
    """
    source, fine = gridded(obj), gridded(like).grid
    _check_kinds(source.grid, fine)
    if factor is None:
        factor = _factor(source.grid, fine)
    whole_number("factor", factor, least=2, most=8)
    coarse = _coarse(source.grid, fine, int(factor))
    ds, horizontal = source.dataset, {source.axes.y, source.axes.x}
    fields = {name: _brought(source, name, coarse, method) for name in source.fields}
    kept = {n: da for n, da in ds.data_vars.items() if not horizontal & set(da.dims)}
    stale = [n for n, c in ds.coords.items() if horizontal & set(c.dims)]
    out = xr.Dataset({**fields, **kept}, ds.drop_vars(stale).coords)
    coordinates = coarse.coordinates()
    out = out.assign_coords(coordinates)
    bounds: list[str] = [n for n in coordinates if n.endswith("_bnds")]
    mapping: list[str] = [] if coarse.mapping is None else [coarse.mapping[0]]
    out = out.reset_coords([*bounds, *mapping])
    out.attrs = cf.append_history(ds.attrs, f"{_DONE[method]} cells in which x{factor} cells nest")
    axes = cf.Axes(coarse.y.name, coarse.x.name, source.axes.time)
    return replace(source, dataset=out, axes=axes, grid=coarse).as_given()  # type: ignore[return-value]


def _check_kinds(source: Grid, fine: Grid) -> None:
    """Refuse grids between which nothing can be interpolated here."""
    if not source.rectilinear:
        raise GridError(
            f"the coarse grid is {source.kind}: regrid it to latitudes and longitudes first, for"
            " example with xesmf."
        )
    if not (source.same_kind(fine) or source.geographic):
        raise GridError(
            f"the coarse grid is {source.kind}, the fine grid {fine.kind}: regrid one of them to"
            " the other's kind first, for example with xesmf."
        )


def _factor(source: Grid, fine: Grid) -> int:
    """Return the whole number nearest to the ratio of the resolutions."""
    same = source.same_kind(fine)
    ratio = source.ratios(fine)[0] if same else source.cell_km() / fine.cell_km()
    if not 1.5 <= ratio < 8.5:
        raise GridError(
            f"a cell of the coarse grid holds {ratio:.3g} cells of the fine grid along"
            f" {fine.y.name!r}, and 2 to 8 are possible: coarsen or refine one of them first, or"
            " give factor=."
        )
    return max(2, round(ratio))


def _coarse(source: Grid, fine: Grid, factor: int) -> Grid:
    """Return the grid of blocks of fine cells, as far as the coarse data reach."""
    if not fine.rectilinear:  # beyond the fine cells nobody knows where others would lie
        return fine.merge(factor)
    reach = source.axes if source.same_kind(fine) else (None, None)
    y, x = (_blocks(axis, factor, r) for axis, r in zip(fine.axes, reach, strict=True))
    return replace(fine, y=y, x=x, centres=None)


def _blocks(axis: GridAxis, factor: int, reach: GridAxis | None) -> GridAxis:
    """Return the axis of blocks of cells, with further blocks where there are coarse data."""
    cell = axis.step * factor
    low, size, high = 0, -(-axis.size // factor), 0
    if reach is not None:
        ahead = axis.edges.mean() - reach.edges.mean()
        shift = axis.circle * round(ahead / axis.circle) if axis.circle else 0
        start, stop = axis.edges[0] - shift, axis.edges[0] - shift + size * cell
        # centres stay between the outermost coarse centres: nothing is extrapolated
        low = max(0, int((start + cell / 2 - reach.centres[0]) // cell))
        high = max(0, int((reach.centres[-1] - stop + cell / 2) // cell))
    first = axis.edges[0] + (0.5 - low) * cell
    centres = first + cell * np.arange(low + size + high)
    return replace(axis, centres=centres, values=None)


def _brought(source: cf.Gridded[Grid], name: str, coarse: Grid, method: Method) -> xr.DataArray:
    """Bring one field to the coarse grid; without horizontal coordinates yet."""
    axes, field = source.axes, cf.without_fill_values(source.dataset[name])
    out = regrid(field, coarse, axes=axes, source=source.grid, role="field", method=method)
    out = as_user_order(out, coarse)
    attrs = cf.lasting_attrs(field.attrs)
    if coarse.mapping is not None:
        attrs["grid_mapping"] = coarse.mapping[0]
    kept = {n: c for n, c in field.coords.items() if not {axes.y, axes.x} & set(c.dims)}
    return out.assign_coords(kept).assign_attrs(attrs).rename(field.name)
