"""Latitude and longitude of map coordinates; pyproj is loaded where it is safe.

The wheels of pyproj and of ecCodes (which cfgrib brings, and which xarray loads to look at any
file) each carry their own PROJ library. Loaded in the order ecCodes, pyproj they crash the
process; the other way round they get along. So ``import xdeepr`` loads pyproj at once, and never
loads it after ecCodes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from xdeepr.checks import warn

METRES = {"m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0, "km": 1000.0}
"""Unit of map coordinates that is understood -> its length in m."""


def load_pyproj() -> ModuleType | None:
    """Return pyproj; None where it is not installed or, with a warning, ecCodes came first."""
    if "pyproj" not in sys.modules and "eckitlib" in sys.modules:  # ecCodes from its wheel
        warn(
            "2-D latitude and longitude of projected grids are left out: ecCodes was loaded before"
            " pyproj, and the two crash in this order. Import xdeepr before opening files."
        )
        return None
    try:
        return import_module("pyproj")
    except ImportError:
        return None


def geographic(
    x: np.ndarray, y: np.ndarray, name: str, attrs: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return latitude and longitude of points in map coordinates, in metres or rotated degrees.

    By a grid mapping variable's name and attributes (CF 1.11, appendix F). None if pyproj cannot be
    loaded or, with a warning, does not understand them.
    """
    pyproj = load_pyproj()
    if pyproj is None:
        return None
    try:
        crs = pyproj.CRS.from_cf(dict(attrs))
        # a rotated pole is a geographic system itself, derived from the one that is wanted
        base = crs.source_crs if crs.is_geographic and crs.is_derived else crs.geodetic_crs
        transformer = pyproj.Transformer.from_crs(crs, base, always_xy=True)
    except (pyproj.exceptions.ProjError, KeyError, TypeError, ValueError) as error:
        warn(
            f"grid mapping {name!r} is not understood ({error!r}), so the 2-D latitude and"
            " longitude are left out: correct its attributes."
        )
        return None
    longitude, latitude = transformer.transform(x, y)
    return latitude, longitude


def why_not_geographic(name: str, strange_unit: str | None) -> str:
    """Return why :func:`geographic` has no answer, and what to do.

    `strange_unit` is that of the map coordinates if it is none of :data:`METRES`.
    """
    if load_pyproj() is None:
        return (
            "pyproj is not there: install it (pip install 'xdeepr[geo]'), and import xdeepr before"
            " files are opened."
        )
    if strange_unit is not None:
        return (
            f"the coordinates have the units {strange_unit!r}: convert them to metres ('m') or"
            " kilometres ('km')."
        )
    return f"the grid mapping {name!r} is not understood (see the warning): correct its attributes."
