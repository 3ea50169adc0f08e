"""Knows who belongs where, now, and what must start because of it."""
