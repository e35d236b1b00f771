"""Which of diffusers' U-Net blocks run in which network, and what makes them run.

Data and checks, so that a wrong combination is refused by name before anything is built;
diffusers itself builds many of them and fails in the first forward pass, with an error about
tensors. `tests/networks/test_block_types.py` holds that the data is neither too hopeful nor too
strict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xdeepr.checks import nearest, whole_number
from xdeepr.errors import OptionError

Family = Literal["plain", "skip", "k", "encoder"]

BOTH = ("unet2d", "unet2d-condition")


@dataclass(frozen=True)
class Block:
    """A down block of diffusers and the up block that mirrors it.

    Families pass their fields on in different ways: "plain" ones may be mixed freely; "skip" ones
    carry a coarsened copy of the input along; "k" ones keep no field between their levels;
    "encoder" ones pass nothing to the other half. Pixels attend to nothing, to each other ("self"),
    or to the tokens of the conditions as well ("cross"). `networks` run it.
    """

    down: str
    up: str
    family: Family
    attention: Literal["none", "self", "cross"] = "none"
    networks: tuple[str, ...] = ()


BLOCKS: tuple[Block, ...] = (
    Block("DownBlock2D", "UpBlock2D", "plain", "none", BOTH),
    Block("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D", "plain", "none", BOTH),
    Block("AttnDownBlock2D", "AttnUpBlock2D", "plain", "self", BOTH),
    Block("CrossAttnDownBlock2D", "CrossAttnUpBlock2D", "plain", "cross", BOTH[1:]),
    Block("SimpleCrossAttnDownBlock2D", "SimpleCrossAttnUpBlock2D", "plain", "cross", BOTH[1:]),
    Block("SkipDownBlock2D", "SkipUpBlock2D", "skip", "none", BOTH[:1]),
    Block("AttnSkipDownBlock2D", "AttnSkipUpBlock2D", "skip", "self", BOTH[:1]),
    Block("DownEncoderBlock2D", "UpDecoderBlock2D", "encoder", "none"),
    Block("AttnDownEncoderBlock2D", "AttnUpDecoderBlock2D", "encoder", "self"),
    Block("KDownBlock2D", "KUpBlock2D", "k", "none", BOTH),
    Block("KCrossAttnDownBlock2D", "KCrossAttnUpBlock2D", "k", "cross", BOTH),
)
"""All down blocks of diffusers 0.42 with their up blocks."""

PARTNERS = {b.down: b.up for b in BLOCKS} | {b.up: b.down for b in BLOCKS}
"""Down block -> its up block, and back."""

_K_CROSS = BLOCKS[-1]
_BY_NAME = {name: block for block in BLOCKS for name in (block.down, block.up)}

_REASONS: dict[str, str] = {
    "plain": "it attends to tokens of the conditions, which only 'unet2d-condition' has",
    "skip": "it carries a coarsened copy of the input along, which only 'unet2d' does",
    "encoder": "it belongs to an autoencoder and passes nothing to the other half of a U-Net",
}
"""Family -> why a network does not run one of its blocks."""


def runnable(network: str, half: Literal["down", "up"] = "down") -> list[str]:
    """Return the names of the down (or up) blocks that a network runs."""
    return [getattr(block, half) for block in BLOCKS if network in block.networks]


@dataclass(frozen=True)
class Arrangement:
    """Levels of a U-Net that fit together, from the finest; the up blocks from the coarsest.

    `time_dim` is the length of the vector that stands for noise level and time.
    """

    widths: tuple[int, ...]
    down: tuple[str, ...]
    up: tuple[str, ...]
    time_dim: int

    @property
    def multiple(self) -> int:
        """The number that height and width have to be multiples of.

        Each level but the last halves the field. K blocks reflect its edges when they double it,
        for which the coarsest level needs two pixels.
        """
        halvings = len(self.down) - 1
        if halvings and _BY_NAME[self.up[0]].family == "k":
            halvings += 1
        return 2**halvings

    @property
    def attends(self) -> bool:
        """Whether a pixel attends to others in one of the blocks."""
        return any(_BY_NAME[name].attention != "none" for name in self.down + self.up)

    def settings(self) -> dict[str, Any]:
        """Return keywords for the U-Nets of diffusers."""
        chosen: dict[str, Any] = {
            "block_out_channels": self.widths,
            "down_block_types": self.down,
            "up_block_types": self.up,
            # of this width a head fits into any level; `unet.prepare` sets the one asked for
            "attention_head_dim": 1,
        }
        if self.time_dim != 4 * self.widths[0]:
            # diffusers 0.31 has no such keyword in UNet2DModel
            chosen["time_embedding_dim"] = self.time_dim
        return chosen


def arrange(
    network: str,
    widths: Sequence[int],
    down: Sequence[str] | None,
    up: Sequence[str] | None,
    attention_levels: Sequence[int] | None,
    layers: int,
    time_dim: int | None,
) -> Arrangement:
    """Choose the blocks of each level and see that they run, by themselves and together.

    Where `down` or `up` is missing it mirrors the other; where both are, `attention_levels` have
    attention, by default the coarsest. The other arguments are those of
    :class:`xdeepr.networks.unet.UNetOptions`.
    """
    widths = tuple(widths)
    if not widths or min(widths) < 1:
        raise OptionError(f"block_out_channels={list(widths)}: give a width for each level.")
    whole_number("layers_per_block", layers)
    levels = range(len(widths))
    if down is None and up is None:
        if attention_levels is None:
            attention_levels = levels[-1:]
        wrong = [level for level in attention_levels if level not in levels]
        if wrong:
            raise OptionError(
                f"attention_levels={list(attention_levels)}: there is no level {wrong[0]}; the"
                f" {len(widths)} levels of block_out_channels count from 0."
            )
        kind = "AttnDownBlock2D" if network == "unet2d" else "CrossAttnDownBlock2D"
        down = [kind if level in attention_levels else "DownBlock2D" for level in levels]
    elif attention_levels:
        raise OptionError(
            f"attention_levels={list(attention_levels)} and a list of block types say the same"
            " thing twice: leave one of them out."
        )
    if down is not None:
        _check_names(network, "down", down, len(widths))
    if up is not None:
        _check_names(network, "up", up, len(widths))
    mirrored = down is None
    if down is None:
        down = [PARTNERS[name] for name in reversed(up or ())]
    if up is None:
        up = [PARTNERS[name] for name in reversed(down)]
    _check_skips(down, up, mirrored)
    default = 4 * widths[0]
    for dim in (time_dim,) if time_dim else (default, 2 * default, widths[-1]):
        if _fits(widths, down, up, layers, dim):
            return Arrangement(widths, tuple(down), tuple(up), dim)
    raise OptionError(_misfit(widths, down, up, time_dim))


def _check_names(
    network: str, half: Literal["down", "up"], names: Sequence[str], levels: int
) -> None:
    """Refuse a list of the wrong length, and a block of another half, or that does not run."""
    if isinstance(names, str) or len(names) != levels:
        raise OptionError(
            f"{half}_block_types={names!r}: give a list with one block for each of the {levels}"
            " levels of block_out_channels."
        )
    possible = runnable(network, half)
    for name in names:
        block = _BY_NAME.get(name)
        if block is None or name != getattr(block, half):
            raise OptionError(
                f"{half}_block_types names {name!r}, which is no {half} block. Nearest:"
                f" {', '.join(nearest(name, possible))}."
            )
        if network not in block.networks:
            raise OptionError(
                f"{half}_block_types names {name!r}, which {network!r} cannot run:"
                f" {_REASONS[block.family]}. It runs {', '.join(possible)}."
            )


def _check_skips(down: Sequence[str], up: Sequence[str], mirrored: bool) -> None:
    """Refuse skip blocks with a gap: the copy of the input would have another size.

    The list that the user gave is named first.
    """
    lists = [("down_block_types", down[:-1]), ("up_block_types", up[::-1])]
    for option, names in reversed(lists) if mirrored else lists:
        skips = [_BY_NAME[name].family == "skip" for name in names]
        if skips != sorted(skips, reverse=True):
            raise OptionError(
                f"{option}: skip blocks follow the input through the finest levels without a gap;"
                f" here {names[skips.index(False)]!r} comes between. Move it to a coarser level"
                " than every skip block."
            )


def _fits(
    widths: Sequence[int], down: Sequence[str], up: Sequence[str], layers: int, time_dim: int
) -> bool:
    """Follow the fields from the down blocks to the up blocks, as (channels, level).

    K blocks keep none between two levels, and their up blocks take one where others take all.
    diffusers tells the first KCrossAttn up block, whose partner passes nothing on, from the others
    by the time vector: its length equals the widths of its level and of the next.
    """
    last = len(widths) - 1
    kept: list[tuple[int, int] | None] = [(widths[0], 0)]
    for level, name in enumerate(down):
        silent = name == _K_CROSS.down and level == last
        kept += layers * [None if silent else (widths[level], level)]
        if level < last and _BY_NAME[name].family != "k":
            kept.append((widths[level], level + 1))
    channels = widths[-1]
    for level, name in zip(reversed(range(len(widths))), up, strict=True):
        here, next_ = widths[level], widths[max(level - 1, 0)]
        is_k = _BY_NAME[name].family == "k"
        count = layers if is_k else layers + 1
        taken = kept[-count:]
        del kept[-count:]
        if not is_k:
            if taken != [(next_, level), *layers * [(here, level)]]:
                return False
            if channels != widths[min(level + 1, last)]:
                return False
            channels = here
            continue
        first = name == _K_CROSS.up and here == next_ == time_dim
        field = taken[-1] if taken else (0, -1)
        if field is not None and field[1] != level:
            return False
        joined = channels + (field[0] if field is not None else 0)
        if joined != (here if first else 2 * here):
            return False
        channels = next_
    return True


def _misfit(
    widths: Sequence[int], down: Sequence[str], up: Sequence[str], time_dim: int | None
) -> str:
    """Return why blocks do not fit together, and what would."""
    k_blocks = [name for name in (*down, *up) if _BY_NAME[name].family == "k"]
    others = [name for name in (*down, *up) if _BY_NAME[name].family != "k"]
    if others:
        return (
            f"down_block_types={list(down)}, up_block_types={list(up)}: {k_blocks[0]!r} does not"
            f" fit beside {others[0]!r} here, since it passes on fewer fields. Give K blocks on all"
            " levels and in both halves, or on none."
        )
    return (
        f"block_out_channels={list(widths)}, time_embedding_dim={time_dim}: with"
        f" {_K_CROSS.down!r} on the coarsest level the two coarsest levels need the same width, the"
        f" other levels different ones, {_K_CROSS.up!r} must mirror it, and the time embedding has"
        " their width. Give for example [32, 64, 64] and no time_embedding_dim, or put"
        " 'KDownBlock2D' and 'KUpBlock2D' on the coarsest level."
    )
