"""What a dataset says of itself, by the CF conventions: axes, fields, units, attributes."""

from xdeepr.cf.attributes import append_history, history_line, lasting_attrs
from xdeepr.cf.axes import (
    LATITUDE_UNITS,
    LONGITUDE_UNITS,
    Axes,
    check_time,
    find_axes,
    holds_times,
)
from xdeepr.cf.units import convert_units, units_of
from xdeepr.cf.variables import (
    as_dataset,
    select_variable,
    spatial_variables,
    without_fill_values,
)

__all__ = [
    "LATITUDE_UNITS",
    "LONGITUDE_UNITS",
    "Axes",
    "append_history",
    "as_dataset",
    "check_time",
    "convert_units",
    "find_axes",
    "history_line",
    "holds_times",
    "lasting_attrs",
    "select_variable",
    "spatial_variables",
    "units_of",
    "without_fill_values",
]
