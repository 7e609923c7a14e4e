"""From coverage to reports: by enumeration, along staircases, by simulation."""
