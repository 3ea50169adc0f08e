"""How an import goes: a bar in a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, Protocol

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cli.terminal import Console
from merhaba.ingest.v1 import ImportJob

_EVERY_S: Final = 5.0
_LARGE_BYTES: Final = 64 * 1024 * 1024  # reading less takes no time that a person would notice


class Show(Protocol):
    """Tells a person how it goes."""

    def hashed(self, done: int) -> None:
        """So many bytes of the file were looked at."""
        ...

    def moved(self, job: ImportJob) -> None:
        """The import stands here."""
        ...

    def waits(self, why: str) -> None:
        """Nothing goes on for the moment."""
        ...


class Pace:
    """Rows a second since an import was first seen here."""

    def __init__(self) -> None:
        self._begun: tuple[float, int] | None = None
        self.rows = 0
        """Taken or refused since then."""
        self.seconds = 0.0

    def at(self, job: ImportJob) -> float:
        """Of all the time until now."""
        now, rows = monotonic(), job.accepted_count + job.rejected_count
        began, before = self._begun = self._begun or (now, rows)
        self.rows, self.seconds = rows - before, now - began
        return self.rows / self.seconds if self.seconds else 0.0


class _Bar:
    def __init__(self, progress: Progress, name: str, size: int, pace: Pace) -> None:
        self._progress = progress
        self._name = name
        self._pace = pace
        self._task = progress.add_task(f"reading {name}", total=size, said="")

    def hashed(self, done: int) -> None:
        self._progress.update(self._task, completed=done)

    def moved(self, job: ImportJob) -> None:
        said = f"{self._pace.at(job):,.0f} rows/s  {_counts(job)}"
        if not self._pace.rows:
            self._progress.reset(self._task)
        self._progress.update(
            self._task, description=self._name, completed=job.offset_bytes, said=said
        )

    def waits(self, why: str) -> None:
        self._progress.update(self._task, description=f"{self._name} waits: {why}")


class _Lines:
    def __init__(self, console: Console, name: str, size: int, pace: Pace) -> None:
        self._console = console
        self._name = name
        self._size = size
        self._pace = pace
        self._next = monotonic() + _EVERY_S
        self._waiting = ""

    def hashed(self, done: int) -> None:
        if self._size > _LARGE_BYTES:
            self._now_and_then(f"reading {self._name}: {done / self._size:.0%}")

    def moved(self, job: ImportJob) -> None:
        self._waiting = ""
        rows_s = self._pace.at(job)
        done = job.offset_bytes / self._size
        self._now_and_then(f"{self._name}: {done:.0%}, {rows_s:,.0f} rows/s, {_counts(job)}")

    def waits(self, why: str) -> None:
        if why != self._waiting:
            self._waiting = why
            self._say(f"{self._name} waits: {why}")

    def _now_and_then(self, line: str) -> None:
        if monotonic() >= self._next:
            self._next = monotonic() + _EVERY_S
            self._say(line)

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


@contextmanager
def shown(console: Console, name: str, size: int, pace: Pace) -> Iterator[Show]:
    """Show how an import of a file of so many bytes goes, and at what pace, for as long as the
    block."""
    if not console.is_terminal:
        yield _Lines(console, name, size, pace)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[said]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bar(progress, name, size, pace)


def _counts(job: ImportJob) -> str:
    return f"{job.accepted_count:,} accepted  {job.rejected_count:,} rejected"
