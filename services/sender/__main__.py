"""Run the sender: `python -m services.sender`; its migrations: `… migrate`."""

from chassis.app import command
from services.sender.app import MIGRATIONS, main

command("sender", MIGRATIONS, main)
