"""Score a forecast, or files that are there; write the scores, and draw what is asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import xarray as xr

from xdeepr import cf
from xdeepr.deepr_compat.configuration.data import Part
from xdeepr.deepr_compat.configuration.files import open_all
from xdeepr.deepr_compat.configuration.schema import FileValidation, ValidationConfiguration
from xdeepr.deepr_compat.configuration.section import note
from xdeepr.errors import VariableError
from xdeepr.io import check_output, open_file, whole, write_file
from xdeepr.verification import score_table, verify
from xdeepr.verification.metrics import METRICS

SCORES, TABLE, MAPS, HOURS = "scores.nc", "scores.txt", "score_maps.nc", "scores_by_hour.nc"
PREDICTION = "prediction.nc"
"""Names of the files of a validation."""


def planned_files(validation: ValidationConfiguration, folder: Path) -> list[Path]:
    """Return the netCDF files that a validation is going to write into a folder.

    A note says if its pictures cannot be drawn.
    """
    files = [folder / SCORES]
    if validation.visualizations.metrics_global_map is not None:
        files += [folder / MAPS, folder / HOURS]
    if _keeps(validation):
        files.append(Path(validation.validation_data.location or folder) / PREDICTION)
    if validation.visualizations.pictures and find_spec("matplotlib") is None:
        note(
            "validation_configuration.visualizations: no pictures are drawn, because matplotlib is"
            " not installed (pip install 'xdeepr[plot]')"
        )
    return files


def _keeps(validation: ValidationConfiguration) -> bool:
    """Whether the forecast itself is wanted."""
    return validation.validation_data.to_compute and validation.validation_data.to_save


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
    """Compute a forecast once, score it, and write and draw what is asked for.

    Static fields give coast and heights to the pictures. Returned are the scores, as
    :func:`xdeepr.verify` gives them, and the files.
    """
    assert part.hr is not None  # checked before the data were opened
    axes = cf.find_axes(out)
    baseline: Any = None if validation.baseline == "none" else validation.baseline
    truth: dict[str, Any] = {"baseline": baseline, "predictor": part.lr}
    asked = validation.visualizations
    with _computed(out, validation, folder, overwrite=overwrite, progress=progress) as kept:
        forecast, files = kept
        scores = verify(forecast, part.hr, progress=progress, **truth)
        files += _write(scores, folder, overwrite=overwrite)
        if asked.metrics_global_map is not None:
            maps = verify(forecast, part.hr, dim=str(axes.time), **truth)
            files.append(write_file(maps, folder / MAPS, overwrite=overwrite))
            series = verify(forecast, part.hr, dim=[axes.y, axes.x], **truth)
            hours = by_hour(series, str(axes.time))
            files.append(write_file(hours, folder / HOURS, overwrite=overwrite))
        if asked.pictures and find_spec("matplotlib") is not None:
            files += _draw(forecast, part, validation, folder, statics)
    return scores, files


@contextmanager
def _computed(
    out: xr.Dataset,
    validation: ValidationConfiguration,
    folder: Path,
    *,
    overwrite: bool,
    progress: bool,
) -> Iterator[tuple[xr.Dataset, list[Path]]]:
    """Compute a forecast into a file, and give what is in it, and its name if it is kept."""
    text = "downscaling" if progress else None
    with tempfile.TemporaryDirectory() as scratch:
        keeps = _keeps(validation)
        place = Path(validation.validation_data.location or folder) if keeps else Path(scratch)
        path = write_file(out, place / PREDICTION, overwrite=overwrite, progress=text)
        with open_file(path) as ds:
            yield ds, [path] if keeps else []


def _write(scores: xr.Dataset, folder: Path, *, overwrite: bool) -> list[Path]:
    """Write scores as netCDF and as a table."""
    file = write_file(scores, folder / SCORES, overwrite=overwrite)
    with whole(folder / TABLE) as scratch:
        scratch.write_text(score_table(scores) + "\n", encoding="utf-8")
    return [file, folder / TABLE]


def _draw(
    forecast: xr.Dataset,
    part: Part,
    validation: ValidationConfiguration,
    folder: Path,
    statics: xr.Dataset | None,
) -> list[Path]:
    """Draw the pictures that are asked for."""
    from xdeepr.deepr_compat.configuration.pictures import draw_maps, draw_roses, draw_samples

    asked, files = validation.visualizations, []
    maps = asked.metrics_global_map
    if maps is not None and maps.map_plots:
        with open_file(folder / MAPS) as scores:
            files += draw_maps(scores, folder)
    if maps is not None and maps.rose_plot:
        with open_file(folder / HOURS) as scores:
            files += draw_roses(scores, folder)
    if asked.samples is not None:
        files += draw_samples(forecast, part, asked.samples, folder, statics)
    return files


def by_hour(series: xr.Dataset, time: str) -> xr.Dataset:
    """Average the scores of single times over each hour of the day (UTC).

    These are the scores that are means over times, or roots of such means.
    """
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
    if section.baseline_predictions_location is not None:
        baseline = open_all(section.baseline_predictions_location)
        baseline = _like(baseline, truth, section.baseline_name)
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
