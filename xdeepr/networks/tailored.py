"""DeepR's tailored U-Net: 2-D convolutions, residual blocks and self-attention, in plain torch."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from xdeepr.checks import one_of
from xdeepr.errors import OptionError
from xdeepr.networks.building import zero_
from xdeepr.networks.time_labels import LABEL_SCALE, FourierFeatures, TimeLabels, sinusoid


def _norm(width: int, groups: int) -> nn.GroupNorm:
    """Return a normalization of groups as many as divide the width."""
    return nn.GroupNorm(math.gcd(width, groups), width)


class ResidualBlock(nn.Module):
    """Two normalized convolutions beside a shortcut; the time is added between them."""

    def __init__(
        self, in_width: int, out_width: int, time_width: int, groups: int, dropout: float
    ) -> None:
        super().__init__()
        self.enter = nn.Sequential(
            _norm(in_width, groups), nn.SiLU(), nn.Conv2d(in_width, out_width, 3, padding=1)
        )
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(time_width, out_width))
        self.leave = nn.Sequential(
            _norm(out_width, groups),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Conv2d(out_width, out_width, 3, padding=1),
        )
        same = in_width == out_width
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_width, out_width, 1)

    def forward(self, fields: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return fields (N, out, H, W) for fields (N, in, H, W) and time vectors (N, T)."""
        inner = self.enter(fields) + self.time(time)[:, :, None, None]
        return self.shortcut(fields) + self.leave(inner)


