"""Reference implementations of every bound in mpmath; the runtime never imports them."""
