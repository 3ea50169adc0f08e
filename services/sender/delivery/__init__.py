"""One message, once, at the right pace: how it is decided. Pure but for what it is told to do."""
