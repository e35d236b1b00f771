"""The U-Net of diffusers behind the common interface."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file

import xdeepr
from tests.networks.helpers import TIMES, numbers, roughen, untouched
from xdeepr.errors import OptionError
from xdeepr.networks.padding import padded_call
from xdeepr.networks.time_labels import ENCODINGS
from xdeepr.networks.unet import UNet2D

SHIPPED = Path(xdeepr.__file__).parent / "models" / "shipped" / "ddpm"
TINY: dict[str, Any] = {"block_out_channels": [8, 16, 16], "layers_per_block": 1}
LABELS = torch.tensor([[6.5, 200.0], [18.0, 20.0]])
LEVELS = torch.tensor([-0.5, 0.5])


def tiny(**options: Any) -> UNet2D:
    torch.manual_seed(0)
    return UNet2D(3, 2, **{**TINY, **options})


def test_the_shipped_checkpoint_loads_and_gives_what_it_did() -> None:
    """Version 1 called UNet2DModel in just this way."""
    config = json.loads((SHIPPED / "card.json").read_text())["card"]["network"]["config"]
    weights = load_file(SHIPPED / "network.safetensors")
    network = UNet2D(**config)
    network.load_state_dict(weights, strict=True)
    levels = len(config["block_out_channels"])
    then = UNet2DModel(
        in_channels=config["in_channels"],
        out_channels=config["out_channels"],
        block_out_channels=tuple(config["block_out_channels"]),
        layers_per_block=config["layers_per_block"],
        down_block_types=("DownBlock2D",) * levels,
        up_block_types=("UpBlock2D",) * levels,
        add_attention=False,
        attention_head_dim=32,
        dropout=config["dropout"],
        norm_num_groups=8,
    )
    then.load_state_dict({name.removeprefix("unet."): w for name, w in weights.items()})
    fields = numbers(2, config["in_channels"], 16, 24)
    expected = then(fields, LEVELS * 250, return_dict=False)[0]
    torch.testing.assert_close(network(fields, LEVELS), expected)
    assert expected.std() > 0


@pytest.mark.parametrize("size", [(16, 16), (13, 22), (1, 9), (3, 3)])
def test_any_size_comes_back_and_a_fresh_network_predicts_zero(size: tuple[int, int]) -> None:
    network, fields = tiny(time_labels=TIMES), numbers(2, 3, *size)
    fresh = padded_call(network, fields, LEVELS, LABELS)
    assert fresh.shape == (2, 2, *size)
    assert bool((fresh == 0).all())
    out = padded_call(roughen(network), fields, LEVELS, LABELS)
    assert bool(torch.isfinite(out).all())
    assert out.std() > 0


@pytest.mark.parametrize(
    "options",
    [
        {"attention_levels": [2], "attention_head_dim": 8},
        {"time_embedding_type": "fourier"},
        {"mid_block_type": None},
        {"time_embedding_dim": 20},
        {"resnet_time_scale_shift": "scale_shift"},
        {"attention_levels": [1], "downsample_type": "resnet", "upsample_type": "resnet"},
        {"downsample_padding": 0},
        {"act_fn": "mish"},
        {"act_fn": "gelu", "add_attention": True, "attn_norm_num_groups": 4},
        {"freq_shift": 1, "flip_sin_to_cos": False, "norm_eps": 1e-6},
        {"mid_block_scale_factor": 1.4, "sample_size": [20, 32], "lr_channels": 4},
    ],
    ids=str,
)
def test_options_run_and_all_weights_are_trained(options: dict[str, Any]) -> None:
    network = roughen(tiny(time_labels=TIMES, **options))
    out = network(numbers(2, 3, 8, 12), LEVELS, LABELS)
    assert bool(torch.isfinite(out).all())
    assert untouched(network, out) == []


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("act_fn", "sillu", "silu"),
        ("time_embedding_type", "learned", "positional, fourier"),
        ("resnet_time_scale_shift", "spatial", "default, scale_shift"),
        ("downsample_type", "fir", "conv, resnet"),
        ("upsample_type", "fir", "conv, resnet"),
        ("downsample_padding", 2, "from 0 to 1"),
        ("mid_block_type", "UNetMidBlock2DCrossAttn", "UNetMidBlock2D"),
        ("layers_per_block", 0, "at least 1"),
    ],
)
def test_unknown_options(option: str, value: Any, message: str) -> None:
    with pytest.raises(OptionError, match=f"{option}=.*{message}"):
        tiny(**{option: value})


@pytest.mark.parametrize("feature", [0, 1])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_label_matters(encoding: str, feature: int) -> None:
    network = roughen(tiny(time_labels={"hour": encoding, "day_of_year": encoding})).eval()
    fields, moved = numbers(2, 3, 8, 8), LABELS.clone()
    moved[:, feature] += 3
    out = network(fields, LEVELS, LABELS)
    assert not torch.allclose(out, network(fields, LEVELS, moved))
    torch.testing.assert_close(out, network(fields, LEVELS, LABELS))


def test_missing_labels_are_named() -> None:
    with pytest.raises(OptionError, match="time_labels"):
        tiny(time_labels=TIMES)(numbers(1, 3, 8, 8), LEVELS[:1])


def test_without_labels_there_is_nothing_new_in_the_checkpoint() -> None:
    names = set(tiny().state_dict())
    assert all(name.startswith("unet.") for name in names)
    assert names == set(tiny(time_labels={}).state_dict())


@pytest.mark.parametrize("kind", ["positional", "fourier"])
def test_the_noise_label_matters_and_is_scaled(kind: str) -> None:
    network = roughen(tiny(time_embedding_type=kind, dropout=0.0))
    fields = numbers(2, 3, 8, 8)
    out = network(fields, LEVELS)
    assert bool(torch.isfinite(out).all()), "negative and zero labels are no trouble"
    assert bool(torch.isfinite(network(fields, torch.zeros(2))).all())
    assert not torch.allclose(out, network(fields, LEVELS + 0.1))
    plain = tiny(time_embedding_type=kind, dropout=0.0, label_scale=1.0)
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(plain(fields, LEVELS * 250), out)


def test_nothing_between_the_halves() -> None:
    network = tiny(mid_block_type=None)
    assert not any("mid_block" in name for name, _ in network.named_parameters())
    assert any("mid_block" in name for name, _ in tiny().named_parameters())


def test_dropout_is_off_when_it_is_not_trained() -> None:
    network, fields = roughen(tiny(dropout=0.5)), numbers(2, 3, 8, 8)
    assert not torch.allclose(network(fields, LEVELS), network(fields, LEVELS))
    network.eval()
    torch.testing.assert_close(network(fields, LEVELS), network(fields, LEVELS))


def test_a_configuration_survives_json() -> None:
    config = {
        "in_channels": 3, "out_channels": 2, **TINY, "time_labels": TIMES, "dropout": 0.0,
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"],
        "time_embedding_type": "fourier", "sample_size": [20, 32],
    }  # fmt: skip
    network = roughen(UNet2D(**config))
    again = UNet2D(**json.loads(json.dumps(config)))
    again.load_state_dict(network.state_dict())
    fields = numbers(2, 3, 8, 8)
    torch.testing.assert_close(
        again(fields, LEVELS, LABELS), network(fields, LEVELS, LABELS), rtol=0, atol=0
    )


def test_heads_have_the_width_asked_for() -> None:
    """Where it divides the width of the level; otherwise the next wider that does."""
    network = UNet2D(3, 1, block_out_channels=(32, 48, 64), attention_levels=(0, 1, 2))
    blocks = network.unet.down_blocks
    assert [block.attentions[0].heads for block in blocks] == [1, 1, 2]
    assert [block.attentions[0].inner_dim for block in blocks] == [32, 48, 64]


def test_attention_is_that_of_diffusers() -> None:
    options: dict[str, Any] = {"block_out_channels": (16, 32), "layers_per_block": 1}
    network = UNet2D(3, 1, attention_levels=[1], attention_head_dim=8, dropout=0.0, **options)
    theirs = UNet2DModel(
        in_channels=3, out_channels=1, norm_num_groups=8, attention_head_dim=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"), **options,
    )  # fmt: skip
    theirs.load_state_dict(roughen(network).unet.state_dict())
    fields = numbers(2, 3, 8, 8)
    expected = theirs(fields, LEVELS * 250, return_dict=False)[0]
    torch.testing.assert_close(network(fields, LEVELS), expected)


def test_half_precision_under_autocast() -> None:
    network = roughen(tiny(time_labels=TIMES)).eval()
    fields = numbers(2, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(fields, LEVELS, LABELS)
    exact = network(fields, LEVELS, LABELS)
    assert bool((rough.float() - exact).norm() < 0.05 * exact.norm())


def test_diffusers_is_imported_only_where_it_is_built() -> None:
    """And DeepR's own U-Net needs it nowhere."""
    code = (
        "import sys, xdeepr.networks.unet, xdeepr.networks.conditional\n"
        "from xdeepr.networks.tailored import TailoredUNet\n"
        "TailoredUNet(2, 1, time_labels={'hour': 'timestep', 'day_of_year': 'positional'})\n"
        "print('diffusers' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "False", result.stderr
