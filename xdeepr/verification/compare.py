"""The verb `verify`: scores of a downscaled field beside those of its baseline."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import xarray as xr

from xdeepr import cf
from xdeepr.checks import one_of
from xdeepr.errors import AxisError
from xdeepr.grids import Grid, gridded
from xdeepr.io import progress_bar
from xdeepr.tiling.interpolation import METHODS, Method
from xdeepr.verification.alignment import (
    Field,
    counterpart,
    in_bounded_blocks,
    join_times,
    on_forecast_grid,
    standard_field,
)
from xdeepr.verification.baseline import interpolate_coarsened, interpolate_predictor
from xdeepr.verification.metrics import metrics_in
from xdeepr.verification.scoring import (
    Comparison,
    chosen_metrics,
    lazy_scores,
    point_weights,
    reduced_dims,
)


def verify(
    forecast: xr.DataArray | xr.Dataset,
    reference: xr.DataArray | xr.Dataset,
    *,
    baseline: Method | xr.DataArray | xr.Dataset | None = "bicubic",
    predictor: xr.DataArray | xr.Dataset | None = None,
    extra: Mapping[str, xr.DataArray | xr.Dataset] | None = None,
    dim: Hashable | Iterable[Hashable] | None = None,
    weights: Literal["area"] | xr.DataArray | None = "area",
    metrics: str | Iterable[str] | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Score a forecast against a reference, beside a baseline.

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
    metrics : str or iterable of str, optional
        Names of :data:`xdeepr.verification.METRICS`, such as ``["rmse", "energy_score"]``. By
        default the usual scores; an energy score is none of them, since whole fields have to be
        in memory for it.
    progress : bool, default: False
        Whether to show a progress bar.

    Returns
    -------
    xarray.Dataset
        Computed scores along ``system``, e.g. ``["ddpm", "bicubic"]``: ``rmse``, ``mae``,
        ``bias``, ``pearson_r`` (for an ensemble those of its mean) and, where there is an
        ensemble, ``crps``, ``crps_fair``, ``spread_skill_ratio`` and ``rank_histogram`` (sums
        to 1 over ``rank``, 1 to M+1). Both CRPS of a single field are its MAE, and its spread is
        NaN. Several predictands are stacked along ``variable``, with a coordinate ``units``; for
        one, ``units`` is an attribute of each score.

    Raises
    ------
    AxisError, GridError, UnitsError, VariableError
        If a field lacks common times, the forecast's cells, units that convert or the variable.
    OptionError
        If `baseline`, `dim`, `weights` or `metrics` cannot be used.

    Examples
    --------
    >>> from xdeepr.downscaling import downscale
    >>> from xdeepr.synthetic import example_pair
    >>> lr, hr, statics = example_pair(days=1)
    >>> out = downscale(lr, "nearest", factor=4)
    >>> scores = verify(out, hr, predictor=lr, metrics=["rmse", "mae"])
    >>> scores["rmse"].to_series().round(2).to_dict()
    {'nearest': 1.07, 'bicubic': 0.81}
    """
    if isinstance(baseline, str):
        one_of("baseline", baseline, METHODS)
    source = gridded(forecast, name=str(getattr(reference, "name", None) or "forecast"))
    sides = _Sides(
        gridded(reference),
        baseline if baseline is None or isinstance(baseline, str) else gridded(baseline),
        None if predictor is None else gridded(predictor),
        {name: gridded(obj) for name, obj in (extra or {}).items()},
    )
    parts = []
    for name in source.fields:
        compared = _align(source, name, sides)
        dims = reduced_dims(dim, compared)
        chosen = chosen_metrics(metrics, compared, dims)
        parts.append(lazy_scores(compared, chosen, point_weights(weights, compared), dims))
    lazy = xr.concat(parts, "variable", join="outer", coords="minimal", data_vars="all")
    units = [cf.units_of(source.dataset[name]) for name in source.fields]
    lazy = lazy.assign_coords(variable=list(source.fields), units=("variable", units))
    with progress_bar("verifying" if progress else None):
        scores = lazy.compute()
    scores = scores.squeeze("variable") if len(units) == 1 else scores
    return _describe(scores, baseline, predictor, weights)


