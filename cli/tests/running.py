"""The command as a person or a script runs it, against a service of a test."""

import asyncio
import sys
from pathlib import Path
from typing import Any

MERHABA = Path(sys.executable).parent / "merhaba"
Ended = tuple[int, str, str]
"""Exit code, output and errors."""


async def started(
    *arguments: str, columns: int = 200, cwd: Path | None = None, **environment: str
) -> asyncio.subprocess.Process:
    """The command, running. `environment`: where the service is, and what opens it."""
    return await asyncio.create_subprocess_exec(
        *(MERHABA, *arguments),
        env={"PLAINTEXT": "true", "COLUMNS": str(columns), **environment},
        cwd=cwd,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(program: asyncio.subprocess.Process, said: str = "") -> Ended:
    """How it ends, once everything was said to it."""
    output, errors = await program.communicate(said.encode())
    return program.returncode or 0, output.decode(), errors.decode()


async def ran(*arguments: str, said: str = "", **more: Any) -> Ended:
    """How it ends."""
    return await ended(await started(*arguments, **more), said)
