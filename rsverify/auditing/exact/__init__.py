"""Exact coverage of bounds of counts: by enumeration, on curves, along staircases."""
