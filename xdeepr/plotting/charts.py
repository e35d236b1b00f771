"""Bars of scores, rank histograms and training curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xdeepr.errors import VariableError
from xdeepr.plotting.figure import COLOURS, new_figure, open_frame
from xdeepr.verification.metrics import Metric
from xdeepr.verification.report import checked_metrics, each_variable, units_of_score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TRAINING_COLUMNS = ("step", "train_loss", "validation_loss", "learning_rate")


def plot_scores(scores: xr.Dataset) -> Figure:
    """Draw the scores of each system as bars, and those with a dimension, such as rank, apart.

    There is a row for each variable: scores in its units, dimensionless ones, rank histogram.

    Parameters
    ----------
    scores : xarray.Dataset
        Result of :func:`xdeepr.verification.verify` over all dimensions.

    Raises
    ------
    OptionError
        If the dataset holds no scores, or they are maps or series.
    """
    shown = checked_metrics(scores)
    # errors first: a bias may go below the axis
    bars = sorted((entry for entry in shown if not entry.dims), key=lambda e: e.better != "lower")
    panels = [[entry for entry in bars if entry.units == units] for units in ("field", "1")]
    panels = [entries for entries in panels if entries]
    panels += [[entry] for entry in shown if entry.dims]
    ratios = [2.4 if entries[0].dims else 0.53 * (len(entries) + 1) for entries in panels]
    rows = each_variable(scores)
    figure = new_figure((max(1.5 * sum(ratios), 3.0), 3.2 * len(rows)))
    axes = figure.subplots(len(rows), len(ratios), squeeze=False, width_ratios=ratios)
    for row, part in zip(axes, rows, strict=True):
        for ax, entries in zip(row, panels, strict=True):
            _panel(ax, part, entries)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def plot_rank_histogram(scores: xr.Dataset | xr.DataArray) -> Figure:
    """Draw how often the reference falls on each rank among the realizations.

    Flat: reference and realizations are exchangeable. U-shaped: too little spread. Sloped: bias.
    There is a panel for each variable, with the flat histogram as a line.

    Parameters
    ----------
    scores : xarray.Dataset or xarray.DataArray
        Result of :func:`xdeepr.verification.verify`, or its ``rank_histogram``.

    Raises
    ------
    VariableError
        If there is no rank histogram, because nothing verified was an ensemble.
    """
    if isinstance(scores, xr.Dataset):
        if "rank_histogram" not in scores:
            raise VariableError(
                "scores has no 'rank_histogram': no system was an ensemble. Downscale with "
                "members=... and verify that."
            )
        scores = scores["rank_histogram"]
    parts = each_variable(scores)
    figure = new_figure((4.5 * len(parts), 3.2))
    axes = figure.subplots(1, len(parts), squeeze=False, sharey=True)
    for ax, part in zip(axes.flat, parts, strict=True):
        _ranks(ax, part)
        if "variable" in part.coords:
            ax.set_title(str(part["variable"].item()))
    return figure


def plot_training(history: Any) -> Figure:
    """Draw the training curve: losses (logarithmic) and learning rate against the step.

    Parameters
    ----------
    history : xarray.Dataset, pandas.DataFrame or mapping
        Columns ``step``, ``train_loss`` and, where there are any, ``validation_loss`` (NaN where
        it was not evaluated) and ``learning_rate``.

    Raises
    ------
    VariableError
        If ``step`` or ``train_loss`` is missing.
    """
    columns = {name: _column(history, name) for name in _TRAINING_COLUMNS}
    missing = [name for name in ("step", "train_loss") if columns[name] is None]
    if missing:
        raise VariableError(
            f"history has no column {', '.join(map(repr, missing))}. Pass the history of a "
            "fitted Downscaler, or rename the columns."
        )
    step, rate = columns["step"], columns["learning_rate"]
    assert step is not None
    ratios = [3.0] if rate is None else [3.0, 1.0]
    figure = new_figure((6.5, 3.4 if rate is None else 4.4))
    axes = figure.subplots(len(ratios), 1, squeeze=False, sharex=True, height_ratios=ratios)[:, 0]
    for name, colour in (("train_loss", COLOURS[1]), ("validation_loss", COLOURS[0])):
        values = columns[name]
        if values is None or not np.isfinite(values).any():
            continue
        known = np.isfinite(values)
        marker = "o" if known.sum() < 60 and name == "validation_loss" else None
        label = name.removesuffix("_loss").replace("train", "training")
        axes[0].plot(step[known], values[known], color=colour, marker=marker, ms=3, label=label)
    axes[0].set(yscale="log", ylabel="loss / 1")
    axes[0].legend(frameon=False)
    if rate is not None:
        axes[1].plot(step, rate, color=COLOURS[2])
        axes[1].set(ylabel="learning rate / 1", ylim=(0, None))
    axes[-1].set_xlabel("training step")
    for ax in axes:
        open_frame(ax)
    return figure


def _panel(ax: Axes, scores: xr.Dataset, entries: Sequence[Metric]) -> None:
    """Draw scores that share an axis, or one that has a dimension."""
    entry = entries[0]
    if entry.better == "flat":
        _ranks(ax, scores[entry.name])
    elif entry.dims:
        _curves(ax, scores[entry.name], entry)
    elif entry.units == "1":
        _bars(ax, scores, entries, "score / 1")
        ax.axhline(1.0, color="0.3", linewidth=0.8, linestyle=":")
    else:
        name = str(scores["variable"].item()) if "variable" in scores.coords else "score"
        units = units_of_score(scores, entry)
        _bars(ax, scores, entries, f"{name} / {units}" if units else name)


def _bars(ax: Axes, scores: xr.Dataset, entries: Sequence[Metric], label: str) -> None:
    count = scores.sizes["system"]
    width = 0.8 / count
    for i, (system, colour) in enumerate(_systems(scores)):
        heights = [float(scores[entry.name].sel(system=system)) for entry in entries]
        left = np.arange(len(entries)) + (i - (count - 1) / 2) * width
        ax.bar(left, heights, 0.94 * width, color=colour, label=system)
    ax.axhline(0.0, color="0.3", linewidth=0.8)
    ax.set_xticks(range(len(entries)), [entry.label.replace(" ", "\n") for entry in entries])
    ax.set_xlim(-0.5, len(entries) - 0.5)  # also where a bar is missing
    ax.set_ylabel(label)
    open_frame(ax)


def _systems(scores: xr.Dataset | xr.DataArray) -> Iterator[tuple[str, str]]:
    """Name and colour of each system."""
    return zip(map(str, scores["system"].values), cycle(COLOURS))


def _curves(ax: Axes, score: xr.DataArray, entry: Metric) -> None:
    """Draw a score along its own dimension."""
    (dim,) = entry.dims
    for system, colour in _systems(score):
        ax.plot(score[dim], score.sel(system=system), color=colour, label=system)
    ax.set_xlabel(f"{dim} / {score[dim].attrs.get('units', '1')}")
    ax.set_ylabel(f"{entry.label} / {score.attrs.get('units', '1')}")
    open_frame(ax)


def _ranks(ax: Axes, histogram: xr.DataArray) -> None:
    for i, (system, colour) in enumerate(_systems(histogram)):
        known = histogram.sel(system=system).dropna("rank")
        if known.sizes["rank"] == 0:  # not an ensemble
            continue
        edges = np.append(known["rank"].values - 0.5, known["rank"].values[-1] + 0.5)
        if i == 0:  # more fillings would hide one another
            ax.stairs(known.values, edges, fill=True, color=colour, alpha=0.35)
        ax.stairs(known.values, edges, color=colour, linewidth=1.2, label=system)
        ax.hlines(1 / known.sizes["rank"], edges[0], edges[-1], "0.2", ":", linewidth=1)
    ax.set_xlabel("rank of the reference / 1")
    ax.set_ylabel("relative frequency / 1")
    ax.set_ylim(0, None)
    ax.locator_params(axis="x", integer=True)
    open_frame(ax)


def _column(history: Any, name: str) -> np.ndarray | None:
    """Return a column of a Dataset, DataFrame or mapping as floats, or None without it."""
    if name not in history and name not in getattr(history, "coords", {}):
        return None
    return np.asarray(history[name], dtype=float)
