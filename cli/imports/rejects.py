"""The file of refused rows: to be put right and imported again."""

import csv
import json
from collections.abc import AsyncIterable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from merhaba.ingest.v1 import ImportReject
from services.ingest.imports.records import Format, records

_ERROR: Final = "error"


class _Writer(Protocol):
    def write(self, reject: ImportReject) -> None: ...


class _Csv:
    """The columns of the original, and why."""

    def __init__(self, file: TextIO, heading: Sequence[str]) -> None:
        self._out = csv.writer(file)
        # What was refused before has the column already
        self._columns = [name for name in heading if name != _ERROR]
        self._kept = [index for index, name in enumerate(heading) if name != _ERROR]
        self._width = len(heading)
        self._out.writerow([*self._columns, _ERROR])

    def write(self, reject: ImportReject) -> None:
        fields = _fields(reject.row)
        fields += [""] * (self._width - len(fields))
        kept = [fields[index] for index in self._kept]
        self._out.writerow([*kept, _why(reject), *fields[self._width :]])


class _Ndjson:
    """One object a line, with the row as it was."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, reject: ImportReject) -> None:
        text = reject.row.decode(errors="replace").strip()
        try:
            row: Any = json.loads(text)
        except ValueError:
            row = text
        said = {"line": reject.line, _ERROR: reject.failure.message, "row": row}
        self._file.write(f"{json.dumps(said, ensure_ascii=False)}\n")


async def write(
    path: Path, format_: Format, heading: Sequence[str], rejects: AsyncIterable[ImportReject]
) -> None:
    """Write a file of rejects, in the form of the original, whose `heading` (of a CSV) it has."""
    # Bytes that are no UTF-8 come out as they went in
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer: _Writer = _Csv(file, heading) if format_ == "csv" else _Ndjson(file)
        async for reject in rejects:
            writer.write(reject)


def default_path(source: Path) -> Path:
    """`orders.rejects.csv`, beside `orders.csv`."""
    return source.with_name(f"{source.stem}.rejects{source.suffix}")


def _why(reject: ImportReject) -> str:
    return f"line {reject.line}: {reject.failure.message}"


def _fields(row: bytes) -> list[str]:
    (record,) = records("csv", row, 0, last=True)
    if record.values is not None:
        return list(record.values)
    return [row.decode("utf-8", "surrogateescape").rstrip("\r\n")]
