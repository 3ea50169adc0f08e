"""What the sender asks of Meta and of the other services."""
