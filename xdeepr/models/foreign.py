"""The door to models of another make: one name, behind which is DeepR."""

from __future__ import annotations

from importlib import import_module
from typing import Any

FOREIGN = "xdeepr.deepr_compat"
"""Has ``is_legacy(folder)`` and ``from_deepr(folder)``; by name, for it builds on this wing."""


def foreign() -> Any:
    """Return the module that reads folders of another make."""
    return import_module(FOREIGN)
