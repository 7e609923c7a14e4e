"""Bounds beside each other: coverage, gaps on the same data, the limit of any bound, speed."""
