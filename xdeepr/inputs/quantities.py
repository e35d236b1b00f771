"""The fields that go into and come out of a model, found in datasets and stacked into arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.errors import AxisError, MissingValuesError, VariableError
from xdeepr.grids import Grid, ascending
from xdeepr.inputs.times import time_text

_KEPT_ATTRS = ("standard_name", "long_name", "cell_methods")


@dataclass(frozen=True)
class Quantity:
    """A physical field that goes into or comes out of a model.

    Parameters
    ----------
    units : str
        Units of the numbers the model works with.
    attrs : mapping
        Further CF attributes (``standard_name``, ``long_name``, ``cell_methods``, …).
    """

    name: str
    units: str
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def standard_name(self) -> str | None:
        """CF standard name, if there is one."""
        return self.attrs.get("standard_name")


def describe(da: xr.DataArray) -> Quantity:
    """Return name, units and naming attributes of a field."""
    name = str(da.name)
    if not name.isprintable() or "/" in name:
        raise VariableError(
            f"{name!r} cannot be the name of a variable in a file: rename it, for example"
            f" ds.rename({{{name!r}: 'field'}})."
        )
    attrs = {key: da.attrs[key] for key in _KEPT_ATTRS if isinstance(da.attrs.get(key), str)}
    if attrs.get("standard_name") == "unknown":  # cfgrib's word for "none"
        del attrs["standard_name"]
    return Quantity(str(da.name), cf.units_of(da), attrs)


def stack_fields(
    source: cf.Gridded[Grid], quantities: Sequence[Quantity], *, role: str
) -> xr.DataArray:
    """Stack fields into one lazy array in the units that are asked for: float32, ascending.

    Its dimensions are (time, channel, y, x) under the names the dataset uses; without a dimension
    of time it gets one of size 1. `role` is for error messages.
    """
    axes, fields = source.axes, []
    for quantity in quantities:
        name = source.variable(quantity.name, quantity.standard_name, role=role)
        field = cf.without_fill_values(source.dataset[name])
        field = ascending(cf.convert_units(field, quantity.units), axes)
        extra = set(map(str, field.dims)) - {axes.y, axes.x, axes.time}
        if extra:
            raise AxisError(
                f"{role} {name!r} has the further dimension {sorted(extra)[0]!r}: select one entry"
                f" first, for example ds.isel({sorted(extra)[0]}=0)."
            )
        if axes.time is not None and axes.time not in field.dims:
            raise AxisError(
                f"{role} {name!r} does not vary along {axes.time!r}: drop it from the data and give"
                " static fields as covariates=."
            )
        field = field.reset_coords(drop=True).astype("float32")
        if axes.time is None:
            field = field.expand_dims("time")
        fields.append(field.variable)
    stacked = xr.Variable.concat(fields, dim="channel")
    return xr.DataArray(stacked).transpose(axes.time or "time", "channel", axes.y, axes.x)


def check_finite(values: np.ndarray, names: Sequence[str], times: Any, role: str) -> None:
    """Refuse missing values in fields (time, channel, y, x); the rest is for the message."""
    finite = np.isfinite(values)
    if finite.all():
        return
    time, channel = np.argwhere(~finite.all(axis=(2, 3)))[0]
    count = int((~finite[time, channel]).sum())
    raise MissingValuesError(
        f"{role} {names[channel]!r} has {count} missing or infinite values at"
        f" {time_text(times[time])}:"
        " fill them (for example ds.interpolate_na or ds.fillna) or select a part without them."
    )
