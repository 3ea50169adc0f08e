"""What people may ask of whoever keeps their data: what they agreed to, to see all of it, that it
be used no longer, or kept no longer."""
