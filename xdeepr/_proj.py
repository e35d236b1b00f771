"""Load pyproj where it is safe.

The wheels of pyproj and of ecCodes (which cfgrib brings, and which xarray loads to look at any
file) each carry their own PROJ library. Loaded in the order ecCodes, pyproj they crash the
process; the other way round they get along. So ``import xdeepr`` loads pyproj at once, and never
loads it after ecCodes.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from types import ModuleType


def load_pyproj() -> ModuleType | None:
    """Return pyproj, or None where it is not installed or cannot be loaded safely.

    Returns
    -------
    module or None
        With a warning if ecCodes was loaded first.
    """
    if "pyproj" not in sys.modules and "eckitlib" in sys.modules:  # ecCodes from its wheel
        warnings.warn(
            "2-D latitude and longitude of projected grids are left out: ecCodes was loaded before"
            " pyproj, and the two crash in this order. Import xdeepr before opening files.",
            stacklevel=2,
        )
        return None
    try:
        return import_module("pyproj")
    except ImportError:
        return None
