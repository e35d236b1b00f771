"""Checkpoints that DeepR, the predecessor of this package, published."""

from xdeepr.deepr_compat.checkpoints.layouts import is_legacy
from xdeepr.deepr_compat.checkpoints.loading import from_deepr

__all__ = ["from_deepr", "is_legacy"]
