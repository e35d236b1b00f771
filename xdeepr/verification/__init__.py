"""Verification of downscaled fields against a reference, beside a baseline.

The registry of scores is at hand at once, as for the help of the command line; the verb itself
loads dask and is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xdeepr.verification.metrics import METRICS, Metric, crps, energy_score, metric

if TYPE_CHECKING:
    from xdeepr.verification.compare import verify
    from xdeepr.verification.report import score_table

__all__ = ["METRICS", "Metric", "crps", "energy_score", "metric", "score_table", "verify"]

_LAZY = {"score_table": "report", "verify": "compare"}


def __getattr__(name: str) -> Any:
    """Import the verb and its table when they are first used."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
