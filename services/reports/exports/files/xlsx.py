"""XLSX, row by row. Texts are texts: nothing in it is a formula."""

import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from xlsxwriter import Workbook  # type: ignore[import-untyped]  # it has no types

from services.reports.exports.files.rows import Cell, Column, Rows

MOST_ROWS: Final = 1_048_575
"""A sheet has one more, for the heads."""
_LONGEST: Final = 32_767
"""Characters of a cell."""
_PIECE: Final = 1024 * 1024
_WIDTH: Final = 18


class XlsxFile:
    """A workbook of one sheet. Rows are written to disk as they come; the file is there at the end.

    `zone`: a spreadsheet knows no zones, so times are told as clocks there show them.
    """

    def __init__(self, columns: Sequence[Column], zone: str, name: str = "Merhaba") -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "book.xlsx"
        options = {
            "constant_memory": True,
            "tmpdir": self._folder.name,
            "strings_to_formulas": False,
        }
        self._book: Any = Workbook(str(self._path), options)
        self._sheet: Any = self._book.add_worksheet(name[:31])
        self._zone = ZoneInfo(zone)
        self._time = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        bold = self._book.add_format({"bold": True, "bottom": 1})
        self._sheet.freeze_panes(1, 0)
        self._sheet.set_column(0, max(len(columns) - 1, 0), _WIDTH)
        for place, column in enumerate(columns):
            self._sheet.write_string(0, place, column.name, bold)
        self._row = 1

    def write(self, rows: Rows) -> bytes:
        """Take rows; of the file nothing is certain yet."""
        for row in rows:
            for place, cell in enumerate(row):
                self._write(place, cell)
            self._row += 1
        return b""

    def finish(self) -> Iterator[bytes]:
        """The file."""
        self._book.close()
        with self._path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def close(self) -> None:
        """Delete what is on disk."""
        if self._book.fileclosed:
            self._folder.cleanup()
            return
        self._book.fileclosed = True  # a book that is thrown away must not be written at the end
        for sheet in self._book.worksheets():
            sheet.row_data_fh.close()
        self._folder.cleanup()

    def _write(self, place: int, cell: Cell) -> None:
        if cell is None or cell == "":
            return
        if isinstance(cell, str):
            self._sheet.write_string(self._row, place, cell[:_LONGEST])
        elif isinstance(cell, datetime):
            told = cell.astimezone(self._zone).replace(tzinfo=None)
            self._sheet.write_datetime(self._row, place, told, self._time)
        else:
            self._sheet.write_number(self._row, place, cell)
