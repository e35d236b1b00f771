"""DeepR's tailored U-Net."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from tests.networks.helpers import TIMES, numbers, roughen, untouched
from xdeepr.errors import OptionError
from xdeepr.networks.padding import padded_call
from xdeepr.networks.tailored import SelfAttention, TailoredUNet

TINY: dict[str, Any] = {
    "block_out_channels": [8, 16, 16],
    "is_attention": [False, True, False],
    "layers_per_block": 1,
    "attention_head_dim": 8,
}
LABELS = torch.tensor([[6.5, 200.0], [18.0, 20.0]])
LEVELS = torch.tensor([-0.5, 0.5])


def tiny(**options: Any) -> TailoredUNet:
    torch.manual_seed(0)
    return TailoredUNet(3, 2, **{**TINY, **options})


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
        {"time_embedding_type": "fourier"},
        {"layers_per_block": 2},
        {"block_out_channels": [8], "is_attention": [True]},
        {"block_out_channels": [16, 8, 24, 8], "is_attention": None},
        {"block_out_channels": [3, 5, 7], "attention_head_dim": 4},
        {"sample_size": [20, 32], "norm_num_groups": 4, "lr_channels": 2},
    ],
    ids=str,
)
def test_options_run_and_all_weights_are_trained(options: dict[str, Any]) -> None:
    network = roughen(tiny(time_labels=TIMES, **options))
    size = network.multiple
    out = network(numbers(2, 3, size, 3 * size), LEVELS, LABELS)
    assert out.shape == (2, 2, size, 3 * size)
    assert untouched(network, out) == []


def widths(network: TailoredUNet) -> list[int]:
    return [level[0].residual.time[1].out_features for level in network.down]


def attends(network: TailoredUNet) -> list[bool]:
    return [isinstance(level[0].attention, SelfAttention) for level in network.down]


def test_defaults_are_deeprs() -> None:
    network = TailoredUNet(2, 1)
    assert widths(network) == [16, 32, 64, 256]
    assert attends(network) == [False, False, True, True]
    assert [len(level) for level in network.down] == [2, 2, 2, 2]
    assert network.multiple == 8


@pytest.mark.parametrize("first", [1, 2])
def test_old_names_say_the_same_as_new_ones(first: int) -> None:
    """Widths are multiplied up from level to level; the first convolution may differ from them."""
    old = TailoredUNet(
        image_channels=1, conditioned_on_input=2, n_channels=8, channel_multipliers=[first, 2, 2],
        is_attention=[False, False, True], n_blocks=1,
    )  # fmt: skip
    assert widths(old) == [8 * first, 16 * first, 32 * first]
    assert old.stem.out_channels == 8
    assert (old.stem.in_channels, old.last[-1].out_channels) == (3, 1)
    fields = numbers(2, 3, 8, 8)
    assert bool((old(fields, LEVELS) == 0).all())
    assert untouched(roughen(old), old(fields, LEVELS)) == []
    if first == 1:
        new = TailoredUNet(
            3, 1, block_out_channels=[8, 16, 32], is_attention=[False, False, True],
            layers_per_block=1,
        )  # fmt: skip
        new.load_state_dict(old.state_dict())
        old.eval()
        new.eval()
        torch.testing.assert_close(new(fields, LEVELS), old(fields, LEVELS), rtol=0, atol=0)


def test_deeprs_example_runs() -> None:
    """The configuration in DeepR's README, with narrower levels."""
    network = TailoredUNet(
        block_out_channels=[8, 16, 32, 64], is_attention=[False, False, True, True],
        layers_per_block=2, time_embedding_type="positional", in_channels=2, out_channels=1,
        sample_size=[20, 32],
    )  # fmt: skip
    assert padded_call(network, numbers(1, 2, 20, 32), torch.zeros(1)).shape == (1, 1, 20, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_out_channels": [8], "n_channels": 8}, "block_out_channels=.*n_channels"),
        ({"block_out_channels": [8], "channel_multipliers": [1]}, "Keep block_out_channels"),
        ({"layers_per_block": 2, "n_blocks": 2}, "Keep layers_per_block"),
        ({"image_channels": 3}, "out_channels=2 and image_channels=3"),
        ({"conditioned_on_input": 2}, "conditioned_on_input=2.*in_channels=3.*leave it out"),
        ({"conditioned_on_input": False}, "conditioned_on_input=False"),
        ({"is_attention": [True]}, "1 entries for 4 levels"),
        ({"is_attention": [True, False], "channel_multipliers": [1]}, "2 entries for 1 levels"),
        ({"block_out_channels": []}, "positive width"),
        ({"n_channels": 0}, "positive width"),
        ({"time_embedding_type": "learned"}, "positional, fourier"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TailoredUNet(3, 2, **options)


def test_in_channels_must_be_known() -> None:
    with pytest.raises(OptionError, match="in_channels is missing"):
        TailoredUNet(out_channels=1)


@pytest.mark.parametrize("conditioned", [1, 3, True])
def test_old_names_that_agree_do_no_harm(conditioned: int | bool) -> None:
    """`fit` gives both numbers of channels itself; a regression has no noisy target."""
    network = TailoredUNet(3, 2, image_channels=2, conditioned_on_input=conditioned, n_channels=4)
    assert (network.stem.in_channels, network.last[-1].out_channels) == (3, 2)


def test_attention_is_where_it_is_asked_for() -> None:
    assert attends(tiny()) == [False, True, False]
    assert attends(tiny(is_attention=None)) == [False, False, True]


def test_attention_sees_all_pixels_and_convolution_does_not() -> None:
    fields = numbers(1, 16, 6, 6).requires_grad_()
    attention = roughen(SelfAttention(16, 8, 4))
    attention.norm = torch.nn.Identity()  # which sees all pixels too
    attention(fields)[0, :, 0, 0].sum().backward()
    assert bool((fields.grad[0].abs().sum(0) > 0).all())


def test_attention_is_the_textbooks() -> None:
    attention = roughen(SelfAttention(16, 8, 4))
    fields = numbers(2, 16, 3, 4)
    asked = attention.ask(attention.norm(fields)).reshape(2, 3, 2, 8, 12)
    weights = torch.einsum("nhci,nhcj->nhij", asked[:, 0], asked[:, 1]) / 8**0.5
    found = torch.einsum("nhij,nhcj->nhci", weights.softmax(-1), asked[:, 2])
    expected = fields + attention.answer(found.reshape(2, 16, 3, 4))
    torch.testing.assert_close(attention(fields), expected)


@pytest.mark.parametrize("kind", ["positional", "fourier"])
def test_noise_level_and_labels_matter(kind: str) -> None:
    network = roughen(tiny(time_embedding_type=kind, time_labels=TIMES)).eval()
    fields = numbers(2, 3, 8, 8)
    out = network(fields, LEVELS, LABELS)
    moved = [LABELS + torch.tensor([3.0, 0.0]), LABELS + torch.tensor([0.0, 30.0])]
    for labels in moved:
        assert not torch.allclose(out, network(fields, LEVELS, labels))
    assert not torch.allclose(out, network(fields, LEVELS + 0.1, LABELS))
    plain = tiny(time_embedding_type=kind, time_labels=TIMES, label_scale=1.0).eval()
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(plain(fields, LEVELS * 250, LABELS), out)
    with pytest.raises(OptionError, match="time_labels"):
        network(fields, LEVELS)


def test_dropout_is_off_when_it_is_not_trained() -> None:
    network, fields = roughen(tiny(dropout=0.5)), numbers(2, 3, 8, 8)
    assert not torch.allclose(network(fields, LEVELS), network(fields, LEVELS))
    network.eval()
    torch.testing.assert_close(network(fields, LEVELS), network(fields, LEVELS))


def test_a_configuration_survives_json() -> None:
    config = {
        "in_channels": 3, "out_channels": 2, **TINY, "time_labels": TIMES,
        "time_embedding_type": "fourier",
    }  # fmt: skip
    network = roughen(TailoredUNet(**config)).eval()
    again = TailoredUNet(**json.loads(json.dumps(config))).eval()
    again.load_state_dict(network.state_dict())
    fields = numbers(2, 3, 8, 8)
    torch.testing.assert_close(
        again(fields, LEVELS, LABELS), network(fields, LEVELS, LABELS), rtol=0, atol=0
    )
