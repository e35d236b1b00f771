"""Cards are plain data that survive a round trip."""

from __future__ import annotations

import dataclasses
import json

import pytest

from xdeepr.card import Card, Diffusion, Quantity
from xdeepr.errors import CheckpointError
from xdeepr.normalization import Normalization


@pytest.fixture
def card() -> Card:
    t2m = Quantity("t2m", "K", {"standard_name": "air_temperature"})
    return Card(
        name="t2m-x4",
        predictors=(t2m,),
        predictands=(t2m,),
        covariates=(Quantity("z", "m2 s-2"),),
        base=(0,),
        time_features=("hour",),
        factor=4,
        margin=(0, 1, 2, 3),
        grid_kind="latlon",
        resolution=(1.0, 1.0),
        tile=(40, 48),
        network={"name": "unet2d", "config": {"in_channels": 5, "out_channels": 1}},
        diffusion=Diffusion(),
        normalization={
            key: Normalization((0.1,), (2.5,)) for key in ("predictors", "residual", "covariates")
        },
        training={"period": ["2022-05-01", "2022-06-06"]},
        versions={"xdeepr": "0.1.0"},
    )


def test_round_trip(card):
    again = Card.from_json(card.to_json())
    assert again == card
    assert again.digest() == card.digest()


def test_digest_depends_on_card_and_weights(card):
    other = dataclasses.replace(card, factor=2)
    assert len({card.digest(), other.digest(), card.digest(b"weights")}) == 3


def changed(card: Card, **changes: object) -> str:
    return json.dumps({**json.loads(card.to_json()), **changes})


def test_unknown_version_is_refused(card):
    with pytest.raises(CheckpointError, match=r"version 99.*newer xdeepr"):
        Card.from_json(changed(card, version=99))


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2]", "{}", "not json", '{"version": 1}', '{"version": 1, "predictors": 3}'],
)
def test_damage_is_refused(text):
    with pytest.raises(CheckpointError):
        Card.from_json(text, source="card.json")


def test_unknown_and_missing_keys_are_refused(card):
    with pytest.raises(CheckpointError, match="learning_rate"):
        Card.from_json(changed(card, learning_rate=1.0))
    data = json.loads(card.to_json())
    del data["factor"]
    with pytest.raises(CheckpointError, match="factor"):
        Card.from_json(json.dumps(data))
