"""Messages in Postgres: what is known of each, and what all of them add up to."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from chassis.postgres import Connection
from services.reports.columns import (
    TIME,
    added,
    by_column,
    days_anew,
    given,
    insert,
    stored,
    upsert,
    upsert_days,
    upsert_hours,
)
from services.reports.model import STEPS, Context, MessageFact, Progress, Sale
from services.reports.rollups import COUNTS, PLANNED_BY, Cube, Part, Summary, Sums, summaries
from services.reports.sampling import sampled

_COLUMNS: Final[dict[str, str]] = {
    **{"message_id": "text", "contact_id": "text", "campaign_id": "text"},
    **{
        "occurrence_id": "text",
        "counted_time": TIME,
        "reached_time": TIME,
        "response_ms": "bigint",
    },
    **{"progress": "int", "cube_id": "bigint", "fact": "bytea"},
}
_INSERT: Final = (
    f"{insert('message_facts', ['message_id'], _COLUMNS)}"
    " ON CONFLICT (message_id) DO NOTHING RETURNING message_id"
)
_UPDATE: Final = (
    "UPDATE message_facts f SET "  # noqa: S608 - names are constants
    + ", ".join(f"{n} = {stored(n, kind)}" for n, kind in _COLUMNS.items() if n != "message_id")
    + f" FROM {given(_COLUMNS)} WHERE f.message_id = t.message_id"
)
_SAMPLE: Final = {n: kind for n, kind in _COLUMNS.items() if n not in ("occurrence_id", "fact")}
_PLANNED: Final = dict.fromkeys((n for n in PLANNED_BY if n not in _SAMPLE), "text")
_SAMPLED: Final = upsert(
    "sampled_facts",
    ["message_id"],
    _SAMPLE | _PLANNED,
    [f"{n} = excluded.{n}" for n in _SAMPLE | _PLANNED],
)
_PLACES: Final = [[*_COLUMNS].index(name) for name in _SAMPLE]
READ: Final = "message_id, contact_id, campaign_id, occurrence_id, fact"
"""The columns of which `read` makes a message."""
_SELECT: Final = f"SELECT {READ} FROM message_facts"  # noqa: S608 - names are constants
_KNOWN: Final = f"{_SELECT} WHERE message_id = ANY($1::text[]) ORDER BY message_id FOR UPDATE"
_SINCE: Final = (
    f"{_SELECT} WHERE message_id IN (SELECT m.message_id"  # noqa: S608 - names are constants
    " FROM unnest($1::text[], $2::timestamptz[]) AS t (contact_id, since)"
    " JOIN message_facts m ON m.contact_id = t.contact_id AND m.counted_time >= t.since)"
    " ORDER BY message_id FOR UPDATE"
)
_CUBES: Final = upsert(
    "cubes", ["cube_id"], {"cube_id": "bigint", **dict.fromkeys(Cube._fields, "text")}, []
)
_ROW: Final = {"bucket": TIME, "cube_id": "bigint", **dict.fromkeys(COUNTS, "bigint")}
_ADDED: Final = added(COUNTS)
_ROLLUPS: Final = upsert("rollups", ["bucket", "cube_id"], _ROW, _ADDED)
_SEGMENTS: Final = upsert("segment_rollups", ["bucket", "cube_id"], _ROW, _ADDED)
_SUMMARY: Final = {
    **{"cut": "smallint", "bucket": TIME, **dict.fromkeys(Summary._fields[2:], "text")},
    **dict.fromkeys(COUNTS, "bigint"),
}
_SUMMARIES: Final = upsert("summaries", Summary._fields, _SUMMARY, _ADDED)
_OF_CUBES: Final = ("bucket", "cube_id")
_DAYS: Final = upsert_days("rollup_days", _OF_CUBES, _ROW, COUNTS)
_SUMMARY_HOURS: Final = upsert_hours("summary_hours", Summary._fields, _SUMMARY, COUNTS)
_SUMMARY_DAYS: Final = upsert_days("summary_days", Summary._fields, _SUMMARY, COUNTS)
_FORGET: Final = "DELETE FROM message_conversions WHERE message_id = ANY($1::text[])"
_BRING: Final = (
    "INSERT INTO message_conversions SELECT t.message_id, t.conversion_id, t.currency,"
    " to_timestamp(t.counted_ms / 1000.0::float8), t.cube_id, t.segments, t.converted, t.touched,"
    " t.conversions, t.revenue_micros, t.touches, t.touched_revenue_micros"
    " FROM jsonb_to_recordset($1::jsonb) AS t (message_id text, conversion_id text, currency text,"
    " counted_ms bigint, cube_id bigint, segments text[], converted boolean, touched boolean,"
    " conversions integer, revenue_micros bigint, touches integer, touched_revenue_micros bigint)"
)
_ADOPTED: Final = "UPDATE rollup_zone SET zone = $1 WHERE zone <> $1 RETURNING zone"
_ANEW: Final = (
    days_anew("rollup_days", "rollups", _OF_CUBES, COUNTS),
    days_anew("summary_days", "summaries", Summary._fields, COUNTS),
)


class Known(NamedTuple):
    """What is known of a message, by its own events and by others."""

    fact: MessageFact
    context: Context


class _Stored(msgspec.Struct, array_like=True):
    """All but the columns. Fields are only ever added last, with defaults."""

    template: str
    language: str
    variant: str
    phone_number_id: str
    market: str
    times: tuple[int | None, ...]
    gate: tuple[int, str] | None
    failure: tuple[int, int] | None
    category: tuple[int, str] | None
    cost: tuple[int, int, str] | None
    pricing: tuple[int, str, bool] | None
    device: tuple[int, str] | None
    propensity: float
    control: str
    context: Context
    goals: tuple[tuple[str, tuple[Sale, ...]], ...] = ()


_decoder: Final = msgspec.msgpack.Decoder(_Stored)
_encoder: Final = msgspec.msgpack.Encoder()


def described(fact: bytes) -> dict[str, Any]:
    """What is stored of a message besides the columns, for people to read."""
    stored = _decoder.decode(fact)
    told = {name: getattr(stored, name) for name in _Stored.__struct_fields__}
    times = dict(zip(STEPS, stored.times, strict=False))
    context = stored.context._asdict()
    plain: dict[str, Any] = msgspec.to_builtins({**told, "times": times, "context": context})
    return plain


async def known(connection: Connection, message_ids: Iterable[str]) -> dict[str, Known]:
    """What is known of messages, locked in the order of their ids."""
    rows = await connection.fetch(_KNOWN, sorted(message_ids))
    return {row[0]: read(row) for row in rows}


async def since(connection: Connection, starts: Mapping[str, datetime]) -> dict[str, Known]:
    """Messages of contacts that count from a moment on, locked in the order of their ids."""
    rows = await connection.fetch(_SINCE, list(starts), list(starts.values()))
    return {row[0]: read(row) for row in rows}


async def add(connection: Connection, rows: Sequence[tuple[Known, Part]]) -> set[str]:
    """Insert messages; returns the ids of those that nobody else inserted meanwhile."""
    if not rows:
        return set()
    written = [_row(*one, part) for one, part in rows]
    new = {row[0] for row in await connection.fetch(_INSERT, *by_column(written))}
    both = zip(written, rows, strict=True)
    await _sample(connection, [(row, part) for row, (_, part) in both if row[0] in new])
    return new


async def put(connection: Connection, rows: Sequence[tuple[Known, Part]]) -> None:
    """Write messages over what is stored of them."""
    if rows:
        written = [_row(*one, part) for one, part in rows]
        await connection.execute(_UPDATE, *by_column(written))
        await _sample(connection, zip(written, (part for _, part in rows), strict=True))


async def bring(connection: Connection, rows: Sequence[tuple[Known, Part]]) -> None:
    """Write what messages brought over what is stored of that."""
    if not rows:
        return
    await connection.execute(_FORGET, [one.fact.message_id for one, _ in rows])
    told = [
        {
            "message_id": one.fact.message_id,
            "counted_ms": part.counted_time,
            "cube_id": part.cube.cube_id,
            "segments": one.context.segments,
            **brought._asdict(),
        }
        for one, part in rows
        for brought in part.brought
    ]
    if told:
        await connection.execute(_BRING, orjson.dumps(told).decode())


async def _sample(connection: Connection, rows: Iterable[tuple[tuple[Any, ...], Part]]) -> None:
    """Write a second time what people are counted by where they are too many."""
    some = [
        [*(row[place] for place in _PLACES), *(getattr(part.cube, name) for name in _PLANNED)]
        for row, part in rows
        if sampled(row[1])
    ]
    if some:
        await connection.execute(_SAMPLED, *by_column(some))


async def count(connection: Connection, sums: Sums, cubes: Mapping[int, object]) -> dict[int, Cube]:
    """Add to the sums; `cubes` are known to be stored. Returns those that were not."""
    if not sums:
        return {}
    ids = {one: one.cube_id for _, one in sums}
    fresh = {number: one for one, number in ids.items() if number not in cubes}
    if fresh:
        await connection.execute(
            _CUBES, *by_column([(number, *one) for number, one in fresh.items()])
        )
    rows: list[tuple[int, ...]] = []
    of_segments: list[tuple[int, ...]] = []
    for (bucket, one), counts in sums.items():
        (of_segments if one.segment_id else rows).append((bucket, ids[one], *counts))
    if rows:
        columns = by_column(rows)
        await connection.execute(_ROLLUPS, *columns)
        await connection.execute(_DAYS, *columns)
    if of_segments:
        await connection.execute(_SEGMENTS, *by_column(of_segments))
    # The rows that most share come last, to be locked for the shortest time
    if together := [(*key, *counts) for key, counts in summaries(sums).items()]:
        columns = by_column(together)
        await connection.execute(_SUMMARIES, *columns)
        await connection.execute(_SUMMARY_HOURS, *columns)
        await connection.execute(_SUMMARY_DAYS, *columns)
    return fresh


async def adopt(connection: Connection, zone: str) -> bool:
    """Have days be days of a zone; summed anew when they were another's, as the answer says."""
    await connection.execute("LOCK TABLE rollup_zone IN EXCLUSIVE MODE")
    if not await connection.fetchval(_ADOPTED, zone):
        return False
    await connection.execute("TRUNCATE rollup_days, summary_days")
    for statement in _ANEW:
        await connection.execute(statement, zone, timeout=600)
    return True


