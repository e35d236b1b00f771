"""The table of blocks against what diffusers does."""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from diffusers.models.unets import unet_2d_blocks

from tests.networks.helpers import TIMES, numbers, roughen, untouched
from xdeepr.errors import OptionError
from xdeepr.networks import NETWORKS, build
from xdeepr.networks.block_types import BLOCKS, BOTH, Block, arrange, runnable
from xdeepr.networks.conditional import UNet2DCondition
from xdeepr.networks.padding import padded_call
from xdeepr.networks.unet import UNet2D

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
OURS = {"unet2d": UNet2D, "unet2d-condition": UNet2DCondition}
THEIRS = {"unet2d": UNet2DModel, "unet2d-condition": UNet2DConditionModel}
RUNS = [(network, block) for network in BOTH for block in BLOCKS if network in block.networks]
FAILS = [(network, block) for network in BOTH for block in BLOCKS if network not in block.networks]
WIDTHS = (32, 64, 64)
"""All blocks of diffusers can be built with these: multiples of 32, the last two equal."""


def ident(value: Any) -> str:
    return value.down if isinstance(value, Block) else value


def bare(network: str, down: list[str], up: list[str], widths: tuple[int, ...] = WIDTHS) -> bool:
    """Whether diffusers itself runs such a network, forward and backward, in any of our settings.

    It gets 3 channels, which is all that its skip blocks take, and 3 fields: with 2 the encoder
    blocks pass for a pair of results.
    """
    tokens = {"cross_attention_dim": 8} if network == "unet2d-condition" else {}
    fields, times = numbers(3, 3, 8, 8), torch.ones(3)
    # only KCrossAttn blocks look at the length of the time vector
    particular = any("KCross" in name for name in (*down, *up))
    for time_dim in (None, widths[-1]) if particular else (None,):
        try:
            unet = THEIRS[network](
                in_channels=3, out_channels=3, block_out_channels=widths, layers_per_block=1,
                down_block_types=down, up_block_types=up, norm_num_groups=8,
                attention_head_dim=16, time_embedding_dim=time_dim, **tokens,
            )  # fmt: skip
            more = [numbers(3, 5, 8)] if tokens else []
            out = unet(fields, times, *more, return_dict=False)[0]
            out.square().sum().backward()
        except (ValueError, TypeError, AttributeError, RuntimeError):
            continue
        return out.shape == fields.shape
    return False


def accepted(network: str, down: list[str], up: list[str]) -> bool:
    """Whether we take it."""
    try:
        arrange(network, WIDTHS, down, up, (), 1, None)
    except OptionError:
        return False
    return True


def ours(network: str, **options: Any) -> UNet2D | UNet2DCondition:
    """One of our networks with 5 channels in, 2 out and all conditions."""
    torch.manual_seed(0)
    return OURS[network](
        5, 2, time_labels=TIMES, lr_channels=3, **{"layers_per_block": 1, "dropout": 0.0, **options}
    )


def conditions(batch: int = 2) -> tuple[torch.Tensor, ...]:
    return (
        torch.linspace(-1, 1, batch),
        torch.tensor([[6.5, 200.0]]).expand(batch, -1),
        numbers(batch, 3, 4, 5),
    )


def test_the_table_names_every_block_of_diffusers() -> None:
    names = {name for name in vars(unet_2d_blocks) if name.endswith("Block2D")}
    halves = {name for name in names if re.search(r"Down|Up", name)}
    assert halves == {name for block in BLOCKS for name in (block.down, block.up)}
    assert len(BLOCKS) == 11


@pytest.mark.parametrize(("network", "block"), RUNS, ids=ident)
def test_what_runs_runs_on_any_channels(network: str, block: Block) -> None:
    model = ours(network, block_out_channels=WIDTHS, down_block_types=[block.down] * 3)
    fields, told = numbers(2, 5, 9, 14), conditions()
    fresh = padded_call(model, fields, *told)
    assert fresh.shape == (2, 2, 9, 14)
    assert bool((fresh == 0).all())
    out = padded_call(roughen(model), fields, *told)
    assert bool(torch.isfinite(out).all())
    assert out.std() > 0
    assert untouched(model, out) == []


@pytest.mark.parametrize(("network", "block"), RUNS, ids=ident)
def test_the_smallest_field_and_any_levels(network: str, block: Block) -> None:
    """`multiple` is right: a field of that size is enough, and none smaller is asked for."""
    for levels in (1, 2, 4):
        widths = (
            [32, 64, 96, 96][-levels:] if "KCross" in block.down else [32, 64, 96, 128][:levels]
        )
        down = [block.down] * levels
        if "KCross" in block.down and levels == 2:
            down[-1] = "KDownBlock2D"
        model = roughen(ours(network, block_out_channels=widths, down_block_types=down))
        size = model.multiple
        assert size <= 2**levels
        out = model(numbers(2, 5, size, 3 * size), *conditions())
        assert out.shape == (2, 2, size, 3 * size)


