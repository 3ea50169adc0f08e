"""`python -m services.profile`."""

from pathlib import Path

from chassis.app import command
from services.profile.app import main

command("profile", Path(__file__).parent / "migrations", main)
