"""What ingest holds of one person: to be shown to them, and to be erased."""