@pytest.mark.parametrize(("network", "block"), FAILS, ids=ident)
def test_what_does_not_run_is_refused_with_alternatives(network: str, block: Block) -> None:
    for half, name in (("down", block.down), ("up", block.up)):
        with pytest.raises(OptionError, match=f"{half}_block_types names '{name}'") as caught:
            ours(network, block_out_channels=WIDTHS, **{f"{half}_block_types": [name] * 3})
        assert all(possible in str(caught.value) for possible in runnable(network, half))
    assert not bare(network, [block.down] * 3, [block.up] * 3)
    assert not bare(network, [block.down] * 2, [block.up] * 2, WIDTHS[:2])
    assert not bare(network, [block.down], [block.up], WIDTHS[:1])


@pytest.mark.parametrize("network", BOTH)
def test_every_pair_of_down_and_up_is_judged_as_diffusers_does(network: str) -> None:
    wrong = [
        (down.down, up.up)
        for down in BLOCKS
        for up in BLOCKS
        if accepted(network, [down.down] * 3, [up.up] * 3)
        != bare(network, [down.down] * 3, [up.up] * 3)
    ]
    assert wrong == []


@pytest.mark.parametrize("network", BOTH)
def test_mixed_levels_are_judged_as_diffusers_does(network: str) -> None:
    """Levels drawn at random, most of them so that they have a chance."""
    draw = random.Random(3)
    judged: dict[bool, int] = {True: 0, False: 0}
    families = [["plain"], ["plain", "skip"], ["skip"], ["k"], ["k"], ["k", "plain"]]
    for _ in range(50):
        family = draw.choice(families)
        pool = [b for b in BLOCKS if b.family in family and network in b.networks]
        if not pool:
            continue
        down = [draw.choice(pool).down for _ in WIDTHS]
        up = [draw.choice(pool).up for _ in WIDTHS]
        ok = accepted(network, down, up)
        judged[ok] += 1
        assert ok == bare(network, down, up), (down, up)
        if ok:
            model = roughen(
                ours(network, block_out_channels=WIDTHS, down_block_types=down, up_block_types=up)
            )
            size = 2 * model.multiple
            out = model(numbers(2, 5, size, size), *conditions())
            assert untouched(model, out) == [], (down, up)
    assert min(judged.values()) >= 5, f"the draw judges next to nothing: {judged}"


@pytest.mark.parametrize("network", BOTH)
def test_k_blocks_take_any_width(network: str) -> None:
    model = ours(
        network,
        block_out_channels=(24, 40),
        down_block_types=["KCrossAttnDownBlock2D", "KDownBlock2D"],
    )
    assert roughen(model)(numbers(2, 5, 8, 12), *conditions()).shape == (2, 2, 8, 12)


def test_skip_blocks_see_the_whole_input() -> None:
    """No bottleneck of 3 channels: the input reaches the coarser levels with all its channels."""
    model = ours("unet2d", block_out_channels=(8, 16), down_block_types=["SkipDownBlock2D"] * 2)
    assert model.unet.down_blocks[0].skip_conv.in_channels == 5
    assert model.unet.up_blocks[0].skip_conv.out_channels == 2


def test_with_three_channels_skip_blocks_are_those_of_diffusers() -> None:
    down, up = ["SkipDownBlock2D", "DownBlock2D"], ["AttnUpBlock2D", "SkipUpBlock2D"]
    options: dict[str, Any] = {
        "block_out_channels": (32, 64), "layers_per_block": 1, "down_block_types": down,
        "up_block_types": up, "norm_num_groups": 8, "attention_head_dim": 16,
    }  # fmt: skip
    model = roughen(UNet2D(3, 3, dropout=0.0, label_scale=1.0, **options))
    bare_model = UNet2DModel(in_channels=3, out_channels=3, **options)
    bare_model.load_state_dict(model.unet.state_dict())
    fields, label = numbers(2, 3, 8, 8), torch.tensor([3.0, 5.0])
    expected = bare_model(fields, label, return_dict=False)[0]
    torch.testing.assert_close(model(fields, label), expected)


