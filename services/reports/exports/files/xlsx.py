"""XLSX (ECMA-376), row by row: a workbook of one sheet is a zip of a few constant parts and of rows
as XML. Texts are texts: nothing in it is a formula."""

import math
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import IO, Any, Final
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo
from zoneinfo import ZoneInfo

from services.reports.exports.files.rows import Cell, Column, Rows
from services.reports.exports.files.sink import Sink

MOST_ROWS: Final = 1_048_575
"""A sheet has one more, for the heads."""
_LONGEST: Final = 32_767
"""Characters of a cell."""
_BEGIN: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - spreadsheets count days on a clock without a zone
_DAY_S: Final = 86_400
_TIME: Final = 1
_HEAD: Final = 2
_QUICK: Final = 3
"""How hard it is packed: more costs twice the time and saves a tenth."""
_UNUSUAL: Final = re.compile(
    "[&<>\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)"
)
_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_TYPES: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS: Final = {
    "[Content_Types].xml": (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels"'
        ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_TYPES}.styles+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPES}.worksheet+xml"/>'
        "</Types>"
    ),
    "_rels/.rels": (
        f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="rId1"'
        f' Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
    ),
    "xl/workbook.xml": (
        f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
        '<sheets><sheet name="Merhaba" sheetId="1" r:id="rId1"/></sheets></workbook>'
    ),
    "xl/_rels/workbook.xml.rels": (
        f'<Relationships xmlns="{_RELATIONS}">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="rId2" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>'
    ),
    # The styles of cells: 0 as it is, 1 a time, 2 a head
    "xl/styles.xml": (
        f'<styleSheet xmlns="{_MAIN}">'
        '<numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/>'
        "</numFmts>"
        '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
        '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
        '<fills count="2"><fill><patternFill patternType="none"/></fill>'
        '<fill><patternFill patternType="gray125"/></fill></fills>'
        '<borders count="2"><border><left/><right/><top/><bottom/><diagonal/></border>'
        '<border><left/><right/><top/><bottom style="thin"/><diagonal/></border></borders>'
        '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/>'
        "</cellStyleXfs>"
        '<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
        '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
        '<xf numFmtId="0" fontId="1" fillId="0" borderId="1" xfId="0" applyFont="1"'
        ' applyBorder="1"/></cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
        "</styleSheet>"
    ),
}
_SHEET: Final = (
    f'<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
    '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
    "</sheetView></sheetViews>"
    '<cols><col min="1" max="{columns}" width="18" customWidth="1"/></cols><sheetData>'
)


class XlsxFile:
    """A workbook of one sheet.

    `zone`: a spreadsheet knows no zones, so times are told as clocks there show them.
    """

    def __init__(self, columns: Sequence[Column], zone: str) -> None:
        self._sink = Sink()
        out: Any = self._sink  # of a file it is only written to
        self._zip = ZipFile(out, "w", ZIP_DEFLATED, compresslevel=_QUICK)
        for name, part in _PARTS.items():
            self._zip.writestr(_part(name), _XML + part)
        self._sheet: IO[bytes] = self._zip.open(_part("xl/worksheets/sheet1.xml"), "w")
        self._zone = ZoneInfo(zone)
        self._letters = [_letters(place) for place in range(len(columns))]
        self._row = 0
        self._put(_XML + _SHEET.format(columns=max(len(columns), 1)))
        self._put(self._told([column.name for column in columns], f' s="{_HEAD}"'))

    def write(self, rows: Rows) -> bytes:
        """Take rows."""
        self._put("".join([self._told(row) for row in rows]))
        return self._sink.taken()

    def finish(self) -> Iterator[bytes]:
        """The rest of the file."""
        self._put("</sheetData></worksheet>")
        self._sheet.close()
        self._zip.close()
        yield self._sink.taken()

    def close(self) -> None:
        """Let go of what was not finished."""
        self._sheet.close()
        self._zip.close()

    def _put(self, xml: str) -> None:
        self._sheet.write(xml.encode())

    def _told(self, row: Sequence[Cell], style: str = "") -> str:
        self._row += 1
        number = self._row
        cells = [
            self._cell(f"{letters}{number}", cell, style)
            for letters, cell in zip(self._letters, row, strict=True)
            if cell is not None and cell != ""
        ]
        return f'<row r="{number}">{"".join(cells)}</row>'

    def _cell(self, place: str, cell: Cell, style: str) -> str:
        if isinstance(cell, str):
            text = _text(cell[:_LONGEST])
            return (
                f'<c r="{place}"{style} t="inlineStr"><is>'
                f'<t xml:space="preserve">{text}</t></is></c>'
            )
        if isinstance(cell, datetime):
            told = cell.astimezone(self._zone).replace(tzinfo=None) - _BEGIN
            return f'<c r="{place}" s="{_TIME}"><v>{told.total_seconds() / _DAY_S:.9f}</v></c>'
        return (
            f'<c r="{place}"><v>{cell!r}</v></c>'
            if cell is not None and math.isfinite(cell)
            else ""
        )


def _part(name: str) -> ZipInfo:
    info = ZipInfo(name)  # of 1980: the same rows make the same file
    info.compress_type = ZIP_DEFLATED
    return info


def _letters(place: int) -> str:
    """What a spreadsheet calls a column: A, …, Z, AA, …"""
    place, last = divmod(place, 26)
    return (_letters(place - 1) if place else "") + chr(ord("A") + last)


def _text(text: str) -> str:
    """A text as XML; what XML has no letters for is written as spreadsheets do."""
    return _UNUSUAL.sub(_unusual, text) if _UNUSUAL.search(text) else text


def _unusual(found: re.Match[str]) -> str:
    letter = found[0]
    if letter in "&<>":
        return escape(letter)
    return f"_x{ord(letter):04X}_" if letter < "\ud800" else "\ufffd"
