"""The data folder of a machine's stack: where things lie, its secrets, and who holds it."""

import base64
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from chassis import embedded
from chassis.failures import Misconfigured

_DEFAULT: Final = ".data"


def _token() -> str:
    return secrets.token_urlsafe(24)


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made on the first start and kept, so that what was signed yesterday is good today."""

    api_token: str = field(default_factory=_token)
    app_secret: str = field(default_factory=_token)
    verify_token: str = field(default_factory=_token)
    write_key: str = field(default_factory=_token)
    access_token: str = field(default_factory=_token)
    control_token: str = field(default_factory=_token)
    dashboard_token: str = field(default_factory=_token)
    dashboard_manager_token: str = field(default_factory=_token)
    archive_index_key: str = field(default_factory=_token)
    link_key: str = field(default_factory=_token)
    master_key: str = field(default_factory=_key)
    index_key: str = field(default_factory=_key)


@dataclass(frozen=True, slots=True)
class Place:
    """A data folder."""

    folder: Path

    @property
    def logs(self) -> Path:
        """What each process says."""
        return self.folder / "logs"

    def secrets(self) -> Secrets:
        """The secrets of this place; what is missing is made."""
        file = self.folder / "secrets.json"
        kept = json.loads(file.read_text()) if file.exists() else {}
        own = Secrets(**kept)
        if asdict(own) != kept:
            file.touch(mode=0o600)
            file.write_text(json.dumps(asdict(own)))
        return own

    @property
    def certificates(self) -> Path:
        """An authority of this place, and what it made for each service."""
        return self.folder / "certificates"

    @property
    def keys(self) -> Path:
        """The API keys of people and tools."""
        return self.folder / "keys.json"

    @property
    def addresses(self) -> Path:
        """Where a running stack tells its addresses and secrets, for the other commands."""
        return self.folder / "addresses.json"

    def next_run(self) -> int:
        """Numbers the plays of the sample data, from 1."""
        file = self.folder / "runs"
        number = int(file.read_text()) + 1 if file.exists() else 1
        file.write_text(str(number))
        return number

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the place for as long as the block runs: one stack a folder.

        The operating system lets go when the process ends, however it ends.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        with (self.folder / "stack.pid").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Misconfigured(
                    f"a stack is running on {self.folder} already; `merhaba down` stops it"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)

    def holder(self) -> int | None:
        """The process that runs a stack here, or None."""
        try:
            with (self.folder / "stack.pid").open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(file.read() or 0) or None
        except FileNotFoundError:
            pass
        return None

    def forget(self) -> None:
        """Remove everything. Refused while a stack runs here."""
        if self.holder() is not None:
            raise Misconfigured(f"a stack is running on {self.folder}; `merhaba down` stops it")
        if self.folder.exists():
            embedded.forget(self.folder)
            shutil.rmtree(self.folder)


def place() -> Place:
    """The place that MERHABA_DATA names, or `.data` here."""
    return Place(Path(os.environ.get("MERHABA_DATA", _DEFAULT)).absolute())
