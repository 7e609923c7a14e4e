"""Compiled code of the bounds of margins, from vote counts."""
