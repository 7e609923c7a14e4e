"""What a certificate assumes of a model, probed before its votes count."""
