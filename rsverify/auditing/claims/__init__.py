"""Claims other than coverage: tests, e-values, prediction sets, several hypotheses at once."""
