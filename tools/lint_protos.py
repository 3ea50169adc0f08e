"""Check the contracts with buf: its lint, its format, and that nothing promised on main breaks."""

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUF = Path(sys.executable).parent / "buf"


def passes(*arguments: str) -> bool:
    """Run buf; its findings go to the terminal."""
    return subprocess.run([BUF, *arguments], cwd=ROOT, check=False).returncode == 0


def promised(into: Path) -> str | None:
    """Put the contracts of main into a folder; its name, or None when there is no main."""
    for ref in ("origin/main", "main"):
        archive = subprocess.run(
            ["git", "archive", ref, "protos"], cwd=ROOT, capture_output=True, check=False
        )
        if archive.returncode == 0:
            with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
                files.extractall(into, filter="data")
            return ref
    return None


def main() -> None:
    """Exit with 1 when buf finds anything."""
    if not BUF.exists():
        sys.exit(f"contracts: {BUF} is not there; `make setup` installs it")
    checks = [passes("lint", "protos"), passes("format", "protos", "--diff", "--exit-code")]
    if not checks[1]:
        print("contracts: not formatted; `make fmt` does it")
    with tempfile.TemporaryDirectory() as folder:
        ref = promised(Path(folder))
        if ref is None:
            print("contracts: no main to compare with, breaking changes NOT checked")
        elif checks[0]:
            checks.append(passes("breaking", "protos", "--against", f"{folder}/protos"))
            if not checks[-1]:
                print(
                    f"contracts: this breaks callers built from {ref}; add fields, or a new version"
                )
    if not all(checks):
        sys.exit(1)
    print("contracts: lint, format and compatibility are fine")


if __name__ == "__main__":
    main()
