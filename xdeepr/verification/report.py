"""Scores as a plain-text table."""

from __future__ import annotations

from math import isfinite
from typing import TypeVar

import xarray as xr

from xdeepr.errors import OptionError
from xdeepr.verification.metrics import Metric, metrics_in

ScoresT = TypeVar("ScoresT", xr.Dataset, xr.DataArray)


def score_table(scores: xr.Dataset, *, baseline: str | None = None) -> str:
    """Write scores as a table: a row for each score, a column for each system.

    There is one table for each variable. The last column is the reduction of the first system's
    error relative to the baseline's, in percent.

    Parameters
    ----------
    scores : xarray.Dataset
        Result of :func:`xdeepr.verification.verify` over all dimensions (``dim=None``), or
        several of them put together with ``xr.concat(..., "system")``.
    baseline : str, optional
        Default: the one that `verify` noted in ``attrs["baseline"]``; without one, no such column.

    Returns
    -------
    str

    Raises
    ------
    OptionError
        If there are no scores, or they are maps or series, or have no system `baseline`.

    Examples
    --------
    >>> coordinates = {"system": ["ddpm", "bicubic"], "variable": "t2m", "units": "K"}
    >>> scores = xr.Dataset({"rmse": ("system", [0.437, 1.119])}, coordinates)
    >>> print(score_table(scores, baseline="bicubic"))
    t2m
               ddpm  bicubic  improvement
    -------------------------------------
    RMSE  K  0.4370   1.1190      +60.9 %
    """
    checked_metrics(scores)
    systems = [str(s) for s in scores["system"].values]
    wanted = baseline if baseline is not None else scores.attrs.get("baseline")
    if baseline is not None and baseline not in systems:
        raise OptionError(
            f"baseline={baseline!r} is not among the systems {', '.join(map(repr, systems))}."
        )
    if wanted not in systems or wanted == systems[0]:
        wanted = None
    return "\n\n".join(_table(part, systems, wanted) for part in each_variable(scores))


def checked_metrics(scores: xr.Dataset) -> list[Metric]:
    """Return the metrics in `scores`; OptionError unless `verify` made them with ``dim=None``."""
    shown = metrics_in(scores)
    if "system" not in scores.dims or not shown:
        raise OptionError(
            "the dataset holds no scores along 'system'. Use the result of verify(...); select a "
            "single system as a list, e.g. .sel(system=['ddpm'])."
        )
    own = {dim for entry in shown for dim in entry.dims}
    left = sorted({str(d) for d in scores.dims} - {"system", "variable"} - own)
    if left:
        raise OptionError(
            f"the scores vary along {', '.join(map(repr, left))}, so they are maps or series. Use "
            "verify(..., dim=None), or select a point, or draw each with xarray, e.g. "
            "scores.rmse.sel(system=...).plot()."
        )
    return shown


def each_variable(scores: ScoresT) -> list[ScoresT]:
    """Return the scores of one variable after the other."""
    if "variable" not in scores.dims:
        return [scores]
    return [scores.isel(variable=i) for i in range(scores.sizes["variable"])]


def units_of_score(scores: xr.Dataset, entry: Metric) -> str:
    """Return the units of a score; those of several variables are a coordinate."""
    own = scores[entry.name].attrs.get("units")
    if own is None and "units" in scores.coords:
        own = scores["units"].item()
    return str(own or "")


def _table(scores: xr.Dataset, systems: list[str], baseline: str | None) -> str:
    rows = [["", "", *systems, *(["improvement"] if baseline else [])]]
    for entry in metrics_in(scores):
        if entry.dims:  # a histogram or curve is no number
            continue
        score = scores[entry.name]
        values = [score.sel(system=s).item() for s in systems]
        row = [entry.label, units_of_score(scores, entry), *_numbers(values)]
        if baseline:
            reference = score.sel(system=baseline).item()
            row.append(_improvement(values[0], reference) if entry.better == "lower" else "")
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    name = str(scores["variable"].item()) if "variable" in scores.coords else "scores"
    points = f", {int(scores['count'].max())} points" if "count" in scores else ""
    lines = [f"{name}{points}"]
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join(left + right).rstrip())
    lines.insert(2, "-" * max(map(len, lines)))
    return "\n".join(lines)


def _numbers(values: list[float]) -> list[str]:
    """One row in one notation, so that its numbers are easy to compare."""
    largest = max((abs(value) for value in values if isfinite(value)), default=0.0)
    notation = ".4f" if 1e-3 <= largest < 1e5 or largest == 0 else ".3e"
    # NaN: the score does not exist for this system.
    return [f"{value:{notation}}" if isfinite(value) else "-" for value in values]


def _improvement(value: float, reference: float) -> str:
    if not reference > 0 or not isfinite(value):
        return "-"
    return f"{100 * (1 - value / reference):+.1f} %"
