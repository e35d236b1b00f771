"""Networks behind their common interface."""

from __future__ import annotations

import pytest
import torch

from xdeepr.errors import CheckpointError, OptionError
from xdeepr.networks import NETWORKS, build
from xdeepr.networks.padding import padded_call

SMALL = {"in_channels": 3, "out_channels": 2, "block_out_channels": [8, 16, 16]}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(16, 16), (13, 22), (1, 9), (3, 3)])
def test_any_size_comes_back(name, size):
    network = build(name, SMALL)
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    out = padded_call(network, x, torch.zeros(2))
    assert out.shape == (2, 2, *size)
    assert torch.isfinite(out).all()


def test_fresh_network_predicts_zero():
    out = build("unet2d", SMALL)(torch.randn(1, 3, 16, 16), torch.zeros(1))
    assert (out == 0).all()


def test_padding_is_reflection_and_is_removed():
    class Spy(torch.nn.Module):
        multiple = 8

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            self.seen = inputs
            return inputs

    spy, x = Spy(), torch.arange(30.0).reshape(1, 1, 5, 6)
    torch.testing.assert_close(padded_call(spy, x), x)
    assert spy.seen.shape == (1, 1, 8, 8)
    torch.testing.assert_close(spy.seen[0, 0, 5], spy.seen[0, 0, 3])


def test_noise_label_matters():
    network = build("unet2d", SMALL)
    torch.nn.init.ones_(network.unet.conv_out.weight)
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    network.eval()
    assert not torch.allclose(network(x, torch.tensor([0.1])), network(x, torch.tensor([0.2])))


def test_attention_where_asked():
    network = build("unet2d", {**SMALL, "attention_levels": [2], "attention_head_dim": 8})
    assert any("attentions" in name for name, _ in network.named_parameters())
    assert not any("attentions" in n for n, _ in build("unet2d", SMALL).named_parameters())


def test_errors():
    with pytest.raises(OptionError, match=r"unet3d.*unet2d"):
        build("unet3d", SMALL)
    with pytest.raises(CheckpointError, match="widths"):
        build("unet2d", {**SMALL, "widths": [1]})
