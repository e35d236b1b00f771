"""Cards are plain data that survive a round trip."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from xdeepr.errors import CheckpointError
from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card import Card, Diffusion
from xdeepr.models.card_json import read_card
from xdeepr.normalization import Affine


@pytest.fixture
def card() -> Card:
    t2m = Quantity("t2m", "K", {"standard_name": "air_temperature"})
    return Card(
        name="t2m-x4",
        predictors=(t2m,),
        predictands=(t2m,),
        covariates=(Quantity("z", "m2 s-2"),),
        base=(0,),
        time_features={"hour": "cyclical"},
        factor=4,
        margin=(0, 1, 2, 3),
        grid_kind="latlon",
        resolution=(1.0, 1.0),
        tile=(40, 48),
        network={"name": "unet2d", "config": {"in_channels": 5, "out_channels": 1}},
        diffusion=Diffusion(),
        normalization={
            key: Affine((0.1,), (2.5,)) for key in ("predictors", "target", "covariates")
        },
        training={"period": ["2022-05-01", "2022-06-06"]},
        versions={"xdeepr": "0.1.0"},
    )


def test_round_trip(card):
    again = read_card(card.to_json())
    assert again == card
    assert again.digest() == card.digest()


def test_large_normalizations_are_kept_beside_the_text(card):
    cells = Affine(np.arange(5000.0).reshape(1, 1, 50, 100), np.ones((1, 1, 50, 100)),
                          "pixel-wise")  # fmt: skip
    large = dataclasses.replace(card, normalization={**card.normalization, "target": cells})
    assert set(large.tensors()) == {"target/mean", "target/std"}
    assert len(large.to_json()) < 3000
    assert read_card(large.to_json(), tensors=large.tensors()) == large
    assert large.bound
    assert not card.bound
    with pytest.raises(CheckpointError, match="mean"):
        read_card(large.to_json())


def test_cards_of_version_1_are_read(card):
    """As the first checkpoints were written."""
    new = json.loads(card.to_json())
    added = ("kind", "varying", "target", "channels", "covariate_dropout", "context", "scale")
    old = {key: value for key, value in new.items() if key not in (*added, "shift")}
    old["version"] = 1
    old["time_features"] = ["hour"]
    old["normalization"] = {
        {"target": "residual"}.get(key, key): {"mean": value["mean"], "std": value["std"]}
        for key, value in new["normalization"].items()
    }
    for key in ("sampler_options", "prediction", "schedule"):
        del old["diffusion"][key]
    assert read_card(json.dumps(old)) == card


def test_digest_depends_on_card_and_weights(card):
    other = dataclasses.replace(card, factor=2)
    assert len({card.digest(), other.digest(), card.digest(b"weights")}) == 3


def changed(card: Card, **changes: object) -> str:
    return json.dumps({**json.loads(card.to_json()), **changes})


def test_unknown_version_is_refused(card):
    with pytest.raises(CheckpointError, match=r"version 99.*newer xdeepr"):
        read_card(changed(card, version=99))


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2]", "{}", "not json", '{"version": 1}', '{"version": 1, "predictors": 3}'],
)
def test_damage_is_refused(text):
    with pytest.raises(CheckpointError):
        read_card(text, source="card.json")


def test_unknown_and_missing_keys_are_refused(card):
    with pytest.raises(CheckpointError, match="learning_rate"):
        read_card(changed(card, learning_rate=1.0))
    data = json.loads(card.to_json())
    del data["factor"]
    with pytest.raises(CheckpointError, match="factor"):
        read_card(json.dumps(data))
