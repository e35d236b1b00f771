"""Networks: plain torch, which knows nothing of xarray."""

from xdeepr.networks.registry import NETWORKS, build

__all__ = ["NETWORKS", "build"]
