"""Stage 1: counts or scores to a confidence bound, one family a file."""
