"""`python -m services.reports` runs the service; with `migrate` it brings its schema up to date."""

from chassis.app import command
from services.reports.app import MIGRATIONS, main

command("reports", MIGRATIONS, main)
