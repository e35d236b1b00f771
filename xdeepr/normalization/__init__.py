"""Maps of a field to the space in which it is learnt, and back."""

from xdeepr.normalization.affine import (
    METHODS,
    Method,
    Moments,
    Normalization,
    Window,
    field_statistics,
)

__all__ = ["METHODS", "Method", "Moments", "Normalization", "Window", "field_statistics"]
