"""Compiled code of the bounds of means, from samples in [0, 1]."""
