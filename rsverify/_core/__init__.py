"""What every family imports and what imports none of them: checks, compilation, locks, progress."""
