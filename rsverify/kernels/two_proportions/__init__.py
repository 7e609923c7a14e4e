"""Exact limits for two independent proportions: ordering, tail, enclosed supremum, search."""
