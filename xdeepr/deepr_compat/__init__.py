"""DeepR, the ancestor: its checkpoints and its YAML files in terms of xdeepr.

Entered by :func:`from_deepr`, :func:`run` and :func:`is_legacy` only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xdeepr.deepr_compat.checkpoints import from_deepr, is_legacy
    from xdeepr.deepr_compat.configuration import run

__all__ = ["from_deepr", "is_legacy", "run"]

_ROOMS = {"from_deepr": "checkpoints", "is_legacy": "checkpoints", "run": "configuration"}


def __getattr__(name: str) -> Any:
    """Import the door that is used: the two rooms need different libraries."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
