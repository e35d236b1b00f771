"""Cutting and blending tiles."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xdeepr.tiling.fusion import fuse, tile_weights
from xdeepr.tiling.plan import make_plan


@given(
    height=st.integers(16, 120),
    width=st.integers(16, 120),
    tile=st.integers(8, 64),
    batch=st.integers(1, 7),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_identity_on_tiles_is_identity_on_the_block(height, width, tile, batch, data):
    overlap = data.draw(st.integers(0, min(tile, height, width) // 2))
    plan = make_plan((height, width), tile=(tile, tile), overlap=overlap, block=50)
    for _, _, block in plan.blocks():
        x = torch.randn(2, 3, *block.shape, generator=torch.Generator().manual_seed(1))
        out = fuse(lambda tiles, places: tiles, x, block, plan, batch_size=batch)
        torch.testing.assert_close(out, x, rtol=1e-5, atol=1e-5)


def test_weights_are_positive_and_sum_to_one():
    plan = make_plan((100, 90), tile=(32, 32), overlap=12)
    ((_, _, block),) = plan.blocks()
    total = torch.zeros(block.shape)
    for weights, (y, x) in zip(tile_weights(block, plan), block.tiles(), strict=True):
        assert (weights > 0).all()
        total[y.slice, x.slice] += weights
    torch.testing.assert_close(total, torch.ones(block.shape))


def test_weights_at_a_pixel_do_not_depend_on_the_block():
    """A core pixel is blended from the same tiles with the same weights in any block."""
    whole = make_plan((200, 64), tile=(64, 64), overlap=24, block=4096)
    parts = make_plan((200, 64), tile=(64, 64), overlap=24, block=64)

    def ramp(plan):
        fields = torch.full(plan.shape, float("nan"))
        for _, _, block in plan.blocks():
            x = torch.zeros(1, 1, *block.shape)

            def start_of_tile(tiles, places, block=block):
                starts = [float(y.start + block.y.window.start) for _, (y, _) in places]
                return tiles + torch.tensor(starts)[:, None, None, None]

            out = fuse(start_of_tile, x, block, plan, batch_size=5)
            y, x_ = block.core_in_window()
            fields[block.y.core.slice, block.x.core.slice] = out[0, 0, y, x_]
        return fields

    assert len(parts.y) > 1
    torch.testing.assert_close(ramp(parts), ramp(whole))


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_places_say_where_tiles_were_cut(batch):
    plan = make_plan((50, 70), tile=(32, 32), overlap=8)
    ((_, _, block),) = plan.blocks()
    x = torch.randn(3, 1, 50, 70, generator=torch.Generator().manual_seed(2))
    sizes = []

    def check(tiles, places):
        sizes.append(len(places))
        for tile, (sample, (y, x_)) in zip(tiles, places, strict=True):
            torch.testing.assert_close(tile, x[sample][:, y, x_], rtol=0, atol=0)
        return tiles

    fuse(check, x, block, plan, batch_size=batch)
    assert max(sizes) <= batch
    assert sum(sizes) == 3 * len(list(block.tiles()))
