"""What profile keeps in Postgres."""
