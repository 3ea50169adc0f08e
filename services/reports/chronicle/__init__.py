"""All that happened to one person, and why."""
