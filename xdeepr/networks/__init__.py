"""Networks: plain torch, which knows nothing of xarray."""

from xdeepr.networks.registry import NETWORKS, build, network_class

__all__ = ["NETWORKS", "build", "network_class"]
