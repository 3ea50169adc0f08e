"""The suite as a benchmark needs it: on a folder of its own, forgotten at the end."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from cli import stack
from cli.place import Place


def note(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def passing_folder() -> Iterator[Path]:
    """A folder for servers, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="merhaba-passing-", dir="/var/tmp"))
    folder.chmod(0o755)  # Postgres runs as another user when we are root
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def suite(services: Sequence[str] = stack.SERVICES) -> AsyncIterator[stack.Stack]:
    """Some services, running for as long as the block does."""
    with passing_folder() as folder:
        async with stack.running(Place(folder), note, services) as running:
            yield running


@asynccontextmanager
async def replica(running: stack.Stack, service: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """One more process of a service, for as long as the block runs or until somebody kills it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"services.{service}"),
        env={**running.environment(service), "GRPC_PORT": "0", "API_PORT": "0"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
