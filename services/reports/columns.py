"""Statements that write many rows at once, made of their columns."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

TIME: Final = "time"
"""A moment: given as epoch milliseconds, stored as timestamptz."""
_TYPES: Final = {TIME: "bigint"}
_STORED: Final = {TIME: "to_timestamp({} / 1000.0::float8)"}


def by_column(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as one array a column."""
    return list(map(list, zip(*rows, strict=True)))


def given(columns: Mapping[str, str], first: int = 1) -> str:
    """Rows given as one array a column, from parameter `first` on, as a table of these names."""
    arrays = ", ".join(
        f"${n}::{_TYPES.get(kind, kind)}[]" for n, kind in enumerate(columns.values(), first)
    )
    return f"unnest({arrays}) AS t ({', '.join(columns)})"


def stored(name: str, kind: str) -> str:
    """What is given of a column, as it is stored."""
    return _STORED.get(kind, "{}").format(f"t.{name}")


def insert(table: str, keys: Sequence[str], columns: Mapping[str, str]) -> str:
    """Insert rows in the order of their keys, so that two transactions wait for, not deadlock, each
    other. `ON CONFLICT` is left to who calls."""
    values = ", ".join(stored(name, kind) for name, kind in columns.items())
    return (
        f"INSERT INTO {table} AS f ({', '.join(columns)}) SELECT {values} FROM {given(columns)}"  # noqa: S608 - names are constants
        f" ORDER BY {', '.join(f't.{key}' for key in keys)}"
    )


def upsert(
    table: str, keys: Sequence[str], columns: Mapping[str, str], merges: Sequence[str]
) -> str:
    """Insert rows, or merge them into those there are."""
    action = f"UPDATE SET {', '.join(merges)}" if merges else "NOTHING"
    return f"{insert(table, keys, columns)} ON CONFLICT ({', '.join(keys)}) DO {action}"


def upsert_days(
    table: str, keys: Sequence[str], columns: Mapping[str, str], sums: Sequence[str]
) -> str:
    """Add what is given by quarter of an hour (`bucket`) to the sums of days, those of the zone in
    which days are kept."""
    day = f"date_trunc('day', {stored('bucket', TIME)} AT TIME ZONE zone) AT TIME ZONE zone"
    return _upsert_longer(table, keys, columns, sums, day, "rollup_zone, ")


def upsert_hours(
    table: str, keys: Sequence[str], columns: Mapping[str, str], sums: Sequence[str]
) -> str:
    """The same of hours."""
    hour = f"date_bin('1 hour', {stored('bucket', TIME)}, 'epoch')"
    return _upsert_longer(table, keys, columns, sums, hour)


def _upsert_longer(
    table: str,
    keys: Sequence[str],
    columns: Mapping[str, str],
    sums: Sequence[str],
    start: str,
    beside: str = "",
) -> str:
    by = ", ".join(start if key == "bucket" else f"t.{key}" for key in keys)
    places = ", ".join(str(place) for place in range(1, len(keys) + 1))
    return (
        f"INSERT INTO {table} AS f SELECT {by}, {', '.join(f'sum({name})' for name in sums)}"  # noqa: S608 - names are constants
        f" FROM {beside}{given(columns)} GROUP BY {places} ORDER BY {places}"
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(added(sums))}"
    )


def days_anew(table: str, source: str, keys: Sequence[str], sums: Sequence[str]) -> str:
    """Sum days of a zone (`$1`) up from quarters of an hour."""
    day = "date_trunc('day', bucket AT TIME ZONE $1) AT TIME ZONE $1"
    by = ", ".join(day if key == "bucket" else key for key in keys)
    places = ", ".join(str(place) for place in range(1, len(keys) + 1))
    return (
        f"INSERT INTO {table} SELECT {by}, {', '.join(f'sum({name})' for name in sums)}"  # noqa: S608 - names are constants
        f" FROM {source} GROUP BY {places}"
    )


def added(sums: Sequence[str]) -> list[str]:
    """That sums are added to those there are."""
    return [f"{name} = f.{name} + excluded.{name}" for name in sums]
