"""TODO tiling."""
