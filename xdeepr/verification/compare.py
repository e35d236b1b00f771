"""The verb `verify`: scores of a downscaled field beside those of its baseline."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import xarray as xr
from dask.diagnostics import ProgressBar

from xdeepr import cf
from xdeepr.errors import AxisError, GridError, OptionError
from xdeepr.grids import Grid
from xdeepr.verification.alignment import (
    REALIZATION,
    Field,
    as_dataset,
    counterpart,
    in_bounded_blocks,
    join_times,
    on_forecast_grid,
    standard_field,
)
from xdeepr.verification.baseline import (
    Interpolation,
    check_baseline_name,
    interpolate_coarsened,
    interpolate_predictor,
)
from xdeepr.verification.deterministic import deterministic_scores, deterministic_statistics
from xdeepr.verification.ensemble import (
    ensemble_scores,
    ensemble_statistics,
    single_field_scores,
)

# Name -> (long name, whether the score has the units of the field).
SCORES: dict[str, tuple[str, bool]] = {
    "rmse": ("root-mean-square error", True),
    "mae": ("mean absolute error", True),
    "bias": ("mean error (forecast minus reference)", True),
    "pearson_r": ("Pearson correlation coefficient", False),
    "crps": ("continuous ranked probability score", True),
    "crps_fair": ("fair continuous ranked probability score", True),
    "spread_skill_ratio": ("spread-skill ratio", False),
    "rank_histogram": ("relative frequency of the rank of the reference", False),
}


def verify(
    forecast: xr.DataArray | xr.Dataset,
    reference: xr.DataArray | xr.Dataset,
    *,
    baseline: Interpolation | xr.DataArray | xr.Dataset | None = "bicubic",
    predictor: xr.DataArray | xr.Dataset | None = None,
    extra: Mapping[str, xr.DataArray | xr.Dataset] | None = None,
    dim: Hashable | Iterable[Hashable] | None = None,
    weights: Literal["area"] | xr.DataArray | None = "area",
    progress: bool = False,
) -> xr.Dataset:
    r"""Score a forecast against a reference, beside a baseline.

    Times are joined (inner), the reference is put into the order, the longitude convention and
    the units of the forecast. A point that is missing in any of the fields is left out for all
    of them, so that all systems are scored on the same points (their number is ``count``).
    Unlike the other verbs this one computes: chunk by chunk, in memory that does not grow with
    the length of the period.

    Parameters
    ----------
    forecast : xarray.DataArray or xarray.Dataset
        What :func:`xdeepr.downscale` returns: time, y and x found by CF criteria, with
        or without the dimension ``realization``; of a Dataset, every gridded variable is scored.
    reference : xarray.DataArray or xarray.Dataset
        Verifying truth on the same grid (it may cover more) in convertible units.
    baseline : str, xarray.DataArray, xarray.Dataset or None, default: "bicubic"
        The field to beat: an interpolation by name (``"nearest"``, ``"bilinear"``,
        ``"bicubic"``), a field on the forecast's grid, or None.
    predictor : xarray.DataArray or xarray.Dataset, optional
        LR field for an interpolation by name. Without it the reference is coarsened by the
        forecast's factor and interpolated back (perfect model), with a warning.
    extra : mapping of str to xarray.DataArray or xarray.Dataset, optional
        More systems to stand beside them, by name, on the forecast's grid: for example
        ``{"optimum": exact}``.
    dim : str or iterable of str, optional
        Dimensions to average over: None for all, ``"time"`` for maps of scores, the two
        horizontal ones for series. The ensemble dimension is always used up.
    weights : "area", xarray.DataArray or None, default: "area"
        ``"area"`` for cell areas, None for equal weights, or non-negative weights of one's own on
        dimensions of the forecast.
    progress : bool, default: False
        Whether to show a progress bar.

    Returns
    -------
    xarray.Dataset
        Computed scores along ``system``, e.g. ``["ddpm", "bicubic"]``: ``rmse``, ``mae``,
        ``bias``, ``pearson_r`` (for an ensemble those of its mean) and, where there is an
        ensemble, ``crps``, ``crps_fair``, ``spread_skill_ratio`` and ``rank_histogram`` (sums
        to 1 over ``rank``, 1 to M+1); formulas at
        :func:`~xdeepr.verification.deterministic_scores` and
        :func:`~xdeepr.verification.ensemble_scores`. Both CRPS of a single field are its MAE, and
        its spread is NaN. Several predictands are stacked along ``variable``, with a coordinate
        ``units``; for one, ``units`` is an attribute of each score.

    Raises
    ------
    AxisError
        If there are no common times, or an axis is missing or unexplained.
    GridError
        If the grids differ.
    UnitsError
        If units are missing or do not convert.
    VariableError
        If the reference or the baseline lacks a variable of the forecast.
    OptionError
        If `baseline`, `dim` or `weights` cannot be used.

    Examples
    --------
    >>> scores = verify(out, hr, predictor=lr)  # doctest: +SKIP
    >>> float(scores.rmse.sel(system="bicubic"))  # doctest: +SKIP
    1.1185
    """
    if isinstance(baseline, str):
        check_baseline_name(baseline)
    ds = as_dataset(forecast, getattr(reference, "name", None))
    names = cf.spatial_variables(ds, cf.find_axes(ds))
    parts = []
    for name in names:
        compared = _align(ds, name, reference, baseline, predictor, extra)
        parts.append(_scores(compared, _weights(weights, compared), _reduced_dims(dim, compared)))
    lazy = xr.concat(parts, "variable", join="outer", coords="minimal", data_vars="all")
    units = [cf.units_of(ds[name]) for name in names]
    lazy = lazy.assign_coords(variable=names, units=("variable", units))
    with _progress_bar(progress):
        scores = lazy.compute()
    scores = scores.squeeze("variable") if len(names) == 1 else scores
    return _describe(scores, baseline, predictor, weights)


@dataclass(frozen=True, eq=False)
class _Comparison:
    """A reference and the systems to score by name, on the same times, cells and units."""

    systems: dict[str, xr.DataArray]
    reference: xr.DataArray
    grid: Grid
    axes: cf.Axes


def _align(
    ds: xr.Dataset,
    name: str,
    reference: xr.DataArray | xr.Dataset,
    baseline: str | xr.DataArray | xr.Dataset | None,
    predictor: xr.DataArray | xr.Dataset | None,
    extra: Mapping[str, xr.DataArray | xr.Dataset] | None,
) -> _Comparison:
    """Bring the forecast variable `name`, its reference, baseline and extras together."""
    like = ds[name]
    forecast = standard_field(like, "forecast")
    truth = on_forecast_grid(
        standard_field(counterpart(reference, like, "reference"), "reference"), forecast
    )
    if truth.is_ensemble:
        raise AxisError(
            f"The reference {truth.data.name!r} has an ensemble dimension; a reference is one "
            "field. Select a realization or take the mean."
        )
    others = dict(extra or {})
    if isinstance(baseline, str):
        factor = ds.attrs.get("xdeepr_factor")
        field = _interpolation(baseline, predictor, like, forecast, truth, factor)
        others = {baseline: field, **others}
    elif baseline is not None:
        others = {_system_name(baseline, "baseline"): baseline, **others}
    # The reference and the forecast have keys that no system can have.
    fields: dict[tuple[str, str], Field] = {("forecast", ""): forecast, ("reference", ""): truth}
    for key, obj in others.items():
        field = counterpart(obj, like, f"system {key!r}")
        fields["system", key] = on_forecast_grid(standard_field(field, f"system {key!r}"), forecast)
    data = in_bounded_blocks(join_times(fields))
    own_name = _system_name(ds, "forecast")
    systems = {"forecast" if own_name in others else own_name: data["forecast", ""]}
    systems |= {key: da for (kind, key), da in data.items() if kind == "system"}
    return _Comparison(systems, data["reference", ""], forecast.grid, forecast.axes)


def _interpolation(
    baseline: str,
    predictor: xr.DataArray | xr.Dataset | None,
    like: xr.DataArray,
    forecast: Field,
    truth: Field,
    factor: int | None,
) -> xr.DataArray:
    joined = join_times({"forecast": forecast, "reference": truth})
    if predictor is None:
        reference = joined["reference"]
        if forecast.grid.kind == "curvilinear":  # its cells are known by 2-D coordinates
            reference = reference.assign_coords(forecast.grid.coordinates())
        return interpolate_coarsened(reference, baseline, like, factor)
    time = forecast.axes.time
    times = None if time is None else joined["forecast"][time]
    return interpolate_predictor(predictor, baseline, like, forecast.grid, times)


def _system_name(obj: xr.DataArray | xr.Dataset, default: str) -> str:
    return str(obj.attrs.get("xdeepr_model", default))


def _scores(compared: _Comparison, weights: xr.DataArray, dims: list[str]) -> xr.Dataset:
    """Lazy scores of all systems on the points where none of the fields is missing."""
    reference = compared.reference.astype(np.float64)
    present = reference.notnull()
    for da in compared.systems.values():
        valid = da.notnull()
        present = present & (valid.all(REALIZATION) if REALIZATION in da.dims else valid)
    weight = weights.where(present, 0.0)
    total = weight.sum(dims)
    any_ensemble = any(REALIZATION in da.dims for da in compared.systems.values())
    columns = []
    for da in compared.systems.values():
        means = {
            key: (field.where(present, 0.0) * weight).sum(dims) / total.where(total > 0)
            for key, field in _statistics(da.astype(np.float64), reference).items()
        }
        columns.append(_metrics(means, da.sizes.get(REALIZATION), any_ensemble))
    scores = xr.concat(columns, "system", join="outer", coords="minimal", data_vars="all")
    return scores.assign_coords(system=list(compared.systems)).assign(count=present.sum(dims))


def _statistics(forecast: xr.DataArray, reference: xr.DataArray) -> dict[str, xr.DataArray]:
    if REALIZATION not in forecast.dims:
        return deterministic_statistics(forecast, reference)
    mean = forecast.mean(REALIZATION, skipna=False)
    return deterministic_statistics(mean, reference) | ensemble_statistics(forecast, reference)


def _metrics(means: Mapping[str, xr.DataArray], size: int | None, any_ensemble: bool) -> xr.Dataset:
    scores = deterministic_scores(means)
    if size is not None:
        scores |= ensemble_scores(means, size)
    elif any_ensemble:
        scores |= single_field_scores(means)
    return xr.Dataset(scores)


def _reduced_dims(dim: Hashable | Iterable[Hashable] | None, compared: _Comparison) -> list[str]:
    have = [str(d) for d in compared.reference.dims]
    if dim is None:
        return have
    one = isinstance(dim, str) or not isinstance(dim, Iterable)
    wanted = [str(dim)] if one else [str(d) for d in cast("Iterable[Hashable]", dim)]
    unknown = [d for d in wanted if d not in have]
    if unknown or not wanted:
        raise OptionError(
            f"dim={dim!r} cannot be averaged over: the fields have the dimensions "
            f"{', '.join(map(repr, have))}. Use some of these, or None for all."
        )
    return wanted


def _weights(weights: Literal["area"] | xr.DataArray | None, compared: _Comparison) -> xr.DataArray:
    reference, grid = compared.reference, compared.grid
    if weights is None:
        return xr.DataArray(1.0)
    if isinstance(weights, str):
        if weights != "area":
            raise OptionError(
                f"weights={weights!r} is not known. Use 'area', None or a DataArray of weights."
            )
        area = grid.area_weights()
        dims = (compared.axes.y, compared.axes.x)[: area.ndim]
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


def _progress_bar(shown: bool) -> AbstractContextManager[Any]:
    return ProgressBar() if shown else nullcontext()


def _describe(
    scores: xr.Dataset,
    baseline: object,
    predictor: object,
    weights: object,
) -> xr.Dataset:
    """Give each score its long name and units, and say how the scores were made."""
    several = "variable" in scores.dims
    for name, (long_name, has_units) in SCORES.items():
        if name not in scores:
            continue
        attrs = {"long_name": long_name}
        if not has_units:
            attrs["units"] = "1"
        elif not several:
            attrs["units"] = str(scores["units"].item())
        scores[name].attrs = attrs
    scores["count"].attrs = {"long_name": "number of points that were scored", "units": "1"}
    if not several:
        scores = scores.drop_vars("units")
    scores.attrs = {
        "title": "Scores of a downscaled field",
        "weights": weights if isinstance(weights, str) else "none" if weights is None else "given",
        **_baseline_attrs(baseline, predictor),
        "history": cf.history_line("verify"),
    }
    order = [name for name in (*SCORES, "count") if name in scores]
    return scores[order]


def _baseline_attrs(baseline: object, predictor: object) -> dict[str, str]:
    if baseline is None:
        return {}
    if not isinstance(baseline, str):
        name = _system_name(baseline, "baseline")  # type: ignore[arg-type]
        return {"baseline": name, "baseline_source": "a field that was given"}
    source = (
        "interpolation of the coarsened reference (perfect model)"
        if predictor is None
        else "interpolation of the predictor"
    )
    return {"baseline": baseline, "baseline_source": source}