def _row(m: MessageFact, context: Context, part: Part) -> tuple[Any, ...]:
    document = _Stored(
        m.template,
        m.language,
        m.variant,
        m.phone_number_id,
        m.market,
        tuple(map(m.times.get, STEPS)),
        m.gate,
        m.failure,
        m.category,
        m.cost,
        m.pricing,
        m.device,
        m.propensity,
        m.control,
        context,
        m.goals,
    )
    return (
        m.message_id,
        m.contact_id,
        m.campaign_id,
        m.occurrence_id,
        part.counted_time,
        part.reached_time,
        part.response_ms,
        part.bits | _brought(context, part) << len(Progress._fields),
        part.cube.cube_id,
        _encoder.encode(document),
    )


def _brought(context: Context, part: Part) -> int:
    """Whether it brought an order, touched one, and was followed by an opt-out: a bit for each."""
    return part.converted | bool(context.sales) << 1 | context.opted_out << 2


def read(row: Iterable[Any]) -> Known:
    """A message, of the columns `READ`."""
    message_id, contact_id, campaign_id, occurrence_id, raw = row
    s = _decoder.decode(raw)
    fact = MessageFact(
        message_id,
        contact_id,
        campaign_id,
        occurrence_id,
        s.template,
        s.language,
        s.variant,
        s.phone_number_id,
        s.market,
        {step: time for step, time in zip(STEPS, s.times, strict=False) if time is not None},
        s.gate,
        s.failure,
        s.category,
        s.cost,
        s.pricing,
        s.device,
        s.propensity,
        s.control,
        s.goals,
    )
    return Known(fact, s.context)
