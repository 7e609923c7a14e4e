"""Inputs of all kinds: read, checked, and told apart by their hashes."""
