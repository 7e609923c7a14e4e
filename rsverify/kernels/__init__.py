"""Compiled scalar kernels and their array loops: no validation, float64 only."""
