"""Recorded rates: reading the files that others wrote, and what an epoch sees of them."""
