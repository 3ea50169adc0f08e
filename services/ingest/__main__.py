"""`python -m services.ingest` runs it; `… migrate` brings its schema up to date."""

from pathlib import Path

from chassis.app import command
from services.ingest.app import main

if __name__ == "__main__":
    command("ingest", Path(__file__).parent / "migrations", main)
