"""Draw from the distribution a denoiser knows: noise, levels, solvers. Knows no xarray."""
