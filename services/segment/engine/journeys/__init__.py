"""Journeys: what they are, and where each contact in one goes when. Pure."""