@dataclass(frozen=True, eq=False)
class _Sides:
    """What a forecast is compared with, as the user gave it."""

    reference: cf.Gridded[Grid]
    baseline: str | cf.Gridded[Grid] | None
    predictor: cf.Gridded[Grid] | None
    extra: Mapping[str, cf.Gridded[Grid]]


def _align(source: cf.Gridded[Grid], name: str, sides: _Sides) -> Comparison:
    """Bring the forecast variable `name`, its reference, baseline and extras together."""
    like = source.dataset[name]
    forecast = standard_field(source, name, "forecast")
    verifying = counterpart(sides.reference, like, "reference")
    truth = on_forecast_grid(standard_field(sides.reference, verifying, "reference"), forecast)
    if truth.is_ensemble:
        raise AxisError(
            f"the reference {truth.data.name!r} has an ensemble dimension; a reference is one "
            "field. Select a realization or take the mean."
        )
    others, baseline = dict(sides.extra), sides.baseline
    if isinstance(baseline, str):
        factor = source.given.attrs.get("xdeepr_factor")
        interpolated = _interpolation(baseline, sides.predictor, like, forecast, truth, factor)
        others = {baseline: interpolated, **others}
    elif baseline is not None:
        others = {_system_name(baseline.given, "baseline"): baseline, **others}
    # The reference and the forecast have keys that no system can have.
    fields: dict[tuple[str, str], Field] = {("forecast", ""): forecast, ("reference", ""): truth}
    for key, obj in others.items():
        role = f"system {key!r}"
        field = standard_field(obj, counterpart(obj, like, role), role)
        fields["system", key] = on_forecast_grid(field, forecast)
    data = in_bounded_blocks(join_times(fields))
    own_name = _system_name(source.given, "forecast")
    systems = {"forecast" if own_name in others else own_name: data["forecast", ""]}
    systems |= {key: da for (kind, key), da in data.items() if kind == "system"}
    return Comparison(systems, data["reference", ""], forecast.grid, forecast.axes)


def _interpolation(
    baseline: str,
    predictor: cf.Gridded[Grid] | None,
    like: xr.DataArray,
    forecast: Field,
    truth: Field,
    factor: int | None,
) -> cf.Gridded[Grid]:
    """Return the baseline of that name on the forecast's grid, at the times that are verified."""
    joined = join_times({"forecast": forecast, "reference": truth})
    if predictor is None:
        ds = joined["reference"].to_dataset(name=str(like.name))
        reference = cf.Gridded(ds, truth.axes, truth.grid, ds)
        return interpolate_coarsened(reference, baseline, factor)
    time = forecast.axes.time
    times = None if time is None else joined["forecast"][time]
    return interpolate_predictor(predictor, baseline, like, forecast.grid, times)


def _system_name(obj: xr.DataArray | xr.Dataset, default: str) -> str:
    return str(obj.attrs.get("xdeepr_model", default))


def _describe(
    scores: xr.Dataset, baseline: object, predictor: object, weights: object
) -> xr.Dataset:
    """Give each score its long name and units, and say how the scores were made."""
    several = "variable" in scores.dims
    shown = metrics_in(scores)
    for entry in shown:
        scores[entry.name].attrs = {"long_name": entry.long_name}
        if entry.units == "1":
            scores[entry.name].attrs["units"] = "1"
        elif not several:
            scores[entry.name].attrs["units"] = str(scores["units"].item())
    scores["count"].attrs = {"long_name": "number of points that were scored", "units": "1"}
    if not several:
        scores = scores.drop_vars("units")
    scores.attrs = {
        "title": "Scores of a downscaled field",
        "weights": weights if isinstance(weights, str) else "none" if weights is None else "given",
        **_baseline_attrs(baseline, predictor),
        "history": cf.history_line("verify"),
    }
    return scores[[*(entry.name for entry in shown), "count"]]


def _baseline_attrs(baseline: object, predictor: object) -> dict[str, str]:
    if baseline is None:
        return {}
    if not isinstance(baseline, str):
        name = _system_name(baseline, "baseline")  # type: ignore[arg-type]
        return {"baseline": name, "baseline_source": "a field that was given"}
    perfect_model = "the coarsened reference (perfect model)"
    source = perfect_model if predictor is None else "the predictor"
    return {"baseline": baseline, "baseline_source": f"interpolation of {source}"}
