"""Coverage by seeded simulation: blocks that replay alone, sequential verdicts, search."""
