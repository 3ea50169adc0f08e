"""Experiments: which variant is better, by what, at what risk."""
