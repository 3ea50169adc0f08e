"""`python -m tests.chaos --seed N --seconds N`: misfortunes for a whole suite on this machine."""

import argparse
import asyncio
import json
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import run
from tests.chaos.suite import started


def main() -> int:
    """Runs a suite, and tells as one line of JSON what came of it."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--people", type=int, default=400)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir="/var/tmp"))
    folder.chmod(0o755)  # Postgres runs as another user when we are root

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - for whoever waits

    kept = False  # then its folder stays, with the logs
    say("starting a suite")
    try:
        with started(folder) as (addresses, relays):
            told = asyncio.run(run(addresses, relays, given.seed, given.seconds, given.people, say))
            kept = not told["broken"]
            if not kept:
                told["logs"] = str(folder / "logs")
            print(json.dumps(told), flush=True)  # noqa: T201 - a command's answer
    finally:
        if kept:
            shutil.rmtree(folder, ignore_errors=True)
        say(f"repeat with: make chaos SEED={given.seed} SECONDS={given.seconds:.0f}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
