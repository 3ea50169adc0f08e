"""Exports: what they are and where they stand. Pure."""

from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

State = Literal["waiting", "running", "completed", "failed", "cancelled", "expired"]
Format = Literal["csv", "parquet", "xlsx", "pdf", "png"]

LEASE: Final = timedelta(seconds=60)
"""How long whoever makes a file may say nothing until another begins it again."""
KEPT: Final = timedelta(days=7)
"""How long a complete file is kept."""
MOST_ATTEMPTS: Final = 3
MOST_OPEN: Final = 20
"""Exports that wait or run."""
PIECE: Final = 1024 * 1024
MIME_TYPES: Final[dict[str, str]] = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
    "png": "image/png",
}


class Export(NamedTuple):
    """An export, in the order of its columns."""

    export_id: str
    schedule_id: str
    spec: bytes
    """What to write, as the contract writes it."""
    state: State
    failure: str
    filename: str
    unmasked: bool
    """It says who people are."""
    create_time: datetime
    fold_time: datetime
    attempt: int
    written_rows: int
    total_rows: int
    size_bytes: int
    sha256: str
    complete_time: datetime | None
    expire_time: datetime | None
    deliveries: int
    """How often it was tried to deliver it."""


class Schedule(NamedTuple):
    """A schedule, in the order of its columns."""

    schedule_id: str
    name: str
    version: int
    schedule: bytes
    """All of it, as the contract writes it."""
    next_run_time: datetime | None
    last_export_id: str
    last_failure: str
