"""High-precision mpmath twins of every bound; the runtime never imports them."""
