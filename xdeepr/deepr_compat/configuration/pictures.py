"""Pictures of a validation: maps of scores, scores by the hour, single times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.deepr_compat.configuration.data import Part
from xdeepr.deepr_compat.configuration.schema import SamplePictures
from xdeepr.io import whole
from xdeepr.verification.report import each_variable

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
