"""`python -m tests.chaos --seed N --seconds N`: misfortunes for a whole suite on this machine."""

import argparse
import asyncio
import json
import secrets
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from cli.stack import SERVICES, Addresses
from tests.chaos.relays import Relays
from tests.chaos.run import run
from tests.chaos.suite import inner_port
from tests.e2e.command import merhaba


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
    with Relays(SERVICES, partial(inner_port, folder)).running() as relays:
        try:
            say("starting a suite")
            environment = {
                **relays.targets,
                "MERHABA_INGEST_WORKERS": "2",
                "LOG_CLAIM_IDLE_MS": "2000",
                "CALL_TIMEOUT_S": "3",
            }
            started = merhaba("up", "--json", data=folder, timeout=150, **environment)
            if started.returncode:
                say(started.stderr)
                return 2
            addresses = Addresses(**json.loads(started.stdout.strip().splitlines()[-1]))
            told = asyncio.run(run(addresses, relays, given.seed, given.seconds, given.people, say))
            kept = not told["broken"]
            if not kept:
                told["logs"] = str(folder / "logs")
            print(json.dumps(told), flush=True)  # noqa: T201 - a command's answer
        finally:
            merhaba("down", data=folder)
            if kept:
                shutil.rmtree(folder, ignore_errors=True)
            say(f"repeat with: make chaos SEED={given.seed} SECONDS={given.seconds:.0f}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
