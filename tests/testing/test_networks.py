"""The conformance check of networks: all of ours hold it, and each fault is named."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from xdeepr.networks import NETWORKS
from xdeepr.testing import check_network

CHANNELS = {"in_channels": 3, "out_channels": 2}
TIMES = {"hour": "class", "day_of_year": "timestep"}
TINY = {**CHANNELS, "block_out_channels": [8, 16], "layers_per_block": 1, "time_labels": TIMES}
LR = {**CHANNELS, "factor": 2, "context": 1, "covariate_channels": 2, "interpolation": "bicubic"}
SWIN = {"embed_dim": 8, "depths": [2], "num_heads": [2], "window_size": 4}
SPACE = {"channels": 2, "block_out_channels": [8, 8], "norm_num_groups": 4, "latent_channels": 2}

CONFIGS: dict[str, dict[str, Any]] = {
    "unet2d": TINY,
    "unet2d-condition": {**TINY, "lr_channels": 2, "cross_attention_dim": 8},
    "unet": TINY,
    "swin2sr": {**LR, **SWIN},
    "conv-swin2sr": {**LR, **SWIN},
    "conv-baseline": LR,
    "published-unet": {
        **CHANNELS,
        "time_labels": {"hour": "timestep"},
        "class_embed_type": "timestep",
        "block_out_channels": [8, 16],
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    },
    "published-conv-swin2sr": {**LR, **SWIN, "merge": "deepr"},
    "published-conv-baseline": {**LR, "factor": 5, "lr_shape": [10, 18]},
    "autoencoder-kl": SPACE,
    "vq": {**SPACE, "num_vq_embeddings": 16},
}
"""Small settings of every network of the registry, with all the conditions it can have."""


def test_every_network_is_checked() -> None:
    assert set(CONFIGS) == set(NETWORKS)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_network_holds_what_is_relied_on(name: str) -> None:
    check_network(name, CONFIGS[name])


class Sound(nn.Module):
    """The least that a network is."""

    multiple = 2

    def __init__(self, in_channels: int, out_channels: int, **_: Any) -> None:
        super().__init__()
        self.layer = nn.Conv2d(in_channels, out_channels, 1)
        self.noise = nn.Linear(1, out_channels)

    def forward(self, inputs: Any, noise_label: Any, labels: Any = None, lr: Any = None) -> Any:
        return self.layer(inputs) + self.noise(noise_label[:, None])[:, :, None, None]


class Smaller(Sound):
    def forward(self, *arguments: Any) -> Any:
        return super().forward(*arguments)[..., 1:]


class Doubled(Sound):
    def forward(self, *arguments: Any) -> Any:
        return super().forward(*arguments).double()


class Infinite(Sound):
    def forward(self, *arguments: Any) -> Any:
        return super().forward(*arguments) / 0


class Random(Sound):
    def forward(self, *arguments: Any) -> Any:
        out = super().forward(*arguments)
        return out + torch.randn_like(out)


class Crowded(Sound):
    def forward(self, *arguments: Any) -> Any:
        out = super().forward(*arguments)
        return out - out.mean()


class Forgetful(Sound):
    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.offset = torch.randn(1)

    def forward(self, *arguments: Any) -> Any:
        return super().forward(*arguments) + self.offset


class Blind(Sound):
    def forward(self, inputs: Any, noise_label: Any, *more: Any) -> Any:
        return super().forward(inputs, 0 * noise_label, *more)


class Idle(Sound):
    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.unused = nn.Linear(1, 1)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes of this file, registered."""
    for cls in (Sound, *Sound.__subclasses__()):
        monkeypatch.setitem(NETWORKS, cls.__name__, f"{__name__}:{cls.__name__}")


def test_a_sound_network_of_ones_own_passes(own: None) -> None:
    check_network("Sound", CHANNELS)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Smaller", "shape .*is due"),
        ("Doubled", r"torch.float64 for fields of torch.float32"),
        ("Infinite", "not all of the output is finite"),
        ("Random", "two calls, two results"),
        ("Crowded", "an entry depends on its batch"),
        ("Forgetful", "other numbers after saving and loading"),
        ("Blind", "noise_label does not matter"),
        ("Idle", "no gradient reaches unused.weight"),
    ],
)
def test_each_fault_is_named(own: None, name: str, fault: str) -> None:
    with pytest.raises(AssertionError, match=f"{name}: .*{fault}"):
        check_network(name, CHANNELS)


def test_a_condition_that_is_not_used_is_named(own: None) -> None:
    with pytest.raises(AssertionError, match="labels does not matter"):
        check_network("Sound", {**CHANNELS, "time_labels": TIMES})
