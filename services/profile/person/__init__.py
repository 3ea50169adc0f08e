"""What is known of a person, and how what happens changes it. Pure."""
