"""Pictures: maps of a downscaled field, scores, rank histograms and training curves.

matplotlib is imported when a figure is made. Figures are built without pyplot: they need no
display, leave no global state, and show themselves in a notebook when they are returned.
"""

from __future__ import annotations

from xdeepr.plotting.charts import plot_rank_histogram, plot_scores, plot_training
from xdeepr.plotting.maps import plot_downscaling

__all__ = ["plot_downscaling", "plot_rank_histogram", "plot_scores", "plot_training"]
