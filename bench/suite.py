"""The suite as a benchmark needs it: on a folder of its own, forgotten at the end."""

import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cli import stack
from cli.place import Place


def note(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)


@asynccontextmanager
async def suite(services: Sequence[str] = stack.SERVICES) -> AsyncIterator[stack.Stack]:
    """Some services, running for as long as the block does."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
    folder.chmod(0o755)  # Postgres runs as another user when we are root
    try:
        async with stack.running(Place(folder), note, services) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)
