"""From fields on the same points to scores: statistics, their weighted means, formulas of these."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.errors import GridError, OptionError
from xdeepr.grids import Grid
from xdeepr.verification.alignment import in_bounded_blocks
from xdeepr.verification.metrics import METRICS, REALIZATION, Metric, Pair, Statistic, metric


@dataclass(frozen=True, eq=False)
class Comparison:
    """A reference and the systems to score by name, on the same times, cells and units."""

    systems: dict[str, xr.DataArray]
    reference: xr.DataArray
    grid: Grid
    axes: cf.Axes

    @property
    def horizontal(self) -> tuple[str, str]:
        """Names of the dimensions y and x."""
        return self.axes.y, self.axes.x

    @property
    def has_ensemble(self) -> bool:
        """Whether any system is an ensemble."""
        return any(REALIZATION in da.dims for da in self.systems.values())


def chosen_metrics(
    names: str | Iterable[str] | None, compared: Comparison, dims: Sequence[str]
) -> list[Metric]:
    """Return the scores of these names, or the usual ones that exist for what is compared."""
    whole_fields = set(compared.horizontal) <= set(dims)
    if names is None:
        return [
            entry
            for entry in METRICS.values()
            if entry.usual
            and (compared.has_ensemble or "ensemble" not in entry.needs)
            and (whole_fields or "field" not in entry.needs)
        ]
    entries = [metric(name) for name in ([names] if isinstance(names, str) else names)]
    for entry in entries:
        if not (compared.has_ensemble or entry.single):
            raise OptionError(
                f"metric {entry.name!r} needs an ensemble, and every system is a single field."
                " Downscale with members=..., or leave it out."
            )
        if "field" in entry.needs and not whole_fields:
            raise OptionError(
                f"metric {entry.name!r} is a score of whole fields: average over"
                f" {' and '.join(map(repr, compared.horizontal))} (dim=None, or both of them)."
            )
    return entries


def lazy_scores(
    compared: Comparison, metrics: Sequence[Metric], weights: xr.DataArray, dims: list[str]
) -> xr.Dataset:
    """Return the lazy scores of all systems on the points where none of the fields is missing.

    Along ``system``, averaged over `dims`, with ``count``, the number of points. Weights are at
    least 0, on some of the dimensions of the reference.
    """
    present = compared.reference.notnull()
    for da in compared.systems.values():
        valid = da.notnull()
        present = present & (valid.all(REALIZATION) if REALIZATION in da.dims else valid)
    reference = compared.reference.astype(np.float64)
    weight = weights.where(present, 0.0)
    columns = []
    for da in compared.systems.values():
        pair = Pair(da.astype(np.float64), reference, weight, compared.horizontal)
        columns.append(_scores(pair, metrics, dims))
    scores = xr.concat(columns, "system", join="outer", coords="minimal", data_vars="all")
    return scores.assign_coords(system=list(compared.systems)).assign(count=present.sum(dims))


def _scores(pair: Pair, metrics: Sequence[Metric], dims: list[str]) -> xr.Dataset:
    metrics = [entry for entry in metrics if entry.single or pair.members is not None]
    means = {
        statistic: _means(pair, statistic, dims)
        for statistic in dict.fromkeys(s for entry in metrics for s in entry.statistics)
    }
    scores = {}
    for entry in metrics:
        of_entry = {k: v for statistic in entry.statistics for k, v in means[statistic].items()}
        scores[entry.name] = entry.score(of_entry)
    return xr.Dataset(scores)


def _means(pair: Pair, statistic: Statistic, dims: list[str]) -> dict[str, xr.DataArray]:
    """Weighted means of a statistic; a field weighs as much as all its points."""
    total = pair.weights.sum(dims)
    means = {}
    for name, values in statistic.compute(_seen_by(statistic, pair)).items():
        lost = [d for d in pair.horizontal if d not in values.dims]
        weight = pair.weights.sum(lost) if lost else pair.weights
        # where nothing is scored a value may be missing, and NaN times 0 is no 0
        weighted = values.where(weight > 0, 0.0) * weight
        left = [d for d in dims if d not in lost]
        means[name] = weighted.sum(left, skipna=False) / total.where(total > 0)
    return means


def _seen_by(statistic: Statistic, pair: Pair) -> Pair:
    """Return the part of a pair that a statistic has to see, in the chunks it needs."""
    if statistic.needs == "cell" and pair.members is not None:
        return replace(pair, forecast=pair.forecast.mean(REALIZATION, skipna=False))
    if statistic.needs == "field":
        fields = {"forecast": pair.forecast, "reference": pair.reference, "weights": pair.weights}
        whole = in_bounded_blocks(fields, whole=pair.horizontal)
        return Pair(whole["forecast"], whole["reference"], whole["weights"], pair.horizontal)
    return pair


def reduced_dims(dim: Hashable | Iterable[Hashable] | None, compared: Comparison) -> list[str]:
    """Return the names of the dimensions to average over; OptionError if there is none such."""
    have = [str(d) for d in compared.reference.dims]
    if dim is None:
        return have
    one = isinstance(dim, str) or not isinstance(dim, Iterable)
    wanted = [str(d) for d in ([dim] if one else dim)]  # type: ignore[union-attr]
    unknown = [d for d in wanted if d not in have]
    if unknown or not wanted:
        raise OptionError(
            f"dim={dim!r} cannot be averaged over: the fields have the dimensions "
            f"{', '.join(map(repr, have))}. Use some of these, or None for all."
        )
    return wanted


def point_weights(
    weights: Literal["area"] | xr.DataArray | None, compared: Comparison
) -> xr.DataArray:
    """Return the weight of each point, on dimensions of the fields."""
    reference, grid = compared.reference, compared.grid
    if weights is None:
        return xr.DataArray(1.0)
    if isinstance(weights, str):
        if weights != "area":
            raise OptionError(
                f"weights={weights!r} is not known. Use 'area', None or a DataArray of weights."
            )
        area = grid.area_weights()
        dims = compared.horizontal[: area.ndim]
        return xr.DataArray(area[::-1] if grid.y.descending else area, dims=dims)
    unknown = [d for d in weights.dims if d not in reference.dims]
    if unknown:
        raise OptionError(
            f"weights has the dimensions {tuple(weights.dims)}, the fields {reference.dims}. "
            "Use only dimensions of the fields."
        )
    if bool((weights.isnull() | (weights < 0)).any()):
        raise OptionError(
            "weights has missing or negative values. Replace them, e.g. with "
            "weights.fillna(0).clip(min=0)."
        )
    try:
        aligned, _ = xr.align(weights.reset_coords(drop=True), reference, join="exact")
    except ValueError as error:
        raise GridError(
            "weights is not on the coordinates of the forecast and the times it shares with the "
            f"reference ({error}). Select or regrid the weights to them."
        ) from error
    return aligned.astype(np.float64)
