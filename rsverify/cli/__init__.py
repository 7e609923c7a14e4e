"""The command line: one file a command, and what all of them print with."""
