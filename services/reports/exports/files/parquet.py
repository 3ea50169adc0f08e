"""Parquet, in groups of rows."""

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from queue import Queue
from typing import Final

from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema
from arro3.io import write_parquet

from chassis.clock import milliseconds_of
from services.reports.exports.files.rows import Column, Rows
from services.reports.exports.files.sink import Sink

_GROUP: Final = 50_000
"""Rows of a group: what is held in memory."""
_COMPRESSION: Final = "zstd(3)"


class ParquetFile:
    """A Parquet file. The library asks for rows rather than taking them, so it has a thread of its
    own, which ends with the file."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._types = {
            "text": DataType.string(),
            "integer": DataType.int64(),
            "number": DataType.float64(),
            "time": DataType.timestamp("ms", tz="UTC"),
        }
        self._columns = columns
        fields = [Field(column.name, self._types[column.kind]) for column in columns]
        self._schema = Schema(fields)
        self._batches: Queue[RecordBatch | None] = Queue(1)
        self._sink = Sink()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def write(self, rows: Rows) -> bytes:
        """Take rows."""
        if rows:
            self._hand(self._batch(rows))
        return self._sink.taken()

    def finish(self) -> Iterator[bytes]:
        """The rest of the file."""
        self._hand(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        yield self._sink.taken()

    def close(self) -> None:
        """End the thread."""
        if self._thread.is_alive():
            self._hand(None)
            self._thread.join()

    def _hand(self, batch: RecordBatch | None) -> None:
        if self._thread.is_alive():  # else it failed, as finish() tells
            self._batches.put(batch)

    def _run(self) -> None:
        try:
            write_parquet(
                RecordBatchReader.from_batches(self._schema, iter(self._batches.get, None)),
                self._sink,  # type: ignore[arg-type]  # of a file it is only written to
                compression=_COMPRESSION,
                max_row_group_size=_GROUP,
            )
        except BaseException as error:  # noqa: BLE001 - finish() raises it where it is waited for
            self._failure = error
            while self._batches.get() is not None:  # whoever hands over must not wait for ever
                pass

    def _batch(self, rows: Rows) -> RecordBatch:
        arrays = [
            self._array(column, [row[place] for row in rows])
            for place, column in enumerate(self._columns)
        ]
        return RecordBatch.from_arrays(arrays, schema=self._schema)

    def _array(self, column: Column, cells: list[object]) -> Array:
        if column.kind != "time":
            return Array(cells, self._types[column.kind])
        moments = [milliseconds_of(c) if isinstance(c, datetime) else None for c in cells]
        return Array(moments, DataType.int64()).cast(self._types["time"])
