"""Networks behind their common interface."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from xdeepr.errors import CheckpointError, GridError, OptionError
from xdeepr.networks import NETWORKS, build, network_class
from xdeepr.networks.calling import Conditions, evaluate, needs_lr, works_on_lr
from xdeepr.networks.padding import padded_call

SMALL = {"in_channels": 3, "out_channels": 2, "block_out_channels": [8, 16, 16]}


HR = {
    "unet2d": SMALL,
    "unet2d-condition": {**SMALL, "block_out_channels": [16, 32]},
    "unet": {**SMALL, "is_attention": [False, False, True]},
}
PUBLISHED_LR = {"published-conv-swin2sr", "published-conv-baseline"}
LR = {
    "swin2sr": {"embed_dim": 12, "depths": [2], "num_heads": [2]},
    "conv-swin2sr": {"embed_dim": 12, "depths": [2], "num_heads": [2]},
    "conv-baseline": {},
}


def test_every_network_is_of_a_known_kind():
    """Those that are missing here have tests of their own."""
    other = {"published-unet", "autoencoder-kl", "vq"}
    assert set(NETWORKS) == {*HR, *LR, *PUBLISHED_LR, *other}
    for name in NETWORKS:
        cls, on_lr = network_class(name), name in (*LR, *PUBLISHED_LR)
        assert issubclass(cls, torch.nn.Module)
        assert works_on_lr(cls) == on_lr
        assert needs_lr(cls) == (on_lr or name == "unet2d-condition")


@pytest.mark.parametrize("name", HR)
@pytest.mark.parametrize("size", [(16, 16), (13, 22), (1, 9), (3, 3)])
def test_any_size_comes_back(name, size):
    network = build(name, HR[name])
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    out = padded_call(network, x, torch.zeros(2))
    assert out.shape == (2, 2, *size)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("name", LR)
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (1, 3)])
def test_any_size_comes_back_from_the_lr_grid(name, size):
    """Tiles that begin inside an LR cell are cut out of whole ones."""
    config = {"in_channels": 3, "out_channels": 2, "factor": 4, "context": 2,
              "covariate_channels": 2, **LR[name]}  # fmt: skip
    network = build(name, config)
    height, width = 4 * size[0] - 3, 4 * size[1] - 2
    generator = torch.Generator().manual_seed(0)
    told = Conditions(
        torch.zeros(2, 5, height, width),
        lr=torch.randn(2, 3, size[0] + 4, size[1] + 4, generator=generator),
        covariates=torch.randn(2, 2, 4 * size[0], 4 * size[1], generator=generator),
        offsets=[(3, 1), (0, 2)],
    )
    out = evaluate(network, told)
    assert out.shape == (2, 2, height, width)
    assert torch.isfinite(out).all()
    alone = replace(told, offsets=[(3, 1), (3, 1)])
    torch.testing.assert_close(evaluate(network, alone)[0], out[0])


def test_a_network_of_one_size_is_padded_or_refuses():
    class Fixed(torch.nn.Module):
        grid, factor, context, lr_shape, multiple = "lr", 2, 1, (6, 7), 1

        def forward(self, lr, covariates=None):
            assert lr.shape[-2:] == (6, 7)
            inner = lr[..., 1:-1, 1:-1]
            return inner.repeat_interleave(2, -1).repeat_interleave(2, -2)

    lr = torch.arange(30.0).reshape(1, 1, 5, 6)
    told = Conditions(torch.zeros(1, 1, 6, 8), lr=lr, offsets=[(0, 0)])
    out = evaluate(Fixed(), told)
    torch.testing.assert_close(out[..., ::2, ::2], lr[..., 1:-1, 1:-1])
    with pytest.raises(GridError, match=r"6 LR cells along axis y, a tile has 9"):
        evaluate(Fixed(), replace(told, lr=torch.zeros(1, 1, 9, 6)))


def test_conditions_are_joined_in_order():
    parts = [
        Conditions(torch.full((n, 1, 2, 2), float(n)), torch.full((n, 1), float(n)),
                   offsets=[(n, n)] * n)
        for n in (1, 2)
    ]  # fmt: skip
    joined = Conditions.join(parts)
    assert joined.channels[:, 0, 0, 0].tolist() == [1, 2, 2]
    assert joined.labels[:, 0].tolist() == [1, 2, 2]
    assert joined.offsets == [(1, 1), (2, 2), (2, 2)]
    assert joined.lr is None
    assert Conditions.join(parts[:1]) is parts[0]


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
