"""Score a forecast, or files that are there; write scores, maps and pictures of a validation."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.deepr_compat.configuration.data import Part
from xdeepr.deepr_compat.configuration.files import open_all
from xdeepr.deepr_compat.configuration.schema import (
    FileValidation,
    SamplePictures,
    ValidationConfiguration,
)
from xdeepr.deepr_compat.configuration.section import note
from xdeepr.errors import VariableError
from xdeepr.io import check_output, open_file, whole, write_file
from xdeepr.verification import score_table, verify
from xdeepr.verification.metrics import METRICS
from xdeepr.verification.report import each_variable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORES, TABLE, MAPS, HOURS = "scores.nc", "scores.txt", "score_maps.nc", "scores_by_hour.nc"
PREDICTION = "prediction.nc"
"""Names of the files of a validation."""

MAPPED = ("rmse", "mae", "bias", "pearson_r")
"""Scores that are drawn as maps."""

BY_HOUR = ("rmse", "mae")
"""Scores that are drawn by the hour of the day."""


def planned_files(validation: ValidationConfiguration, folder: Path) -> list[Path]:
    """Return the netCDF files of a validation; a note says if its pictures cannot be drawn."""
    files = [folder / SCORES]
    if validation.visualizations.metrics_global_map is not None:
        files += [folder / MAPS, folder / HOURS]
    if (prediction := _kept_prediction(validation, folder)) is not None:
        files.append(prediction)
    if validation.visualizations.pictures and find_spec("matplotlib") is None:
        note(
            "validation_configuration.visualizations: no pictures are drawn, because matplotlib is"
            " not installed (pip install 'xdeepr[plot]')"
        )
    return files


def _kept_prediction(validation: ValidationConfiguration, folder: Path) -> Path | None:
    """Return the file for the forecast itself, if it is wanted."""
    asked = validation.validation_data
    wanted = asked.to_compute and asked.to_save
    return Path(asked.location or folder) / PREDICTION if wanted else None


def score_forecast(
    out: xr.Dataset,
    part: Part,
    validation: ValidationConfiguration,
    folder: Path,
    statics: xr.Dataset | None,
    *,
    overwrite: bool,
    progress: bool,
) -> tuple[xr.Dataset, list[Path]]:
    """Compute a forecast once, score it, write and draw what is asked for: scores and files."""
    assert part.hr is not None  # checked before the data were opened
    axes = cf.find_axes(out)
    baseline: Any = None if validation.baseline == "none" else validation.baseline
    truth: dict[str, Any] = {"baseline": baseline, "predictor": part.lr}
    asked = validation.visualizations
    draws = find_spec("matplotlib") is not None
    text, kept = "downscaling" if progress else None, _kept_prediction(validation, folder)
    files = [] if kept is None else [kept]
    with ExitStack() as stack:
        place = kept or Path(stack.enter_context(tempfile.TemporaryDirectory())) / PREDICTION
        path = write_file(out, place, overwrite=overwrite, progress=text)
        forecast = stack.enter_context(open_file(path))
        scores = verify(forecast, part.hr, progress=progress, **truth)
        files += _write(scores, folder, overwrite=overwrite)
        if (spread := asked.metrics_global_map) is not None:
            maps = verify(forecast, part.hr, dim=str(axes.time), **truth)
            files.append(write_file(maps, folder / MAPS, overwrite=overwrite))
            series = verify(forecast, part.hr, dim=[axes.y, axes.x], **truth)
            hours = by_hour(series, str(axes.time))
            files.append(write_file(hours, folder / HOURS, overwrite=overwrite))
            if draws and spread.map_plots:
                files += draw_maps(maps, folder)
            if draws and spread.rose_plot:
                files += draw_roses(hours, folder)
        if draws and asked.samples is not None:
            files += draw_samples(forecast, part, asked.samples, folder, statics)
    return scores, files


def _write(scores: xr.Dataset, folder: Path, *, overwrite: bool) -> list[Path]:
    """Write scores as netCDF and as a table."""
    file = write_file(scores, folder / SCORES, overwrite=overwrite)
    with whole(folder / TABLE) as scratch:
        scratch.write_text(score_table(scores) + "\n", encoding="utf-8")
    return [file, folder / TABLE]


def by_hour(series: xr.Dataset, time: str) -> xr.Dataset:
    """Average the scores that are means, or roots of means, over each hour of the day (UTC)."""
    hours = series[time].dt.hour.rename("hour")
    weights = series["count"]
    total = weights.groupby(hours).sum()
    out = {"count": total.assign_attrs(weights.attrs)}
    for name, metric in METRICS.items():
        if metric.power is not None and name in series:
            mean = (series[name] ** metric.power * weights).groupby(hours).sum() / total
            out[name] = (mean ** (1 / metric.power)).assign_attrs(series[name].attrs)
    averaged = xr.Dataset(out)
    averaged["hour"].attrs = {"long_name": "hour of the day (UTC)", "units": "1"}
    return averaged.assign_attrs(series.attrs)


# --- pictures ----------------------------------------------------------------------------


def draw_samples(
    forecast: xr.Dataset,
    part: Part,
    asked: SamplePictures,
    folder: Path,
    statics: xr.Dataset | None,
) -> list[Path]:
    """Draw input, prediction and truth of some times, evenly spread; with coast and heights."""
    from xdeepr.plotting import plot_downscaling

    times = forecast.sizes[str(cf.find_axes(forecast).time)]
    chosen = np.unique(np.linspace(0, times - 1, min(asked.num_samples, times)).round().astype(int))
    options: dict[str, Any] = {"statics": statics}
    if asked.num_realizations is not None and "realization" in forecast.dims:
        options["members"] = min(asked.num_realizations, forecast.sizes["realization"])
    return [
        _save(
            plot_downscaling(part.lr, forecast, part.hr, time=int(time), **options),
            folder / f"sample_{number:02d}.png",
        )
        for number, time in enumerate(chosen, start=1)
    ]


def draw_maps(scores: xr.Dataset, folder: Path) -> list[Path]:
    """Draw the maps that ``verify(dim="time")`` gave, the systems beside each other."""
    from xdeepr.plotting.figure import new_figure

    files = []
    for name, field in _fields(scores, MAPPED):
        systems = [str(system) for system in field["system"].values]
        figure = new_figure((4.2 * len(systems) + 1, 4))
        axes = figure.subplots(1, len(systems), squeeze=False, sharex=True, sharey=True)[0]
        most, least = float(field.max()), float(field.min())
        signed = least < 0 < most
        limits = (-max(most, -least), max(most, -least)) if signed else (least, most)
        axis = cf.find_axes(field)
        for ax, system in zip(axes, systems, strict=True):
            shown = field.sel(system=system).transpose(axis.y, axis.x)
            image = ax.pcolormesh(
                shown[axis.x], shown[axis.y], shown, vmin=limits[0], vmax=limits[1],
                cmap="RdBu_r" if signed else "viridis",
            )  # fmt: skip
            ax.set_title(f"{system} (mean {float(shown.mean()):.3g})")
        figure.colorbar(image, ax=list(axes), label=_label(field))
        files.append(_save(figure, folder / f"map_{name}.png"))
    return files


def draw_roses(scores: xr.Dataset, folder: Path) -> list[Path]:
    """Draw scores along the dimension ``hour`` as bars around the clock."""
    from xdeepr.plotting.figure import new_figure

    files = []
    for name, field in _fields(scores, BY_HOUR):
        systems = [str(system) for system in field["system"].values]
        figure = new_figure((5.5, 5))
        ax: Any = figure.add_subplot(projection="polar")
        hours = field["hour"].values
        width = 2 * np.pi / max(len(hours), 3) / (len(systems) + 1)
        for number, system in enumerate(systems):
            angles = 2 * np.pi * hours / 24 + (number - (len(systems) - 1) / 2) * width
            ax.bar(angles, field.sel(system=system).values, width=width, label=system)
        ax.set_theta_zero_location("N")
        ax.set_theta_direction(-1)
        ax.set_xticks(2 * np.pi * hours / 24, [f"{hour} h" for hour in hours])
        ax.set_title(_label(field))
        ax.legend(loc="lower left", bbox_to_anchor=(-0.15, -0.1))
        files.append(_save(figure, folder / f"rose_{name}.png"))
    return files


def _fields(scores: xr.Dataset, names: tuple[str, ...]) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield name and field of scores, one for each variable where there are several."""
    for part in each_variable(scores):
        variable = part.coords.get("variable")
        for name in names:
            if name in part:
                yield name if variable is None else f"{name}_{variable.item()}", part[name]


