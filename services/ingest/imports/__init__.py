"""Files on their way in: what their rows say, and how far each import is."""
