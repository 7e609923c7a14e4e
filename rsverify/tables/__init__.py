"""Certification tables: read, written, merged, recertified, analyzed, drawn."""
