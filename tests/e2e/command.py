"""The command as a person or a script runs it."""

import os
import subprocess
import sys
from pathlib import Path

MERHABA = Path(sys.executable).parent / "merhaba"


def merhaba(
    *arguments: str, data: Path, timeout: float = 150, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; nothing is typed into it."""
    return subprocess.run(
        [MERHABA, *arguments],
        env={**os.environ, "MERHABA_DATA": str(data), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
