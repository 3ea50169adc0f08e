"""The weather where contacts are: fetched by cell, kept, and told to those who are there."""
