"""Files that callers bring, and media up to Meta and down from it."""
