"""The front door: what Meta and the business post becomes events on the log, once."""
