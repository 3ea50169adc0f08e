"""The processes of a running suite, as a test finds and treats them from outside."""

import signal
from contextlib import suppress
from pathlib import Path

import psutil

from cli.stack import Addresses

SERVERS = {"postgres": "postgres", "redis": "redis-server"}
"""What the embedded servers' programs are called."""


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
