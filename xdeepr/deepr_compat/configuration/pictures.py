"""Pictures of a validation: maps of scores, scores by the hour, single times."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.deepr_compat.configuration.assembling import Part
from xdeepr.deepr_compat.configuration.validation import SamplePictures
from xdeepr.io import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAPPED = ("rmse", "mae", "bias", "pearson_r")
"""Scores that are drawn as maps."""

BY_HOUR = ("rmse", "mae")
"""Scores that are drawn by the hour of the day."""


def draw_samples(
    forecast: xr.Dataset,
    part: Part,
    asked: SamplePictures,
    folder: Path,
    statics: xr.Dataset | None,
) -> list[Path]:
    """Draw input, prediction and truth of some times, evenly spread over the period.

    Parameters
    ----------
    forecast : xarray.Dataset
        What was downscaled.
    part : Part
        The truth and the fields it was made of.
    asked : SamplePictures
        How many.
    folder : pathlib.Path
        Where the files go.
    statics : xarray.Dataset or None
        Coast and heights.

    Returns
    -------
    list of pathlib.Path
    """
    from xdeepr.plotting import plot_downscaling

    times = forecast.sizes[str(cf.find_axes(forecast).time)]
    places = np.unique(np.linspace(0, times - 1, min(asked.num_samples, times)).round().astype(int))
    options: dict[str, Any] = {"statics": statics}
    if asked.num_realizations is not None and "realization" in forecast.dims:
        options["members"] = min(asked.num_realizations, forecast.sizes["realization"])
    return [
        _save(
            plot_downscaling(part.lr, forecast, part.hr, time=int(place), **options),
            folder / f"sample_{number:02d}.png",
        )
        for number, place in enumerate(places, start=1)
    ]


def draw_maps(scores: xr.Dataset, folder: Path) -> list[Path]:
    """Draw maps of scores, the systems beside each other.

    Parameters
    ----------
    scores : xarray.Dataset
        What ``verify(dim="time")`` gave.
    folder : pathlib.Path
        Where the files go.

    Returns
    -------
    list of pathlib.Path
    """
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
        label = f"{field.attrs.get('long_name', name)} [{field.attrs.get('units', '')}]"
        figure.colorbar(image, ax=list(axes), label=label)
        files.append(_save(figure, folder / f"map_{_file_name(field, name)}.png"))
    return files


def draw_roses(scores: xr.Dataset, folder: Path) -> list[Path]:
    """Draw scores as bars around the clock.

    Parameters
    ----------
    scores : xarray.Dataset
        Scores along the dimension ``hour``.
    folder : pathlib.Path
        Where the files go.

    Returns
    -------
    list of pathlib.Path
    """
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
        ax.set_title(f"{field.attrs.get('long_name', name)} [{field.attrs.get('units', '')}]")
        ax.legend(loc="lower left", bbox_to_anchor=(-0.15, -0.1))
        files.append(_save(figure, folder / f"rose_{_file_name(field, name)}.png"))
    return files


def _fields(scores: xr.Dataset, names: tuple[str, ...]) -> list[tuple[str, xr.DataArray]]:
    """Return the scores by name, one for each variable where there are several."""
    found = []
    for name in names:
        if name not in scores:
            continue
        if "variable" in scores[name].dims:
            found += [
                (name, scores[name].isel(variable=i)) for i in range(scores.sizes["variable"])
            ]
        else:
            found.append((name, scores[name]))
    return found


def _file_name(field: xr.DataArray, name: str) -> str:
    """Return a name that tells the variables apart."""
    variable = field.coords.get("variable")
    return name if variable is None else f"{name}_{variable.item()}"


def _save(figure: Figure, path: Path) -> Path:
    """Write a picture whole or not at all."""
    with whole(path) as scratch:
        figure.savefig(scratch, dpi=120, bbox_inches="tight")
    return path
