"""Keys of contacts, and what is sealed with them."""
