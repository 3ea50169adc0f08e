"""Alerts: what somebody should know, found, told once, until it is over."""
