"""What tests and studies share: cases, mutants, models, slow loops to compare with."""
