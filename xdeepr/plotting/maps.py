"""Maps of one time: input, realizations, ensemble mean, spread and truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.errors import OptionError, VariableError
from xdeepr.grids import Grid, ascending, grid_of
from xdeepr.plotting.figure import new_figure
from xdeepr.plotting.overlay import draw_statics, drawn_edges

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class _Panel:
    title: str
    field: xr.DataArray
    grid: Grid

    @property
    def is_spread(self) -> bool:
        return self.title == "spread"


def plot_downscaling(
    predictor: xr.DataArray | xr.Dataset,
    forecast: xr.DataArray | xr.Dataset,
    reference: xr.DataArray | xr.Dataset | None = None,
    *,
    time: Any = 0,
    members: int = 2,
    statics: xr.Dataset | None = None,
    variable: str | None = None,
    cmap: str | None = None,
) -> Figure:
    """Draw the input, some realizations, ensemble mean, spread and truth of one time.

    Each has a panel; all fields share one colour bar, in the field's units, the spread has its own.

    Parameters
    ----------
    predictor : xarray.DataArray or xarray.Dataset
        LR field, as given to `downscale`.
    forecast : xarray.DataArray or xarray.Dataset
        HR field, with or without the dimension ``realization``.
    reference : xarray.DataArray or xarray.Dataset, optional
        Truth on the HR grid, if there is one; converted to the forecast's units.
    time : int or label, default: 0
        Position (int) or label of the forecast's time axis. Only this time is computed.
    members : int, default: 2
        How many realizations to show.
    statics : xarray.Dataset, optional
        Drawn over the maps: the coastline from a land-sea mask (its 0.5 contour) and heights from
        an orography or a surface geopotential. Nothing is downloaded.
    variable : str, optional
        Name of the variable of a forecast that has several; by default the first.
    cmap : str, optional
        Name of a matplotlib colour map for the field.

    Examples
    --------
    >>> from xdeepr.synthetic import example_pair
    >>> lr, hr, statics = example_pair(days=1)
    >>> figure = plot_downscaling(lr, hr, time=12, statics=statics)
    >>> [ax.get_title() for ax in figure.axes[:2]]
    ['input', 'downscaled']
    """
    field = _variable(forecast, variable)
    label = _time_label(field, time)
    panels = _panels(predictor, field, reference, label, members)
    grid = grid_of(field)
    rows = 2 if len(panels) > 4 else 1
    columns = -(-len(panels) // rows)
    height_to_width = float(np.ptp(grid.y.edges) / np.ptp(grid.x.edges)) * grid.aspect()
    height = 3.2 * min(max(height_to_width, 0.5), 1.6)
    figure = new_figure((3.2 * columns + 1.3, (height + 0.45) * rows + 0.4))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    images = _draw_panels(axes, panels, grid, cmap or _colour_map(field))
    for ax in axes.flat[: len(panels)]:
        draw_statics(ax, statics, grid)
    _frame_maps(axes, grid, len(panels))
    _add_colour_bars(figure, axes, panels, images, field)
    figure.suptitle(_headline(field, label))
    return figure


def _variable(obj: xr.DataArray | xr.Dataset, name: str | None) -> xr.DataArray:
    if isinstance(obj, xr.DataArray):
        return obj
    names = cf.spatial_variables(obj, cf.find_axes(obj))
    if name is not None and name not in names:
        raise VariableError(
            f"variable={name!r} is not in the forecast (found: {', '.join(map(repr, names))})."
        )
    return obj[name if name is not None else names[0]]


def _same_quantity(obj: xr.DataArray | xr.Dataset, like: xr.DataArray, role: str) -> xr.DataArray:
    """Variable of `obj` with the name or the standard name of `like`, in its units."""
    if isinstance(obj, xr.Dataset):
        fields = cf.spatial_variables(obj, cf.find_axes(obj))
        wanted = {"name": str(like.name), "standard_name": like.attrs.get("standard_name")}
        obj = obj[cf.select_variable(obj, fields, role=role, **wanted)]
    return cf.convert_units(obj, cf.units_of(like))


def _time_label(field: xr.DataArray, time: Any) -> Any:
    """Label of the time to show, or None for a field without a time dimension."""
    dim = cf.find_axes(field).time
    if dim is None:
        return None
    index = field.indexes[dim]
    if isinstance(time, int | np.integer):
        if not -len(index) <= time < len(index):
            raise OptionError(
                f"time={time} is beyond the forecast's {len(index)} times. Use a smaller position."
            )
        return index[int(time)]
    try:
        # In a list or a partial date ("2022-06-01"), the first.
        return np.atleast_1d(field[dim].sel({dim: time}).values)[0]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise OptionError(
            f"time={time!r} is not in the forecast ({index[0]} to {index[-1]}). Use one of its "
            "times, or a position."
        ) from error


def _at(da: xr.DataArray, label: Any, role: str) -> xr.DataArray:
    dim = cf.find_axes(da).time
    if dim is None:
        return da
    if label is None:
        return da.isel({dim: 0})
    if label not in da.indexes[dim]:
        raise OptionError(
            f"the {role} has no time {label}. Choose with time=... one that all fields have."
        )
    return da.sel({dim: label})


def _panels(
    predictor: xr.DataArray | xr.Dataset,
    forecast: xr.DataArray,
    reference: xr.DataArray | xr.Dataset | None,
    label: Any,
    members: int,
) -> list[_Panel]:
    """Fields to show, computed, in reading order."""
    output = _at(forecast, label, "forecast")
    lr = _same_quantity(predictor, forecast, "predictor")
    fields = {"input": _at(lr, label, "predictor")}
    if "realization" in output.dims:
        for i in range(min(members, output.sizes["realization"])):
            fields[f"realization {i + 1}"] = output.isel(realization=i)
        fields["ensemble mean"] = output.mean("realization", keep_attrs=True)
        if output.sizes["realization"] > 1:
            fields["spread"] = output.std("realization", ddof=1, keep_attrs=True)
    else:
        fields["downscaled"] = output
    if reference is not None:
        truth = _same_quantity(reference, forecast, "reference")
        fields["truth"] = _at(truth, label, "reference")
    # All at once, so that each realization is sampled only once.
    (computed,) = dask.compute(fields)
    return [
        _Panel(title, ascending(da, cf.find_axes(da)).squeeze(drop=True), grid_of(da))
        for title, da in computed.items()
    ]


def _draw_panels(
    axes: np.ndarray, panels: Sequence[_Panel], grid: Grid, cmap: str
) -> list[ScalarMappable]:
    shown = [panel.field.values.ravel() for panel in panels if not panel.is_spread]
    values = np.concatenate(shown)
    values = values[np.isfinite(values)]
    # Tails cut: one extreme cell must not take the contrast from the map.
    low, high = np.percentile(values, [0.2, 99.8]) if values.size else (0.0, 1.0)
    images: list[ScalarMappable] = []
    for ax, panel in zip(axes.flat, panels, strict=False):
        style: dict[str, Any] = {"cmap": cmap, "vmin": low, "vmax": high}
        if panel.is_spread:
            style = {"cmap": "magma_r", "vmin": 0.0}
        x, y = drawn_edges(panel.grid, grid)
        images.append(ax.pcolormesh(x, y, panel.field.values, rasterized=True, **style))
        ax.set_title(panel.title, fontsize=10)
    return images


def _frame_maps(axes: np.ndarray, grid: Grid, count: int) -> None:
    x, y = drawn_edges(grid, grid)
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    for ax in axes.flat[:count]:
        ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), aspect=grid.aspect())
        ax.tick_params(labelsize=8)
        ax.locator_params(nbins=5)
        if grid.geographic:
            ax.xaxis.set_major_formatter(partial(_degrees, positive="E", negative="W"))
            ax.yaxis.set_major_formatter(partial(_degrees, positive="N", negative="S"))
    for column in axes.T:
        lowest = [ax for ax in column if ax.axison][-1]
        lowest.set_xlabel(grid.map_labels[1], fontsize=9)
        lowest.tick_params(labelbottom=True)
    for ax in axes[:, 0]:
        ax.set_ylabel(grid.map_labels[0], fontsize=9)


def _degrees(value: float, _: Any = None, *, positive: str, negative: str) -> str:
    value = (value + 180) % 360 - 180 if positive == "E" and value != 180 else value
    side = positive if value > 0 else negative if value < 0 else ""
    return f"{abs(value):g}°{side}"


def _add_colour_bars(
    figure: Figure,
    axes: np.ndarray,
    panels: Sequence[_Panel],
    images: Sequence[ScalarMappable],
    field: xr.DataArray,
) -> None:
    units = cf.units_of(field)
    style: dict[str, Any] = {"pad": 0.02, "aspect": 25}
    # With two rows each colour bar has a row of its own; otherwise they stand side by side.
    label = f"{field.name} / {units}"
    figure.colorbar(images[0], ax=axes[0, :], extend="both", label=label, **style)
    for panel, image in zip(panels, images, strict=True):
        if panel.is_spread:
            figure.colorbar(image, ax=axes[-1, :], label=f"spread / {units}", **style)


def _colour_map(field: xr.DataArray) -> str:
    dimension = {"K": "temperature", "degC": "temperature", "°C": "temperature"}
    quantity = f"{field.attrs.get('standard_name', '')} {dimension.get(cf.units_of(field), '')}"
    if "temperature" in quantity:
        return "RdYlBu_r"
    return "YlGnBu" if "precipitation" in quantity or "rain" in quantity else "viridis"


def _headline(field: xr.DataArray, label: Any) -> str:
    name = str(field.attrs.get("long_name") or field.attrs.get("standard_name") or field.name)
    if label is None:
        return name.replace("_", " ")
    text = str(label).replace("T", " ")
    # Seconds that are zero say nothing in a title.
    text = text.split(".")[0].removesuffix(":00")
    return f"{name.replace('_', ' ')}, {text}"