K_CROSS = ["KCrossAttnDownBlock2D"] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"down_block_types": ["DownBlock2D"]}, "each of the 3 levels"),
        ({"up_block_types": "UpBlock2D"}, "give a list"),
        ({"down_block_types": ["DownBlok2D"] * 3}, "no down block.*DownBlock2D"),
        ({"down_block_types": ["UpBlock2D"] * 3}, "no down block"),
        ({"down_block_types": ["KDownBlock2D", "DownBlock2D", "DownBlock2D"]}, "K.* does not fit"),
        (
            {"down_block_types": ["DownBlock2D", "SkipDownBlock2D", "DownBlock2D"]},
            "'DownBlock2D' comes between",
        ),
        (
            {"up_block_types": ["UpBlock2D", "SkipUpBlock2D", "UpBlock2D"]},
            "up_block_types.*'UpBlock2D' comes between",
        ),
        ({"down_block_types": K_CROSS, "block_out_channels": (32, 64, 96)}, "KDownBlock2D"),
        ({"down_block_types": K_CROSS, "time_embedding_dim": 128}, "no time_embedding_dim"),
        ({"down_block_types": ["DownBlock2D"] * 3, "attention_levels": [1]}, "leave one of them"),
        ({"attention_levels": [3]}, "there is no level 3"),
        ({"block_out_channels": ()}, "give a width"),
        ({"block_out_channels": (8, 12, 16)}, "multiples of norm_num_groups"),
        ({"block_out_channels": (16, 24, 32), "down_block_types": ["AttnSkipDownBlock2D"] * 3},
         "multiples of 32"),
    ],
)  # fmt: skip
def test_errors_name_cause_and_cure(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        UNet2D(3, 1, **{"block_out_channels": WIDTHS, **options})


def test_the_cures_that_errors_propose_work() -> None:
    UNet2D(3, 1, block_out_channels=[32, 64, 64], down_block_types=K_CROSS)
    low = [*K_CROSS[:2], "KDownBlock2D"]
    UNet2D(3, 1, block_out_channels=[32, 64, 96], down_block_types=low)


def test_one_half_mirrors_the_other() -> None:
    down = ["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"]
    up = ["ResnetUpsampleBlock2D", "AttnUpBlock2D", "UpBlock2D"]
    assert arrange("unet2d", WIDTHS, down, None, (), 1, None).up == tuple(up)
    assert arrange("unet2d", WIDTHS, None, up, (), 1, None).down == tuple(down)


def markdown_table() -> str:
    """The table of docs/networks.md."""
    where = {"plain": "any", "skip": "the finest, without a gap", "k": "all", "encoder": "–"}
    attention = {"none": "–", "self": "pixels", "cross": "pixels and tokens"}
    lines = [
        "| down block | up block | `unet2d` | `unet2d-condition` | levels | attention |",
        "|---|---|---|---|---|---|",
    ]
    for block in BLOCKS:
        runs = ["yes" if network in block.networks else "no" for network in BOTH]
        cells = [f"`{block.down}`", f"`{block.up}`", *runs]
        cells += [where[block.family], attention[block.attention]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_documented_table_is_the_data() -> None:
    assert markdown_table() in PAGE.read_text(), f"paste this:\n{markdown_table()}"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The registry, left as it was found."""
    monkeypatch.setattr("xdeepr.networks.registry.NETWORKS", known := dict(NETWORKS))
    monkeypatch.setattr("xdeepr.networks.NETWORKS", known)
    return known


def test_the_documented_network_of_ones_own_runs(
    registry: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's file and script are written and run as they stand there."""
    pattern = r"```\{code-block\} python\n:caption: (.+?)\n\n(.*?)```"
    blocks = dict(re.findall(pattern, PAGE.read_text(), flags=re.DOTALL))
    assert list(blocks) == ["my_networks.py", "in your script"]
    (tmp_path / "my_networks.py").write_text(blocks["my_networks.py"])
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(blocks["in your script"], str(PAGE), "exec"), names)
    monkeypatch.delitem(sys.modules, "my_networks")
    assert registry["stack"] == "my_networks:Stack"
    fields = numbers(2, 5, 7, 10)
    fresh = padded_call(names["network"], fields, torch.zeros(2))
    assert fresh.shape == (2, 1, 7, 10)
    assert bool((fresh == 0).all())
    config = {"in_channels": 5, "out_channels": 1, "depth": 2, "time_labels": TIMES}
    network = roughen(build("stack", json.loads(json.dumps(config))))
    level, labels, _ = conditions()
    assert untouched(network, padded_call(network, fields, level, labels)) == []


def test_the_documented_choice_of_networks_is_what_there_is(registry: dict[str, str]) -> None:
    """Each row of the first table names a class and the keywords all of them take."""
    rows = re.findall(r"^\| `([\w-]+)` \| \{class\}`([\w.]+)\.(\w+)`", PAGE.read_text(), flags=re.M)
    assert len(rows) == 3
    for name, module, cls in rows:
        registry[name] = f"{module}:{cls}"
        network = build(
            name,
            {
                "in_channels": 3, "out_channels": 1, "block_out_channels": [8, 16],
                "layers_per_block": 1, "dropout": 0.0, "time_embedding_type": "fourier",
                "time_labels": {},
            },
        )  # fmt: skip
        assert network(numbers(1, 3, 8, 8), torch.zeros(1)).shape == (1, 1, 8, 8)
        assert network.grid == "hr"
        assert network.uses_lr == (name == "unet2d-condition")
