"""What a dataset says of itself, by the CF conventions: axes, fields, units, attributes."""

from xdeepr.cf.attributes import append_history, history_line, lasting_attrs
from xdeepr.cf.axes import LATITUDE_UNITS, Axes, find_axes
from xdeepr.cf.gridded import Gridded
from xdeepr.cf.times import at_valid_times, check_time, holds_times, valid_time
from xdeepr.cf.units import convert_units, units_of
from xdeepr.cf.variables import (
    as_dataset,
    select_variable,
    spatial_variables,
    without_bounds,
    without_fill_values,
)

__all__ = [
    "LATITUDE_UNITS",
    "Axes",
    "Gridded",
    "append_history",
    "as_dataset",
    "at_valid_times",
    "check_time",
    "convert_units",
    "find_axes",
    "history_line",
    "holds_times",
    "lasting_attrs",
    "select_variable",
    "spatial_variables",
    "units_of",
    "valid_time",
    "without_bounds",
    "without_fill_values",
]
