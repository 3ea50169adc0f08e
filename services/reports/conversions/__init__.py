"""Definitions of success: which events of the business count, and for what."""
