"""Verification of downscaled fields against a reference, beside a baseline."""

from __future__ import annotations

from xdeepr.verification.compare import SCORES, verify
from xdeepr.verification.deterministic import deterministic_scores, deterministic_statistics
from xdeepr.verification.ensemble import (
    crps,
    ensemble_scores,
    ensemble_statistics,
    single_field_scores,
)
from xdeepr.verification.report import score_table

__all__ = [
    "SCORES",
    "crps",
    "deterministic_scores",
    "deterministic_statistics",
    "ensemble_scores",
    "ensemble_statistics",
    "score_table",
    "single_field_scores",
    "verify",
]
