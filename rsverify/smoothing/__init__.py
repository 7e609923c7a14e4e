"""Torch: a model and an input to counts or scores, and the classifier that certifies."""
