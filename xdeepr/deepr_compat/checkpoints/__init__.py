"""Checkpoints that DeepR, the predecessor of this package, published."""
