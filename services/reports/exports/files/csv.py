"""CSV (RFC 4180) in UTF-8, which no spreadsheet runs."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from services.reports.exports.files.rows import Cell, Column, Rows

_BEGINS: Final = (*"=+-@\t\r\n＝＋－＠", *' "')
_ENDS: Final = re.compile(r"[;\t\r\n]")
_RUN: Final = re.compile(r"\A(?=[\t\r\n])|(?:\A|(?<=[;\t\r\n]))([\s\"]*)(?=[=+\-@＝＋－＠])")
"""How a text begins that a spreadsheet may take for a formula; where the decimal sign is a comma,
one behind a semicolon, a tab or a line's end as well, quoted or not: there cells end."""


class CsvFile:
    """A CSV file. Times are ISO 8601 in UTC."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._text = io.StringIO()
        self._csv = csv.writer(self._text, lineterminator="\r\n")
        self._csv.writerow([guarded(column.name) for column in columns])

    def write(self, rows: Rows) -> bytes:
        """Take rows."""
        self._csv.writerows([[_written(cell) for cell in row] for row in rows])
        return self._taken()

    def finish(self) -> Iterator[bytes]:
        """The rest."""
        yield self._taken()

    def close(self) -> None:
        """There is nothing to let go of."""

    def _taken(self) -> bytes:
        taken = self._text.getvalue().encode()
        self._text.seek(0)
        self._text.truncate()
        return taken


def guarded(text: str) -> str:
    """A text with a quote before what a spreadsheet would run."""
    if text.startswith(_BEGINS) or _ENDS.search(text):  # seldom, and looking closer takes long
        return _RUN.sub(r"\1'", text)
    return text


def _written(cell: Cell) -> Cell:
    if isinstance(cell, str):
        return guarded(cell)
    return cell.isoformat() if isinstance(cell, datetime) else cell
