"""What segment keeps in Postgres."""
