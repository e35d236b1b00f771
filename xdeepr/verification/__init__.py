"""Verification of downscaled fields against a reference, beside a baseline."""

from __future__ import annotations

from xdeepr.verification.compare import verify
from xdeepr.verification.metrics import METRICS, Metric, crps, energy_score, metric
from xdeepr.verification.report import score_table

__all__ = ["METRICS", "Metric", "crps", "energy_score", "metric", "score_table", "verify"]
