"""Models of all kinds: loaded, and made to map a batch to scores."""