def _label(field: xr.DataArray) -> str:
    return f"{field.attrs.get('long_name', field.name)} [{field.attrs.get('units', '')}]"


def _save(figure: Figure, path: Path) -> Path:
    """Write a picture whole or not at all."""
    with whole(path) as scratch:
        figure.savefig(scratch, dpi=120, bbox_inches="tight")
    return path


# --- files that hold predictions already --------------------------------------------------


def score_files(
    section: FileValidation, *, overwrite: bool, progress: bool
) -> tuple[xr.Dataset, list[Path]]:
    """Score predictions in files against observations in files: scores, and the files written."""
    folder = Path(section.validation_dir)
    for name in (SCORES, MAPS):
        check_output(folder / name, overwrite=overwrite)
    truth = open_all(section.observations_location)
    predictions = _like(open_all(section.model_predictions_location), truth, section.model_name)
    baseline = None
    if (location := section.baseline_predictions_location) is not None:
        baseline = _like(open_all(location), truth, section.baseline_name)
    scores = verify(predictions, truth, baseline=baseline, progress=progress)
    files = _write(scores, folder, overwrite=overwrite)
    time = cf.find_axes(predictions).time
    if time is not None:
        maps = verify(predictions, truth, baseline=baseline, dim=time)
        files.append(write_file(maps, folder / MAPS, overwrite=overwrite))
    return scores, files


def _like(ds: xr.Dataset, truth: xr.Dataset, name: str) -> xr.Dataset:
    """Name a prediction like the observation; DeepR calls it "prediction" and gives no units."""
    ours = cf.spatial_variables(ds, cf.find_axes(ds))
    theirs = cf.spatial_variables(truth, cf.find_axes(truth))
    if not ours or not theirs:
        raise VariableError(f"validation: the files of {name!r} or the observations hold no field.")
    if len(ours) == len(theirs) == 1 and ours != theirs:
        ds = ds.rename({ours[0]: theirs[0]})
        ours = theirs
    for variable in ours:
        if "units" not in ds[variable].attrs and variable in theirs:
            ds[variable] = ds[variable].assign_attrs(truth[variable].attrs)
            note(
                f"{variable!r} of {name!r} has no units; those of the observations"
                f" ({truth[variable].attrs.get('units')}) are taken"
            )
    return ds.assign_attrs(xdeepr_model=name)
