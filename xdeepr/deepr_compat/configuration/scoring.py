"""Score a forecast, write the scores, and draw what the configuration asks for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from xdeepr import cf
from xdeepr.deepr_compat.configuration.assembling import Part
from xdeepr.deepr_compat.configuration.validation import ValidationConfiguration, Visualizations
from xdeepr.io import open_file, whole, write_file

if TYPE_CHECKING:
    from xdeepr.verification.baseline import Interpolation

SCORES, TABLE, MAPS, HOURS = "scores.nc", "scores.txt", "score_maps.nc", "scores_by_hour.nc"
"""Names of the files of a validation."""

PREDICTION = "prediction.nc"

_MEANS = ("rmse", "mae", "bias", "crps", "crps_fair")
"""Scores of an hour that follow from those of its times."""


def planned_files(validation: ValidationConfiguration, folder: Path) -> list[Path]:
    """Return the netCDF files that a validation is going to write.

    Parameters
    ----------
    validation : ValidationConfiguration
        The section.
    folder : pathlib.Path
        Where they go.
    """
    files = [folder / SCORES]
    if validation.visualizations.metrics_global_map is not None:
        files += [folder / MAPS, folder / HOURS]
    if _keeps(validation):
        files.append(Path(validation.validation_data.location or folder) / PREDICTION)
    return files


def _keeps(validation: ValidationConfiguration) -> bool:
    """Whether the forecast itself is wanted."""
    return validation.validation_data.to_compute and validation.validation_data.to_save


@contextmanager
def kept_forecast(
    out: xr.Dataset,
    validation: ValidationConfiguration,
    folder: Path,
    *,
    overwrite: bool,
    progress: bool,
    written: list[Path],
) -> Iterator[xr.Dataset]:
    """Compute a forecast once, into a file, and give what is in the file.

    Parameters
    ----------
    out : xarray.Dataset
        Lazy.
    validation : ValidationConfiguration
        Says whether the file is kept.
    folder : pathlib.Path
        Where it goes.
    overwrite, progress : bool
        Replace a file; show a progress bar.
    written : list of pathlib.Path
        Gets the file if it is kept.

    Yields
    ------
    xarray.Dataset
        Lazy, read from the file.
    """
    text = "downscaling" if progress else None
    with tempfile.TemporaryDirectory() as scratch:
        data = validation.validation_data
        keeps = _keeps(validation)
        place = Path(data.location or folder) if keeps else Path(scratch)
        path = write_file(out, place / PREDICTION, overwrite=overwrite, progress=text)
        if keeps:
            written.append(path)
        with open_file(path) as ds:
            yield ds


def write_scores(
    forecast: xr.Dataset,
    part: Part,
    baseline: Interpolation | None,
    folder: Path,
    *,
    overwrite: bool,
    progress: bool,
) -> tuple[xr.Dataset, list[Path]]:
    """Score a forecast and write the scores as netCDF and as a table.

    Parameters
    ----------
    forecast : xarray.Dataset
        What was downscaled.
    part : Part
        The truth and the fields it was made of.
    baseline : str or None
        The interpolation to beat.
    folder : pathlib.Path
        Where the files go.
    overwrite, progress : bool
        Replace files; show a progress bar.

    Returns
    -------
    xarray.Dataset
        See :func:`xdeepr.verify`.
    list of pathlib.Path
        The files.
    """
    from xdeepr.verification import score_table, verify

    assert part.hr is not None  # checked before the data were opened
    scores = verify(forecast, part.hr, baseline=baseline, predictor=part.lr, progress=progress)
    files = [write_file(scores, folder / SCORES, overwrite=overwrite)]
    with whole(folder / TABLE) as scratch:
        scratch.write_text(score_table(scores) + "\n", encoding="utf-8")
    return scores, [*files, folder / TABLE]


def draw(
    forecast: xr.Dataset,
    part: Part,
    validation: ValidationConfiguration,
    folder: Path,
    statics: xr.Dataset | None,
    *,
    overwrite: bool,
    notes: list[str],
) -> list[Path]:
    """Make the maps, the scores by hour and the pictures that are asked for.

    Parameters
    ----------
    forecast : xarray.Dataset
        What was downscaled.
    part : Part
        The truth and the fields it was made of.
    validation : ValidationConfiguration
        The section.
    folder : pathlib.Path
        Where the files go.
    statics : xarray.Dataset or None
        Coast and heights for the maps.
    overwrite : bool
        Replace files.
    notes : list of str
        Gets a line if pictures cannot be drawn.

    Returns
    -------
    list of pathlib.Path
        The files.
    """
    asked = validation.visualizations
    baseline = None if validation.baseline == "none" else validation.baseline
    files = []
    if asked.metrics_global_map is not None:
        files += _score_files(forecast, part, baseline, folder, overwrite=overwrite)
    if not _pictures(asked):
        return files
    if find_spec("matplotlib") is None:
        notes.append(
            "validation_configuration.visualizations: no pictures are drawn, because matplotlib is"
            " not installed (pip install 'xdeepr[plot]')"
        )
        return files
    from xdeepr.deepr_compat.configuration.pictures import draw_maps, draw_roses, draw_samples

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


def _pictures(asked: Visualizations) -> bool:
    """Whether any picture is asked for."""
    maps = asked.metrics_global_map
    return asked.samples is not None or (maps is not None and (maps.map_plots or maps.rose_plot))


def _score_files(
    forecast: xr.Dataset,
    part: Part,
    baseline: Interpolation | None,
    folder: Path,
    *,
    overwrite: bool,
) -> list[Path]:
    """Write maps of the scores, and the scores of each hour of the day."""
    from xdeepr.verification import verify

    assert part.hr is not None  # `write_scores` came first
    axes = cf.find_axes(forecast)
    time = str(axes.time)
    truth: dict[str, Any] = {"baseline": baseline, "predictor": part.lr}
    maps = verify(forecast, part.hr, dim=time, **truth)
    series = verify(forecast, part.hr, dim=[axes.y, axes.x], **truth)
    return [
        write_file(maps, folder / MAPS, overwrite=overwrite),
        write_file(by_hour(series, time), folder / HOURS, overwrite=overwrite),
    ]


def by_hour(series: xr.Dataset, time: str) -> xr.Dataset:
    """Average the scores of single times over each hour of the day.

    Parameters
    ----------
    series : xarray.Dataset
        What :func:`xdeepr.verify` gave for ``dim=`` the horizontal dimensions.
    time : str
        Name of the time dimension.

    Returns
    -------
    xarray.Dataset
        Along ``hour`` (UTC): those scores that are means over times, or roots of such means.
    """
    hours = series[time].dt.hour.rename("hour")
    weights = series["count"]
    total = weights.groupby(hours).sum()
    out = {}
    for name in _MEANS:
        if name in series:
            power = 2 if name == "rmse" else 1
            mean = (series[name] ** power * weights).groupby(hours).sum() / total
            out[name] = (mean ** (1 / power)).assign_attrs(series[name].attrs)
    found = xr.Dataset({**out, "count": total.assign_attrs(weights.attrs)})
    found["hour"].attrs = {"long_name": "hour of the day (UTC)", "units": "1"}
    return found.assign_attrs(series.attrs)
