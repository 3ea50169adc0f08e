"""Measurements: `make bench NAME=x`; the last line each prints is one JSON object."""
