"""How files are written, format by format."""

import math
import re
import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reports.exports import files
from services.reports.exports.files.csv import guarded
from services.reports.tests.desking import sheet


@pytest.mark.parametrize("start_of_text", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_no_cell_of_a_csv_is_a_formula(start_of_text) -> None:
    assert guarded(f"{start_of_text}1") == f"'{start_of_text}1"
    assert guarded("a=1") == "a=1"


def test_no_text_of_a_csv_becomes_a_cell_of_its_own_that_runs() -> None:
    """Where decimals have commas, spreadsheets end cells at semicolons, whatever is quoted."""
    assert guarded("a;=1+1") == "a;'=1+1"
    assert guarded('a; "=1+1') == "a; \"'=1+1"
    assert guarded("a\n=1\t@x") == "a\n'=1\t'@x"
    assert guarded("a; b, c-d") == "a; b, c-d"


def _book(columns: list[files.Column]) -> files.XlsxFile:
    return files.XlsxFile(columns, "UTC")


@pytest.mark.parametrize("kind", [files.CsvFile, files.ParquetFile, _book])
def test_a_large_file_is_not_held_until_its_end(kind) -> None:
    columns = [files.Column("a"), files.Column("n", "integer")]
    file = kind(columns)
    early = b"".join([file.write([(f"{n}/{m}", m) for m in range(10_000)]) for n in range(16)])
    rest = b"".join(file.finish())
    file.close()
    assert len(early) > len(rest)


@given(st.lists(st.text(st.characters(blacklist_categories=())), min_size=1, max_size=5))
def test_every_text_is_the_same_text_in_a_spreadsheet(texts: list[str]) -> None:
    file = files.XlsxFile([files.Column("a")], "UTC")
    book = file.write([(one,) for one in texts]) + b"".join(file.finish())
    cells = [_meant(row[0]) if row else "" for row in sheet(book)[1:]]
    assert cells == [re.sub("[\ud800-\udfff\ufffe\uffff]", "\ufffd", one) for one in texts]


def _meant(told: str) -> str:
    """What a spreadsheet shows for a text with `_xHHHH_` in it."""
    return re.sub("_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), told)


def test_numbers_and_times_are_such_in_a_spreadsheet() -> None:
    columns = [files.Column("n", "number"), files.Column("t", "time"), files.Column("i", "integer")]
    file = files.XlsxFile(columns, "Europe/Istanbul")
    noon = datetime(2026, 11, 22, 9, tzinfo=UTC)
    book = file.write([(0.1, noon, 7), (None, None, None), (math.nan, noon, 10**12)])
    book += b"".join(file.finish())
    # Days since the end of 1899, on the clock of the zone
    assert sheet(book)[1:] == [
        ["0.1", "46348.500000000", "7"],
        [],
        ["46348.500000000", "1000000000000"],
    ]


def test_a_file_that_is_given_up_leaves_nothing() -> None:
    threads = threading.active_count()
    for file in (
        files.XlsxFile([files.Column("a")], "UTC"),
        files.ParquetFile([files.Column("a")]),
        files.CsvFile([files.Column("a")]),
    ):
        file.write([("x",)])
        file.close()
    assert threading.active_count() == threads
