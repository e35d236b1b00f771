"""Training: from pairs of LR and HR fields to a model."""

from xdeepr.training.fitting import fit

__all__ = ["fit"]
