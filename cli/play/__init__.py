"""Playing the sample data: a real shop's history, then its last orders as they happen."""
