"""Segments, triggers and journeys as people define them. Pure."""