class SelfAttention(nn.Module):
    """Each pixel takes from all pixels what its features ask for.

    A width that is no multiple of the heads' gets a single head.

    References
    ----------
    Vaswani et al., 2017, arXiv:1706.03762, section 3.2.
    """

    def __init__(self, width: int, head_width: int, groups: int) -> None:
        super().__init__()
        self.heads = width // head_width if width % head_width == 0 else 1
        self.norm = _norm(width, groups)
        self.ask = nn.Conv2d(width, 3 * width, 1)
        self.answer = nn.Conv2d(width, width, 1)

    def forward(self, fields: torch.Tensor) -> torch.Tensor:
        """Return fields of the same shape (N, C, H, W)."""
        batch, width, *size = fields.shape
        # (N, 3 C, H, W) -> three of (N, heads, pixels, channels of a head)
        asked = self.ask(self.norm(fields)).reshape(batch, 3, self.heads, width // self.heads, -1)
        query, key, value = asked.transpose(-1, -2).unbind(1)
        taken = nn.functional.scaled_dot_product_attention(query, key, value)
        return fields + self.answer(taken.transpose(-1, -2).reshape(batch, width, *size))


class Step(nn.Module):
    """A residual block, followed by attention where the level has it."""

    def __init__(
        self,
        in_width: int,
        out_width: int,
        *,
        attends: bool,
        head_width: int,
        time_width: int,
        groups: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.residual = ResidualBlock(in_width, out_width, time_width, groups, dropout)
        self.attention = SelfAttention(out_width, head_width, groups) if attends else nn.Identity()

    def forward(self, fields: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return fields (N, out, H, W)."""
        return self.attention(self.residual(fields, time))


class TailoredUNet(nn.Module):
    """The U-Net that DeepR calls tailored, written anew, under its newer and older names.

    Keywords that are not listed are those of :class:`xdeepr.networks.unet.UNetOptions`, but that
    there are fewer `norm_num_groups` where a width is no multiple, and `lr_channels` is not used:
    this network sees the predictors as channels only.

    Parameters
    ----------
    block_out_channels : sequence of int
        Width of each level, from the finest. Default: (16, 32, 64, 256).
    is_attention : sequence of bool
        Levels with self-attention, whose cost grows with the fourth power of the tile's edge.
        Default: the coarser half of the levels.
    layers_per_block : int
        Residual blocks in each level on the way down; one more on the way up. Default: 2.
    image_channels : int, optional
        Older name of `out_channels`.
    n_channels : int, optional
        Older way to give widths: channels of the first convolution. Default: 16.
    channel_multipliers : sequence of int, optional
        Width of each level divided by that of the level before; the first by `n_channels`.
        Default: (1, 2, 2, 4).
    n_blocks : int, optional
        Older name of `layers_per_block`.
    conditioned_on_input : int or bool, optional
        Older way to give `in_channels`: number of condition channels beside the noisy target.
        True and False only say whether there are any.

    References
    ----------
    Ronneberger et al., 2015, arXiv:1505.04597; Ho et al., 2020, arXiv:2006.11239. DeepR:
    https://github.com/ECMWFCode4Earth/DeepR.
    """

    grid = "hr"
    uses_lr = False

    def __init__(
        self,
        in_channels: int | None = None,
        out_channels: int | None = None,
        *,
        block_out_channels: Sequence[int] | None = None,
        is_attention: Sequence[bool] | None = None,
        layers_per_block: int | None = None,
        time_embedding_type: str = "positional",
        sample_size: int | Sequence[int] | None = None,
        image_channels: int | None = None,
        n_channels: int | None = None,
        channel_multipliers: Sequence[int] | None = None,
        n_blocks: int | None = None,
        conditioned_on_input: int | bool | None = None,
        attention_head_dim: int = 32,
        dropout: float = 0.1,
        norm_num_groups: int = 8,
        label_scale: float = LABEL_SCALE,
        time_labels: Mapping[str, str] | None = None,
        lr_channels: int = 0,
    ) -> None:
        super().__init__()
        one_of("time_embedding_type", time_embedding_type, ("positional", "fourier"))
        inputs, outputs = _channels(in_channels, out_channels, image_channels, conditioned_on_input)
        stem, widths = _widths(block_out_channels, n_channels, channel_multipliers)
        attends = _attends(is_attention, len(widths))
        blocks = _either("layers_per_block", layers_per_block, "n_blocks", n_blocks, 2)
        self.multiple = 2 ** (len(widths) - 1)
        self.label_scale = label_scale
        self.waves = max(stem, 4)
        self.fourier = FourierFeatures(self.waves) if time_embedding_type == "fourier" else None
        time_width = 4 * stem
        self.noise = nn.Sequential(
            nn.Linear(self.waves, time_width), nn.SiLU(), nn.Linear(time_width, time_width)
        )
        self.time_labels = TimeLabels(time_labels, time_width) if time_labels else None
        step = partial(
            Step,
            time_width=time_width,
            head_width=attention_head_dim,
            groups=norm_num_groups,
            dropout=dropout,
        )
        self.stem = nn.Conv2d(inputs, stem, 3, padding=1)
        self.down, self.coarsen, passed_on = _down(step, stem, widths, attends, blocks)
        self.middle = nn.ModuleList(
            [step(widths[-1], widths[-1], attends=middle) for middle in (True, False)]
        )
        self.up, self.refine = _up(step, widths, attends, blocks, passed_on)
        self.last = nn.Sequential(
            _norm(widths[0], norm_num_groups),
            nn.SiLU(),
            nn.Conv2d(widths[0], outputs, 3, padding=1),
        )
        # EDM starts from the prediction 0, so that D(x) is c_skip · x at first
        zero_(self.last[-1])

    def forward(
        self,
        inputs: torch.Tensor,
        noise_label: torch.Tensor,
        labels: torch.Tensor | None = None,
        lr: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return (N, out, H, W); see :mod:`xdeepr.networks.registry` for the arguments."""
        time = self._time(noise_label, labels)
        fields = self.stem(inputs)
        kept = [fields]
        for steps, coarsen in zip(self.down, self.coarsen, strict=True):
            for step in steps:  # type: ignore[attr-defined]
                fields = step(fields, time)
                kept.append(fields)
            if not isinstance(coarsen, nn.Identity):
                fields = coarsen(fields)
                kept.append(fields)
        for step in self.middle:
            fields = step(fields, time)
        for steps, refine in zip(self.up, self.refine, strict=True):
            for step in steps:  # type: ignore[attr-defined]
                fields = step(torch.cat([fields, kept.pop()], dim=1), time)
            fields = refine(fields)
        return self.last(fields)

    def _time(self, noise_label: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the vector (N, T) that stands for noise level and time."""
        scaled = noise_label * self.label_scale
        waves = sinusoid(scaled, self.waves) if self.fourier is None else self.fourier(scaled)
        time = self.noise(waves.to(self.noise[0].weight.dtype))  # type: ignore[arg-type]
        return time if self.time_labels is None else time + self.time_labels(labels)


def _down(
    step: Callable[..., nn.Module],
    stem: int,
    widths: Sequence[int],
    attends: Sequence[bool],
    blocks: int,
) -> tuple[nn.ModuleList, nn.ModuleList, list[int]]:
    """Return the steps and the halving of each level, and the widths of the fields to keep."""
    levels, halvings, kept, width = nn.ModuleList(), nn.ModuleList(), [stem], stem
    for level, (out, attention) in enumerate(zip(widths, attends, strict=True)):
        steps = nn.ModuleList()
        for _ in range(blocks):
            steps.append(step(width, out, attends=attention))
            kept.append(width := out)
        levels.append(steps)
        if level < len(widths) - 1:
            halvings.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
            kept.append(width)
        else:
            halvings.append(nn.Identity())
    return levels, halvings, kept


def _up(
    step: Callable[..., nn.Module],
    widths: Sequence[int],
    attends: Sequence[bool],
    blocks: int,
    kept: list[int],
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Return the steps and the doubling of each level, from the coarsest; uses up `kept`."""
    levels, doublings, width = nn.ModuleList(), nn.ModuleList(), widths[-1]
    for level in reversed(range(len(widths))):
        steps = nn.ModuleList()
        for _ in range(blocks + 1):
            steps.append(step(width + kept.pop(), widths[level], attends=attends[level]))
            width = widths[level]
        levels.append(steps)
        # kernel 4 at stride 2 covers each pixel equally often: no checkerboard
        double = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        doublings.append(double if level else nn.Identity())
    return levels, doublings


def _either(new_name: str, new: Any, old_name: str, old: Any, default: Any) -> Any:
    """Return what was given under one of two names; refuse both at once."""
    if new is not None and old is not None:
        raise OptionError(
            f"{new_name}={new!r} and {old_name}={old!r} say the same thing: {old_name} is the"
            f" older name. Keep {new_name}."
        )
    return default if new is None and old is None else old if new is None else new


def _channels(
    in_channels: int | None,
    out_channels: int | None,
    image_channels: int | None,
    conditioned: int | bool | None,
) -> tuple[int, int]:
    """Return the numbers of input and output channels."""
    if image_channels == out_channels:
        # `fit` always gives out_channels; DeepR's name beside it does no harm if they agree
        image_channels = None
    outputs = _either("out_channels", out_channels, "image_channels", image_channels, 1)
    if in_channels is None:
        if conditioned is None:
            raise OptionError("in_channels is missing: give it, or conditioned_on_input.")
        return outputs + int(conditioned), outputs
    # without noisy target (a regression) all channels are conditions
    possible = {in_channels, in_channels - outputs}
    wrong = conditioned not in possible
    if isinstance(conditioned, bool):
        wrong = conditioned != (in_channels > outputs)
    if conditioned is not None and wrong:
        raise OptionError(
            f"conditioned_on_input={conditioned} does not agree with in_channels={in_channels} and"
            f" out_channels={outputs}: leave it out, the conditions are counted already."
        )
    return in_channels, outputs


def _widths(
    new: Sequence[int] | None, n_channels: int | None, multipliers: Sequence[int] | None
) -> tuple[int, list[int]]:
    """Return the width of the first convolution and of each level."""
    if new is not None:
        if n_channels is not None or multipliers is not None:
            raise OptionError(
                f"block_out_channels={list(new)} and n_channels={n_channels},"
                f" channel_multipliers={multipliers} say the same thing: the latter are the older"
                " names. Keep block_out_channels."
            )
        widths, stem = list(new), new[0] if new else 0
    else:
        stem = 16 if n_channels is None else n_channels
        factors = (1, 2, 2, 4) if multipliers is None else multipliers
        widths = list(itertools.accumulate(factors, operator.mul, initial=stem))[1:]
    if not widths or min(stem, *widths) < 1:
        raise OptionError(
            f"widths {widths} of the levels: give block_out_channels a positive width for each."
        )
    return stem, widths


def _attends(given: Sequence[bool] | None, levels: int) -> list[bool]:
    """Return which levels have attention."""
    if given is None:
        return [2 * level >= levels for level in range(levels)]
    if len(given) != levels:
        raise OptionError(
            f"is_attention={list(given)} has {len(given)} entries for {levels} levels of"
            " block_out_channels (or channel_multipliers): give one for each."
        )
    return list(given)
