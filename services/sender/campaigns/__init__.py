"""Campaigns: who of an audience gets which variant, and when; launched, steered, watched."""
