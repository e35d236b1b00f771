"""DeepR, the ancestor: its checkpoints and its YAML files in terms of xdeepr.

This is the one door: ``from_deepr`` and ``is_legacy`` for checkpoints, ``run`` for YAML files and
``add_command`` for the command line. `tests/deepr_compat/test_door.py` holds it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xdeepr.deepr_compat.checkpoints.layouts import is_legacy
    from xdeepr.deepr_compat.checkpoints.loading import from_deepr
    from xdeepr.deepr_compat.configuration.command import add_command
    from xdeepr.deepr_compat.configuration.workflow import run

_ROOMS = {
    "add_command": "configuration.command",
    "from_deepr": "checkpoints.loading",
    "is_legacy": "checkpoints.layouts",
    "run": "configuration.workflow",
}

__all__ = ["add_command", "from_deepr", "is_legacy", "run"]


def __getattr__(name: str) -> Any:
    """Import the room that is entered: each needs other libraries."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
