"""Where the cells of one grid lie in another, for all kinds of grids."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.example_grids import latlon, projected
from xdeepr.grids import KINDS, Grid, grid_of
from xdeepr.grids.kinds import Curvilinear


def rotated() -> xr.Dataset:
    coords = {"rlat": np.arange(-3.0, 3, 0.5), "rlon": (355 + 0.5 * np.arange(24)) % 360}
    return xr.Dataset({"t": (("rlat", "rlon"), np.zeros((12, 24)))}, coords)


def curvilinear() -> xr.Dataset:
    i, j = np.meshgrid(np.arange(12.0), np.arange(16.0), indexing="ij")
    coords = {
        "XLAT": (("row", "column"), 50 + 0.1 * i + 0.03 * j, {"units": "degree_north"}),
        "XLONG": (("row", "column"), 178 + 0.2 * j - 0.05 * i, {"units": "degree_east"}),
    }
    return xr.Dataset({"t": (("row", "column"), np.zeros((12, 16)))}, coords)


GRIDS = {
    "latlon": grid_of(latlon(np.arange(40.0, 52), (350 + np.arange(20.0)) % 360)),
    "projected": grid_of(projected().drop_attrs(deep=False)).refine(2),
    "rotated": grid_of(rotated()),
    "curvilinear": grid_of(curvilinear()),
}


def test_there_is_an_example_of_every_kind() -> None:
    assert {kind: type(grid) for kind, grid in GRIDS.items()} == KINDS


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_parts_are_found_where_they_were_cut(kind: str, data: st.DataObject) -> None:
    whole = GRIDS[kind]
    cuts = [data.draw(st.integers(0, n // 2 - 1)) for n in whole.shape for _ in "lh"]
    margin = (cuts[0], cuts[1], cuts[2], cuts[3])
    part = whole.crop(margin)
    at = whole.locate(part)
    assert at.first == (margin[0], margin[2])
    assert at.same(1e-6)
    rows, columns = at.part() or (None, None)
    assert whole.crop(margin).shape == (rows.stop - rows.start, columns.stop - columns.start)


@pytest.mark.parametrize("kind", KINDS)
def test_what_reaches_beyond_is_counted_on(kind: str) -> None:
    whole = GRIDS[kind]
    part = whole.crop((2, 3, 4, 1))
    at = part.locate(whole)
    assert at.first == (-2, -4)
    assert not at.same()
    assert at.part() is None
    inside = [int(i.sum()) for i in at.inside()]
    assert tuple(inside) == part.shape


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_found_by_the_values_that_tell_them(kind: str) -> None:
    """What a checkpoint keeps of the training: two arrays."""
    whole = GRIDS[kind]
    part = whole.crop((1, 2, 3, 4))
    again = part.with_values(whole.values())
    assert again.shape == whole.shape
    assert again.locate(part).first == (1, 3)
    snapped = part.snap(whole.values())
    for ours, theirs in zip(snapped.values(), part.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_cells_are_no_cells(kind: str) -> None:
    whole = GRIDS[kind]
    at = whole.refine(2).locate(whole)
    assert not at.same()
    assert max(float(off.max()) for off in at.off) > 0.2


@given(turns=st.integers(-2, 2), cut=st.integers(0, 35))
def test_longitudes_count_modulo_the_globe(turns: int, cut: int) -> None:
    globe = grid_of(latlon(np.arange(-85.0, 90, 10), np.arange(5.0, 360, 10)))
    lon = 5.0 + 10 * (cut + np.arange(8)) + 360 * turns
    at = globe.locate(grid_of(latlon(np.arange(-25.0, 30, 10), lon)))
    assert at.same(1e-6)
    np.testing.assert_array_equal(at.columns, (cut + np.arange(8)) % 36)
    # across the seam the columns are not side by side
    assert (at.part() is None) == (cut > 28)


def test_the_seam_of_a_globe_that_is_cut_elsewhere() -> None:
    west, east = (grid_of(latlon(np.arange(4.0), s + np.arange(0.5, 360))) for s in (-180, 0))
    at = east.locate(west)
    assert at.same()
    np.testing.assert_array_equal(at.columns, np.roll(np.arange(360), 180))


@pytest.mark.parametrize("start", [0, 7])
def test_noise_that_was_evened_out_differently_does_not_count(start: int) -> None:
    """The line through a part of rounded coordinates is not that through the whole."""
    lat = np.round(40 + np.arange(60) / 12, 3)
    whole = grid_of(latlon(lat, np.arange(4.0)))
    part = grid_of(latlon(lat[start:40], np.arange(4.0)))
    assert np.abs(part.y.centres - whole.y.centres[start:40]).max() > (1e-4 if start else 0)
    assert float(whole.locate(part).off[0].max()) == 0.0


def test_gaussian_rows_are_found_one_by_one() -> None:
    lat = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))
    whole = grid_of(latlon(lat, np.arange(4.0)))
    part = grid_of(latlon(lat[20:50], np.arange(4.0)))
    assert whole.locate(part).first == (20, 0)
    assert whole.locate(part).same(1e-6)


def test_rounded_positions_of_curvilinear_cells_are_the_same() -> None:
    whole = GRIDS["curvilinear"]
    assert isinstance(whole, Curvilinear)
    values = tuple(v + 5e-4 for v in whole.values())
    assert whole.locate(whole.with_values((values[0], values[1]))).same(1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_shifted_cells_are_not_the_same(kind: str) -> None:
    whole: Grid = GRIDS[kind]
    y, x = whole.values()
    moved = whole.with_values((y + 0.3 * float(np.ptp(y)) / (y.shape[0] - 1), x))
    assert not whole.locate(moved).same()
    assert max(float(off.max()) for off in whole.locate(moved).off) > 0.1
