"""Noise of smoothed classifiers: the protocol, and one file a distribution."""
