"""The plan covers the domain once, and does not depend on anything but the domain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdeepr.errors import OptionError
from xdeepr.tiling.plan import make_plan

sizes = st.integers(8, 300)


@given(height=sizes, width=sizes, tile=st.integers(8, 96), data=st.data())
@settings(max_examples=60, deadline=None)
def test_cores_cover_every_pixel_once(height, width, tile, data):
    overlap = data.draw(st.integers(0, min(tile, height, width) // 2))
    block = data.draw(st.integers(8, 400))
    plan = make_plan((height, width), tile=(tile, tile), overlap=overlap, block=block)
    covered = np.zeros((height, width), int)
    for _, _, part in plan.blocks():
        covered[part.y.core.slice, part.x.core.slice] += 1
        y, x = part.core_in_window()
        assert (y.stop - y.start, x.stop - x.start) == (len(part.y.core), len(part.x.core))
        assert part.y.window.start <= part.y.core.start
        assert part.y.core.stop <= part.y.window.stop <= height
        tiles = np.zeros(part.shape, int)
        for ty, tx in part.tiles():
            assert (len(ty), len(tx)) == plan.tile
            tiles[ty.slice, tx.slice] += 1
        assert (tiles[y, x] >= 1).all()
    assert (covered == 1).all()
    assert tuple(map(sum, plan.chunks)) == (height, width)


def test_blocks_share_the_tiles_of_the_whole_domain():
    whole = make_plan((300, 300), tile=(64, 64), overlap=16, block=4096)
    parts = make_plan((300, 300), tile=(64, 64), overlap=16, block=64)
    everywhere = set(whole.y[0].tiles)
    assert len(parts.y) > 1
    for segment in parts.y:
        assert set(segment.tiles) <= everywhere
        # all tiles that reach into the core are there
        core = segment.core
        assert {t for t in everywhere if t.start < core.stop and t.stop > core.start} <= set(
            segment.tiles
        )


@given(length=st.integers(8, 900), tile=st.integers(8, 96), block=st.integers(8, 400))
@settings(max_examples=60, deadline=None)
def test_cores_are_chunks_that_zarr_can_write(length, tile, block):
    plan = make_plan((length, 8), tile=(tile, 8), overlap=min(tile, length) // 4, block=block)
    sizes = plan.chunks[0]
    assert set(sizes[:-1]) <= {sizes[0]}
    assert sizes[-1] <= sizes[0]


def test_small_domain_is_one_tile():
    plan = make_plan((40, 48), tile=(64, 64), overlap=16)
    ((_, _, block),) = plan.blocks()
    assert list(block.tiles()) == [(block.y.core, block.x.core)]


@pytest.mark.parametrize(
    ("options", "word"),
    [({"tile": (0, 8), "overlap": 0}, "tile"), ({"tile": (32, 32), "overlap": 17}, "overlap")],
)
def test_bad_sizes_are_refused(options, word):
    with pytest.raises(OptionError, match=word):
        make_plan((100, 100), **options)


@given(height=st.integers(8, 60), width=sizes, tile=st.integers(8, 96), data=st.data())
@settings(max_examples=60, deadline=None)
def test_tiles_go_round_a_closed_domain(height, width, tile, data):
    """Every column of a core is under as many tiles as if the ring were cut open elsewhere."""
    overlap = data.draw(st.integers(0, min(tile, height, width) // 2))
    block = data.draw(st.integers(8, 400))
    plan = make_plan((height, width), tile=(tile, tile), overlap=overlap, block=block, closed=True)
    assert sum(plan.chunks[1]) == width
    ring = {t.start % width for s in plan.x for t in s.tiles}
    across = {(start + n) % width for start in ring for n in range(plan.tile[1])}
    assert across == set(range(width))
    for segment in plan.x:
        window = segment.window
        assert window.start <= segment.core.start
        assert window.stop >= segment.core.stop
        assert -plan.overhang <= window.start
        assert window.stop <= width + plan.overhang
        if tile < width:
            for column in {segment.core.start, segment.core.stop - 1}:
                mine = {t.start % width for t in segment.tiles if t.start <= column < t.stop}
                every = {s for s in ring if (column - s) % width < tile}
                assert mine == every
