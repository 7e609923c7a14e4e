"""Claims that are right and wrong, each with its truth computed apart from the auditor."""
