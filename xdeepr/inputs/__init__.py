"""From datasets to the arrays a model reads."""
