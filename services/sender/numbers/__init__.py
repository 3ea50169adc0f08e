"""Business numbers: what is known of them, and which one a message goes from."""
