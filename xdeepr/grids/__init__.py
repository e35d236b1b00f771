"""TODO grids."""
