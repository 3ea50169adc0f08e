"""A suite of a run's own, and its processes as a test finds and treats them from outside."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil

from cli.stack import SERVICES, Addresses
from tests.chaos.relays import Relays
from tests.e2e.command import merhaba

_SETTINGS = {
    "MERHABA_INGEST_WORKERS": "2",
    "LOG_CLAIM_IDLE_MS": "2000",
    # A message is in doubt as soon as the lease of a sender that died ends, which is as long as
    # the longest call and half a minute
    "CALL_TIMEOUT_S": "3",
    "MEDIA_TIMEOUT_S": "5",
}
SERVERS = {"postgres": "postgres", "redis": "redis-server"}
"""What the embedded servers' programs are called."""


@contextmanager
def started(folder: Path) -> Iterator[tuple[Addresses, Relays]]:
    """A suite on a folder for as long as the block runs, with relays between all its services.

    Raises `RuntimeError` with the last words of what does not start.
    """
    with Relays(SERVICES, partial(inner_port, folder)).running() as relays:
        try:
            up = merhaba("up", "--json", data=folder, timeout=300, **relays.targets, **_SETTINGS)
            if up.returncode:
                raise RuntimeError(up.stderr)
            yield Addresses(**json.loads(up.stdout.strip().splitlines()[-1])), relays
        finally:
            merhaba("down", data=folder)


def processes(addresses: Addresses, part: str) -> list[psutil.Process]:
    """Those of a service or an embedded server as they run now."""
    found = []
    for child in psutil.Process(addresses.pid).children():
        with suppress(psutil.NoSuchProcess):
            command = child.cmdline()
            if part in SERVERS:
                own = child.name() == SERVERS[part]
            else:
                own = command[-1:] == [f"services.{part}"]
            if own and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def tell(process: psutil.Process, number: signal.Signals) -> None:
    """A signal, if the process is still there."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def inner_port(data: Path, service: str) -> int | None:
    """Where a service of the suite on this folder listens for the others, once it is started."""
    try:
        stack = psutil.Process(int((data / "stack.pid").read_text()))
        for child in stack.children():
            if child.cmdline()[-1:] == [f"services.{service}"]:
                return int(child.environ()["GRPC_PORT"])
    except (OSError, ValueError, KeyError, psutil.Error):
        return None  # not yet
    return None
