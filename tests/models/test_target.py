"""What is learnt of a field, and the field that follows from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import xdeepr
from xdeepr.errors import CheckpointError
from xdeepr.inputs.block import BlockInput
from xdeepr.inputs.quantities import Quantity
from xdeepr.inputs.times import Times
from xdeepr.models.block_task import BlockTask
from xdeepr.models.card import Card
from xdeepr.models.card_json import read_card
from xdeepr.models.downscaler import Downscaler
from xdeepr.models.target import BlockTarget
from xdeepr.normalization import Affine, Chain, Log, Sqrt, Transform
from xdeepr.testing import assert_same_field
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import make_plan

GEOMETRY = Geometry(make_plan((8, 12), tile=(8, 12), overlap=0), 4, (0, 0), (2, 3), (0, 0))
((_, _, BLOCK),) = GEOMETRY.plan.blocks()
AFFINE = Affine([0.2, -0.1], [2.0, 0.5])
CHAINS = {
    "affine": AFFINE,
    "log": Chain((Log(scale=(0.1, None), dry=(0.1, 0.0)), AFFINE)),
    "root of a shift": Chain((Affine([-1.0, -1.0], [1.0, 1.0]), Sqrt(scale=(1.0, 2.0)), AFFINE)),
}


@pytest.fixture
def inputs(rng) -> BlockInput:
    lr = rng.gamma(0.7, 3.0, (5, 2, 2, 3)).astype(np.float32)
    blank, months = np.zeros((5, 0), np.float32), np.arange(1, 6)
    return BlockInput(lr, np.zeros((0, 8, 12)), Times(blank, blank, months, months, months))


@pytest.fixture
def field(rng) -> torch.Tensor:
    return torch.from_numpy(rng.gamma(0.7, 3.0, (5, 2, 8, 12)).astype(np.float32))


@pytest.fixture
def card(small_model) -> Card:
    rain, wind = Quantity("tp", "mm day-1"), Quantity("wind", "m s-1")
    return replace(small_model.card, predictors=(wind, rain), predictands=(rain, wind), base=(1, 0))


def on(card: Card, inputs: BlockInput) -> BlockTarget:
    return BlockTarget(card, BlockTask(inputs, GEOMETRY, BLOCK))


def with_target(card: Card, transform: Transform) -> Card:
    return replace(card, normalization={**card.normalization, "target": transform})


@pytest.mark.parametrize("target", ["residual", "field"])
@pytest.mark.parametrize("base", [(1, 0), (None, 0), (1, None), (None, None)])
@pytest.mark.parametrize("transform", CHAINS)
def test_the_field_comes_back(card, inputs, field, transform, base, target):
    card = replace(with_target(card, CHAINS[transform]), base=base, target=target)
    there = on(card, inputs).normalized(field)
    back = on(card, inputs).restored(there)
    dry = field[:, :1] < 0.1 if transform == "log" else torch.zeros(())
    assert (back[:, :1][dry.bool().expand_as(back[:, :1])] == 0).all()
    assert_same_field(back, torch.cat([field[:, :1].where(dry == 0, 0), field[:, 1:]], dim=1))


def test_with_an_affine_transform_it_is_the_residual_over_its_deviation(card, inputs, field):
    card = with_target(card, AFFINE)
    base = GEOMETRY.interpolate(torch.from_numpy(inputs.lr[:, [1, 0]]), BLOCK, "bicubic")
    expected = AFFINE.apply(field - base)
    assert torch.equal(on(card, inputs).normalized(field), expected)


def test_differences_are_taken_after_the_logarithm(card, inputs, field):
    card = with_target(card, CHAINS["log"])
    rain = on(card, inputs).base()[:, 0].clamp(min=0)
    found = on(card, inputs).learnt(field)[:, 0]
    torch.testing.assert_close(found, (field[:, 0] / 0.1).log1p() - (rain / 0.1).log1p())


@pytest.mark.parametrize("transform", CHAINS)
def test_a_predictand_without_a_twin_is_learnt_itself(card, inputs, field, transform):
    """A pair without base: what its own transform makes of it, and nothing is taken away."""
    card = replace(with_target(card, CHAINS[transform]), base=(1, None))
    alone = replace(card, target="field")
    ours, theirs = (on(c, inputs).normalized(field) for c in (card, alone))
    assert torch.equal(ours[:, 1], theirs[:, 1])
    assert not torch.equal(ours[:, 0], theirs[:, 0])
    with_model = replace(inputs, base=np.ones((5, 2, 8, 12), np.float32))
    found = on(card, with_model).learnt(field)[:, 1]
    assert not torch.equal(found, on(alone, with_model).learnt(field)[:, 1])


def test_the_card_of_a_pair_without_base_says_null(card):
    card = replace(with_target(card, AFFINE), base=(1, None))
    card = replace(card, normalization={**card.normalization, "predictors": AFFINE})
    assert '"base": [\n    1,\n    null\n  ]' in card.to_json()
    assert read_card(card.to_json()) == card


@pytest.mark.parametrize("changes", [{"base": (1, None)}, {}])
def test_field_by_field_goes_with_nothing_else(card, changes):
    each = Affine.instance(2)
    target = each if changes else Chain((Log(scale=(0.1, 0.1)), each))
    card = replace(with_target(card, target), **changes)
    card = replace(card, normalization={**card.normalization, "predictors": each})
    with pytest.raises(CheckpointError, match="by field"):
        read_card(card.to_json())


def test_downscale_keeps_the_bounds_of_a_chain(small_model, italy_lr, tmp_path):
    """A model as a card of the future may have it, through a file and through every block."""
    warm = float(italy_lr.t2m.min()) - 0.5
    chain = Chain((Affine([warm], [1.0]), Log(scale=0.5, dry=1.0), Affine([0.0], [0.3])))
    card = with_target(small_model.card, chain)
    model = Downscaler(card, small_model.network, covariate_arrays=small_model.covariate_arrays)
    model.save(tmp_path / "log")
    assert xdeepr.load(tmp_path / "log").card == card
    out = italy_lr.isel(time=slice(0, 2)).deepr.downscale(str(tmp_path / "log"), members=2, steps=2)
    above = out.t2m.values - np.float32(warm)
    ulp = np.spacing(np.float32(300))
    assert ((above < ulp) | (above > 1 - ulp)).all()
    assert (above >= -ulp).all()
    assert 0 < (above < ulp).mean() < 1
