"""Attributes: which are sound, which last, and the line of history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from xdeepr._version import __version__
from xdeepr.errors import VariableError

_TEXTS = (
    "units",
    "standard_name",
    "axis",
    "bounds",
    "climatology",
    "grid_mapping",
    "coordinates",
    "cell_methods",
    "calendar",
)
"""Attributes that are looked at and have to be text; a number is read as its text."""

# they describe the numbers or the grid of the input file, not of the result
_STALE_ATTRS = frozenset(
    [
        "_FillValue",
        "missing_value",
        "scale_factor",
        "add_offset",
        "valid_range",
        "valid_min",
        "valid_max",
        "actual_range",
        "grid_mapping",
        "coordinates",
        "ancillary_variables",
        "cell_measures",
    ]
)


def check_attrs(obj: xr.DataArray | xr.Dataset) -> None:
    """Refuse attributes of a kind that would fail far from here, inside another library."""
    if isinstance(obj, xr.Dataset):
        variables: dict[Any, Any] = dict(obj.variables)
    else:
        variables = {**obj.coords, obj.name: obj}
    for name, variable in variables.items():
        for key in _TEXTS:
            value = variable.attrs.get(key, variable.encoding.get(key))
            if isinstance(value, np.ndarray | list | tuple):
                raise VariableError(
                    f"{name!r} has the attribute {key} with {len(value)} values where a text"
                    f" belongs: correct it, for example del ds[{name!r}].attrs[{key!r}]."
                )
        for key in ("scale_factor", "add_offset"):
            value = variable.encoding.get(key, 1.0)
            if not np.issubdtype(np.asarray(value).dtype, np.number) or np.size(value) != 1:
                raise VariableError(
                    f"{name!r} was stored with the {key} {str(value)[:100]!r}, which is no number:"
                    " the file is damaged; mend the attribute, or write the file again."
                )


def lasting_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a field without those that belong to its file or its grid."""
    kept = {k: v for k, v in attrs.items() if k not in _STALE_ATTRS and not k.startswith("GRIB_")}
    if kept.get("standard_name") == "unknown":  # cfgrib's word for "none"
        del kept["standard_name"]
    return kept


def history_line(text: str) -> str:
    """Return a line for the ``history`` attribute, with date and version."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # the name of a model is in it, and may be anyone's: it may not forge a line of its own
    line = "".join(c if c.isprintable() else " " for c in text)
    return f"{now} xdeepr {__version__}: {line}"


def append_history(attrs: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return attributes with a line put in front of ``history``."""
    old = str(attrs.get("history", "")).strip()
    return {**attrs, "history": "\n".join(filter(None, [history_line(text), old]))}
