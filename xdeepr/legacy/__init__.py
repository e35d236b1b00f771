"""Checkpoints that DeepR, the predecessor of this package, published."""

from xdeepr.legacy.known import KNOWN
from xdeepr.legacy.layouts import is_legacy
from xdeepr.legacy.loading import from_deepr

__all__ = ["KNOWN", "from_deepr", "is_legacy"]
