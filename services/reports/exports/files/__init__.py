"""How files are written: rows in, bytes out, in bounded memory."""

from services.reports.exports.files.csv import CsvFile
from services.reports.exports.files.parquet import ParquetFile
from services.reports.exports.files.rows import Cell, Column, Rows, TabularFile
from services.reports.exports.files.xlsx import MOST_ROWS, XlsxFile

__all__ = [
    "MOST_ROWS",
    "Cell",
    "Column",
    "CsvFile",
    "ParquetFile",
    "Rows",
    "TabularFile",
    "XlsxFile",
]
