"""Who belongs where, and what must start because of it. Pure."""
