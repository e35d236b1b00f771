"""Where cells lie: axes, kinds of grids, nesting, and the verbs coarsen and nest."""
