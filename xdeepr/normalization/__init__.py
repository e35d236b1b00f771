"""Transforms: maps of a field to the space in which it is learnt, and back."""

from xdeepr.normalization.affine import Affine
from xdeepr.normalization.chain import (
    TRANSFORMS,
    Chain,
    links,
    read_transform,
    within,
    write_transform,
)
from xdeepr.normalization.moments import Moments, field_statistics
from xdeepr.normalization.summaries import METHODS, Method
from xdeepr.normalization.transform import Transform
from xdeepr.normalization.transforms import Log, Sqrt

__all__ = [
    "METHODS",
    "TRANSFORMS",
    "Affine",
    "Chain",
    "Log",
    "Method",
    "Moments",
    "Sqrt",
    "Transform",
    "field_statistics",
    "links",
    "read_transform",
    "within",
    "write_transform",
]
