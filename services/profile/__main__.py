"""`python -m services.profile`; with `rotate` it wraps all keys by the present master key."""

import sys
from pathlib import Path

from chassis.app import command, run
from services.profile import rotation
from services.profile.app import main

if sys.argv[1:] == ["rotate"]:
    run(rotation.main)
else:
    command("profile", Path(__file__).parent / "migrations", main)
