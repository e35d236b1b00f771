"""The verb ``downscale``: find the model, plan, compute block by block, give back CF data."""

from xdeepr.downscaling.verb import downscale, downscaled, interpolate

__all__ = ["downscale", "downscaled", "interpolate"]
