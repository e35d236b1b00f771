"""Run a training or an evaluation that a YAML file in the layout of DeepR describes.

Importing this package loads neither pydantic nor torch; each name is loaded when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xdeepr.deepr_compat.configuration.reading import read_configuration
    from xdeepr.deepr_compat.configuration.schema import Configuration
    from xdeepr.deepr_compat.configuration.workflow import Outcome, run

_LAZY = {
    "Configuration": "xdeepr.deepr_compat.configuration.schema",
    "Outcome": "xdeepr.deepr_compat.configuration.workflow",
    "read_configuration": "xdeepr.deepr_compat.configuration.reading",
    "run": "xdeepr.deepr_compat.configuration.workflow",
}

__all__ = ["Configuration", "Outcome", "read_configuration", "run"]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'xdeepr.deepr_compat.configuration' has no attribute {name!r}")
