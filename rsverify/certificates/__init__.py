"""From margins and scores to certificates: radii, abstentions with their reason."""
