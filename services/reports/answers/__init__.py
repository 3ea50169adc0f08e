"""Answers to what is asked: measures by dimensions over a period."""
