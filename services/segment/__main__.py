"""Runs the segment service, or with `migrate` brings its schema up to date."""

from chassis.app import command
from services.segment.app import MIGRATIONS, main

command("segment", MIGRATIONS, main)
