"""What we rely on inside transformers' Swin2SR; a new version of it may break this file first."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import nn

from tests.networks.helpers import numbers, roughen
from xdeepr.errors import OptionError
from xdeepr.networks import transformers_swin
from xdeepr.networks.swin2sr import UPSAMPLERS, SwinOptions
from xdeepr.networks.transformers_swin import DropPath, build_swin, renamed

OPTIONS: dict[str, Any] = {
    **asdict(SwinOptions(embed_dim=8, num_heads=(2, 2), window_size=4, drop_path_rate=0.4)),
    "depths": [1, 2],
}


def swin(channels: int = 1, upscale: int = 4, **options: Any) -> Any:
    torch.manual_seed(0)
    return build_swin(channels, channels, upscale, {**OPTIONS, **options})


@pytest.mark.parametrize("upsampler", UPSAMPLERS)
def test_the_last_layer_is_all_that_gives_the_output(upsampler: str) -> None:
    network = swin(3, upsampler=upsampler).eval()
    transformers_swin.forget_mean_colour(network)
    fields = numbers(1, 3, 8, 8)
    assert bool((network(fields).reconstruction == 0).all())
    nn.init.ones_(transformers_swin.last_layer(network).weight)
    assert network(fields).reconstruction.std() > 0


def test_every_layer_is_dropped_at_a_rate_of_its_own() -> None:
    network = roughen(swin())
    drops = [module for module in network.modules() if isinstance(module, DropPath)]
    assert [drop.rate for drop in drops] == pytest.approx([0.4 / 3, 0.8 / 3, 0.4])
    fields = numbers(1, 1, 8, 8)
    kept = network.eval()(fields).reconstruction
    network.train()
    assert any(not torch.allclose(network(fields).reconstruction, kept) for _ in range(10))
    for drop in drops:  # and by nothing else
        drop.rate = 0.0
    torch.testing.assert_close(network(fields).reconstruction, kept)


def test_three_channels_lose_the_mean_colour_of_photographs() -> None:
    network = swin(3)
    assert float(network.swin2sr.mean.abs().sum()) > 1
    transformers_swin.forget_mean_colour(network)
    assert float(network.swin2sr.mean.abs().sum()) == 0


def test_window_and_enlargement_stand_in_the_configuration() -> None:
    network = swin(upscale=8)
    assert (network.config.window_size, network.config.upscale) == (4, 8)
    assert network.eval()(numbers(1, 1, 8, 12)).reconstruction.shape == (1, 1, 64, 96)


def test_names_of_tensors_are_old_or_new_and_go_both_ways() -> None:
    network = swin()
    newer = transformers_swin.has_newer_names(network)
    names = [name for name, _ in network.named_parameters()]
    here, there = (1, 0) if newer else (0, 1)
    others = [renamed(name, here, there) for name in names]
    assert len(set(others)) == len(names)
    assert [renamed(name, there, here) for name in others] == names
    # layers and their parts, not the convolutions around them
    assert sum(a != b for a, b in zip(names, others, strict=True)) == 3 * 15


@pytest.mark.parametrize(("option", "value"), [("hidden_act", "wave"), ("mlp_ratio", "wide")])
def test_what_transformers_refuses_is_an_error_of_ours(option: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"cannot build Swin2SR.*{value}"):
        swin(**{option: value})
