"""Figures without pyplot: no display needed, no global state, shown in notebooks."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1b6ca8", "#a7b0ba", "#e0a030", "#5b9a57", "#a3548f", "#444444")


def new_figure(size: tuple[float, float]) -> Figure:
    """Return an empty figure of `size` (inches) that IPython can show by itself."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    # IPython knows how to show a figure only once pyplot is imported; this works without.
    figure._repr_png_ = partial(_png, figure)  # type: ignore[attr-defined]
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def open_frame(ax: Axes) -> None:
    """Give a chart an open frame and faint horizontal lines."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
