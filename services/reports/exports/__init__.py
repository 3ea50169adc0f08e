"""Answers as files: made in the background, fetched or delivered."""
