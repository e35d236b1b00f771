"""A training or an evaluation that a YAML file in the layout of DeepR describes."""
