"""`merhaba up` and `merhaba down`: the stack without a terminal."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import Final

from chassis.failures import Misconfigured
from cli import stack
from cli.place import Place

_START_TIMEOUT_S: Final = 120
_STOP_TIMEOUT_S: Final = 60


def up(place: Place) -> str:
    """Start a stack that stays; returns its addresses as one line of JSON, once it is ready."""
    if (holder := place.holder()) is not None:
        raise Misconfigured(
            f"a stack is running on {place.folder} already (process {holder});"
            " `merhaba down` stops it"
        )
    place.folder.mkdir(parents=True, exist_ok=True)
    with (place.folder / "stack.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "keep-up"],
            env={**os.environ, "MERHABA_DATA": str(place.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    if not line:
        process.wait(_START_TIMEOUT_S)
        words = (place.folder / "stack.log").read_text(errors="replace").strip().splitlines()
        raise Misconfigured(words[-1] if words else "the stack did not start and said nothing")
    return line.strip()


async def keep_up(place: Place) -> None:
    """Run a stack until told to stop; prints one line of JSON when it is ready."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with stack.running(place, lambda text: print(text, file=sys.stderr)) as running:  # noqa: T201
        print(running.addresses().as_json(), flush=True)  # noqa: T201 - a command's answer
        await stop.wait()


def down(place: Place) -> bool:
    """Stop the stack of this place; False when none runs."""
    holder = place.holder()
    if holder is None:
        return False
    os.kill(holder, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while place.holder() is not None:
        if time.monotonic() > deadline:
            raise Misconfigured(f"process {holder} does not stop; see {place.folder}/stack.log")
        time.sleep(0.05)
    return True
