"""What equality means here, and checks that others can run on parts of their own."""

from xdeepr.testing.equality import SHARE_OF_DEVIATION, ULPS, assert_same_field, tolerance
from xdeepr.testing.gaussian import check_guidance, check_solver
from xdeepr.testing.metrics import check_metric
from xdeepr.testing.networks import check_network
from xdeepr.testing.transforms import check_transform

__all__ = [
    "SHARE_OF_DEVIATION",
    "ULPS",
    "assert_same_field",
    "check_guidance",
    "check_metric",
    "check_network",
    "check_solver",
    "check_transform",
    "tolerance",
]
