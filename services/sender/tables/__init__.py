"""What the sender keeps in Postgres."""
