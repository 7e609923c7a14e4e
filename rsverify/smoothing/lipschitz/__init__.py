"""Guaranteed Lipschitz constants of torch modules, operation by operation."""
