"""The U-Net that attends to LR cells and to the time."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from tests.networks.helpers import TIMES, numbers, roughen, untouched
from xdeepr.errors import OptionError
from xdeepr.networks.conditional import (
    ADDITIONS,
    ConditionOptions,
    UNet2DCondition,
    positions,
)
from xdeepr.networks.padding import padded_call

TINY: dict[str, Any] = {
    "block_out_channels": [8, 16, 16],
    "layers_per_block": 1,
    "cross_attention_dim": 16,
    "attention_head_dim": 8,
    "dropout": 0.0,
}
ALL: dict[str, Any] = {"time_labels": TIMES, "lr_channels": 3}
LABELS = torch.tensor([[6.5, 200.0], [18.0, 20.0]])
LEVELS = torch.tensor([-0.5, 0.5])


def tiny(**options: Any) -> UNet2DCondition:
    torch.manual_seed(0)
    return UNet2DCondition(3, 2, **{**TINY, **options})


def told() -> tuple[torch.Tensor, ...]:
    return LEVELS, LABELS, numbers(2, 3, 4, 5, seed=5)


@pytest.mark.parametrize("size", [(16, 16), (13, 22), (1, 9), (3, 3)])
def test_any_size_comes_back_and_a_fresh_network_predicts_zero(size: tuple[int, int]) -> None:
    network, fields = tiny(**ALL), numbers(2, 3, *size)
    fresh = padded_call(network, fields, *told())
    assert fresh.shape == (2, 2, *size)
    assert bool((fresh == 0).all())
    out = padded_call(roughen(network), fields, *told())
    assert bool(torch.isfinite(out).all())
    assert out.std() > 0


@pytest.mark.parametrize(
    "options",
    [
        {"attention_levels": [1, 2]},
        {"attention_levels": [], "mid_block_type": "UNetMidBlock2DSimpleCrossAttn"},
        {"only_cross_attention": True, "use_linear_projection": True},
        {"transformer_layers_per_block": 2},
        {"time_embedding_type": "fourier"},
        {"time_embedding_dim": 20},
        {"resnet_time_scale_shift": "scale_shift", "resnet_skip_time_act": True},
        {"downsample_padding": 0, "mid_block_scale_factor": 1.4, "norm_eps": 1e-6},
        {"down_block_types": ["ResnetDownsampleBlock2D"] * 3, "resnet_out_scale_factor": 1.4},
        {"freq_shift": 1, "flip_sin_to_cos": False, "sample_size": [20, 32]},
    ],
    ids=str,
)
def test_options_run_and_all_weights_are_trained(options: dict[str, Any]) -> None:
    network = roughen(tiny(**ALL, **options))
    out = network(numbers(2, 3, 8, 12), *told())
    assert bool(torch.isfinite(out).all())
    assert untouched(network, out) == []


@pytest.mark.parametrize("middle", [*ConditionOptions.middles, None])
def test_middles(middle: str | None) -> None:
    network = roughen(tiny(**ALL, mid_block_type=middle))
    assert untouched(network, network(numbers(2, 3, 8, 8), *told())) == []


@pytest.mark.parametrize("option", ["act_fn", "time_embedding_act_fn", "timestep_post_act"])
def test_activations(option: str) -> None:
    """Swish is SiLU; the others differ from it and from each other."""
    outputs = []
    for name in ("swish", "silu", "mish", "gelu"):
        network = roughen(tiny(**ALL, **{option: name})).eval()
        outputs.append(network(numbers(2, 3, 8, 8), *told()))
    torch.testing.assert_close(outputs[0], outputs[1])
    for i, j in [(1, 2), (1, 3), (2, 3)]:
        assert not torch.allclose(outputs[i], outputs[j])
    with pytest.raises(OptionError, match=f"{option}=.*silu"):
        tiny(**{option: "sillu"})


def test_every_condition_matters() -> None:
    network = roughen(tiny(**ALL), scale=0.2).eval()
    fields, (levels, labels, lr) = numbers(2, 3, 8, 8), told()
    out = network(fields, levels, labels, lr)
    hour, day = labels.clone(), labels.clone()
    hour[:, 0] += 3
    day[:, 1] += 30
    cell = lr.clone()
    cell[:, :, 2, 3] += 1
    for other in (
        network(fields, levels + 0.1, labels, lr),
        network(fields, levels, hour, lr),
        network(fields, levels, day, lr),
        network(fields, levels, labels, cell),
        # a token knows where its cell is
        network(fields, levels, labels, lr.flip(-1)),
    ):
        assert not torch.allclose(out, other, rtol=1e-4, atol=1e-5)


def test_labels_reach_attention_as_well_as_the_residual_blocks() -> None:
    network = tiny(**ALL)
    tokens = network.tokens(numbers(2, 3, 8, 8), LABELS, numbers(2, 3, 4, 5))
    assert tokens.shape == (2, 4 * 5 + 2, 16)
    assert network.time_labels is not None
    assert network.time_labels(LABELS).shape == (2, 4 * 8)


def test_lr_of_any_size() -> None:
    network = roughen(tiny(lr_channels=3))
    for size in ((1, 1), (2, 7), (9, 4)):
        out = network(numbers(2, 3, 8, 8), LEVELS, None, numbers(2, 3, *size))
        assert out.shape == (2, 2, 8, 8)


def test_without_conditions_there_is_one_learnt_token() -> None:
    network = roughen(tiny())
    assert network.tokens(numbers(2, 3, 8, 8), None, None).shape == (2, 1, 16)
    out = network(numbers(2, 3, 8, 8), LEVELS)
    out.square().sum().backward()
    assert bool((network.tokens.nothing.grad != 0).any())
    assert not any("nothing" in name for name, _ in tiny(**ALL).named_parameters())


@pytest.mark.parametrize("lr", [None, numbers(2, 4, 4, 5), numbers(2, 3, 4)])
def test_missing_predictors_are_named(lr: torch.Tensor | None) -> None:
    with pytest.raises(OptionError, match=r"lr_channels=3.*\(N, 3, y, x\)"):
        tiny(lr_channels=3)(numbers(2, 3, 8, 8), LEVELS, None, lr)


def test_missing_labels_are_named() -> None:
    with pytest.raises(OptionError, match="time_labels"):
        tiny(time_labels=TIMES)(numbers(2, 3, 8, 8), LEVELS)


def test_positions_are_the_same_on_both_grids() -> None:
    """The centre of an LR cell lies between its middle HR pixels, and so do their features."""
    coarse = positions(torch.zeros(2, 1, 4, 6))
    fine = positions(torch.zeros(2, 1, 4 * 5, 6 * 5))
    assert coarse.shape[0] == 2
    torch.testing.assert_close(fine[:, :, 2::5, 2::5], coarse)
    flat = coarse[0].flatten(1).T
    apart = torch.cdist(flat, flat) + 10 * torch.eye(len(flat))
    assert float(apart.min()) > 0.1, "no two cells look alike"


def test_heads_have_one_width_in_all_blocks() -> None:
    """diffusers takes `attention_head_dim` for their number in CrossAttn blocks."""
    from diffusers.models.attention_processor import Attention

    network = UNet2DCondition(
        3, 1, block_out_channels=(32, 64), attention_head_dim=16, layers_per_block=1,
        down_block_types=["SimpleCrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["AttnUpBlock2D", "SimpleCrossAttnUpBlock2D"],
    )  # fmt: skip
    modules = [m for m in network.modules() if isinstance(m, Attention)]
    assert {m.inner_dim // m.heads for m in modules} == {16}
    assert {m.inner_dim for m in modules} == {32, 64}
    torch.testing.assert_close({m.scale for m in modules}.pop(), 0.25)


def test_it_is_the_unet_of_diffusers() -> None:
    """With the heads as diffusers counts them, 2 of 8 channels, the results are the same."""
    options: dict[str, Any] = {
        "block_out_channels": (16, 16), "layers_per_block": 1, "cross_attention_dim": 16,
    }  # fmt: skip
    network = UNet2DCondition(
        3, 1, attention_levels=[1], attention_head_dim=8, dropout=0.0, label_scale=1.0, **options
    )
    theirs = UNet2DConditionModel(
        in_channels=3, out_channels=1, norm_num_groups=8, attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **options,
    )  # fmt: skip
    theirs.load_state_dict(roughen(network).unet.state_dict())
    fields, steps = numbers(2, 3, 8, 8), torch.tensor([3.0, 700.0])
    tokens = network.tokens(fields, None, None)
    expected = theirs(fields, steps, tokens, return_dict=False)[0]
    torch.testing.assert_close(network(fields, steps), expected)


@pytest.mark.parametrize("value", ["other", "text", "image_hint"])
def test_additions_are_refused(value: str) -> None:
    with pytest.raises(OptionError, match="addition_embed_type") as caught:
        tiny(addition_embed_type=value)
    assert all(name in str(caught.value) for name in ADDITIONS)
    assert ("is not one of diffusers'" in str(caught.value)) == (value == "other")


def test_the_additions_are_those_of_diffusers() -> None:
    with pytest.raises(ValueError, match="addition_embed_type") as caught:
        UNet2DConditionModel(addition_embed_type="other", block_out_channels=(32,) * 4)
    assert all(f"'{name}'" in str(caught.value) for name in ADDITIONS[1:])


def test_deeprs_example_runs_but_for_its_addition() -> None:
    """The configuration in DeepR's README, with narrower levels."""
    network = UNet2DCondition(
        2, 1, block_out_channels=[16, 32, 64], layers_per_block=2, time_embedding_type="positional",
        down_block_types=["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        mid_block_type="UNetMidBlock2DCrossAttn", sample_size=[20, 32], cross_attention_dim=32,
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        only_cross_attention=False,
    )  # fmt: skip
    assert network(numbers(1, 2, 20, 32), torch.zeros(1)).shape == (1, 1, 20, 32)


def test_dropout_is_off_when_it_is_not_trained() -> None:
    network, fields = roughen(tiny(**ALL, dropout=0.5)), numbers(2, 3, 8, 8)
    assert not torch.allclose(network(fields, *told()), network(fields, *told()))
    network.eval()
    torch.testing.assert_close(network(fields, *told()), network(fields, *told()))


def test_a_configuration_survives_json() -> None:
    config = {
        "in_channels": 3, "out_channels": 2, **TINY, **ALL, "attention_levels": [1],
        "timestep_post_act": "mish", "time_embedding_type": "fourier",
    }  # fmt: skip
    network = roughen(UNet2DCondition(**config))
    again = UNet2DCondition(**json.loads(json.dumps(config)))
    again.load_state_dict(network.state_dict())
    fields = numbers(2, 3, 8, 8)
    torch.testing.assert_close(again(fields, *told()), network(fields, *told()), rtol=0, atol=0)


def test_half_precision_under_autocast() -> None:
    network = roughen(tiny(**ALL)).eval()
    fields = numbers(2, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(fields, *told())
    exact = network(fields, *told())
    assert bool((rough.float() - exact).norm() < 0.05 * exact.norm())
