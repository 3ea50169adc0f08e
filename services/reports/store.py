"""Facts in Postgres: written by merging upserts, read by `queries`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from chassis.tombstones import erased
from services.reports.ledger import Facts
from services.reports.model import STEPS
from services.reports.queries import Queries

_TIME: Final = "time"
_REFERENCES: Final = (
    *("contact_id", "campaign_id", "occurrence_id", "template", "language", "variant"),
    *("phone_number_id", "market"),
)


def _upsert(
    table: str, keys: Sequence[str], columns: Mapping[str, str], merges: Sequence[str]
) -> str:
    """Write rows given as one array a column; rows in the order of their keys, so that two
    transactions wait for, not deadlock, each other. Times are given as epoch milliseconds."""
    names, key = ", ".join(columns), ", ".join(keys)
    values = ", ".join(
        f"to_timestamp({name} / 1000.0::float8)" if kind == _TIME else name
        for name, kind in columns.items()
    )
    arrays = ", ".join(
        f"${n}::{'bigint' if kind == _TIME else kind}[]"
        for n, kind in enumerate(columns.values(), start=1)
    )
    action = f"UPDATE SET {', '.join(merges)}" if merges else "NOTHING"
    return (
        f"INSERT INTO {table} AS f ({names}) SELECT {values} FROM unnest({arrays}) AS t ({names})"  # noqa: S608 - names are constants of this module
        f" ORDER BY {key} ON CONFLICT ({key}) DO {action}"
    )


def _least(*names: str) -> list[str]:
    """The smaller value stays; nothing counts as larger than anything."""
    return [f"{name} = least(f.{name}, excluded.{name})" for name in names]


def _greatest(*names: str) -> list[str]:
    return [f"{name} = greatest(f.{name}, excluded.{name})" for name in names]


def _together(relation: str, *names: str) -> list[str]:
    """Columns that change only together: the new ones win where `new relation old`."""
    new = ", ".join(f"excluded.{name}" for name in names)
    old = ", ".join(f"f.{name}" for name in names)
    wins = f"f.{names[0]} IS NULL OR ({new}) {relation} ({old})"
    return [f"{name} = CASE WHEN {wins} THEN excluded.{name} ELSE f.{name} END" for name in names]


_PAIRED: Final = ("suppressed", "failed")
_PLAIN: Final = tuple(step for step in STEPS if step not in _PAIRED)
_MESSAGES: Final = _upsert(
    "message_facts",
    ["message_id"],
    {
        "message_id": "text",
        **dict.fromkeys(_REFERENCES, "text"),
        **{f"{step}_time": _TIME for step in STEPS},
        **{"gate": "text", "fail_code": "int", "category_time": _TIME, "category": "text"},
        **{"cost_rank": "int", "cost_micros": "bigint", "currency": "text"},
    },
    [
        *_greatest(*_REFERENCES),
        *_least(*(f"{step}_time" for step in _PLAIN)),
        *_together("<", "suppressed_time", "gate"),
        *_together("<", "failed_time", "fail_code"),
        *_together(">", "category_time", "category"),
        *_together(">", "cost_rank", "cost_micros", "currency"),
    ],
)
_NAMED_CAMPAIGNS: Final = _upsert("campaign_facts", ["campaign_id"], {"campaign_id": "text"}, [])
_CAMPAIGNS: Final = _upsert(
    "campaign_facts",
    ["campaign_id"],
    {
        **{"campaign_id": "text", "change_time": _TIME, "state_rank": "int", "state": "text"},
        **{"name": "text", "recipients": "bigint", "launch_time": _TIME},
    },
    [
        *_together(">", "change_time", "state_rank", "state", "name", "recipients"),
        *_least("launch_time"),
    ],
)
_ORDERS: Final = _upsert(
    "order_facts",
    ["contact_id", "order_id"],
    {
        **{"contact_id": "text", "order_id": "text", "order_time": _TIME, "value_time": _TIME},
        **{"value_micros": "bigint", "currency": "text", "cancel_time": _TIME},
    },
    [
        *_least("order_time", "cancel_time"),
        *_together(">", "value_time", "value_micros", "currency"),
    ],
)
_WITHDRAWALS: Final = _upsert(
    "withdrawals",
    ["contact_id", "withdraw_time"],
    {"contact_id": "text", "withdraw_time": _TIME},
    [],
)
_MEMBERSHIPS: Final = _upsert(
    "segment_facts",
    ["contact_id", "segment_id"],
    {
        **{"contact_id": "text", "segment_id": "text"},
        **{"change_time": _TIME, "version": "int", "member": "boolean"},
    },
    _together(">", "change_time", "version", "member"),
)
_SEGMENTS: Final = _upsert(
    "segment_names",
    ["segment_id"],
    {
        **{"segment_id": "text", "change_time": _TIME, "version": "int", "state": "text"},
        **{"name": "text", "display_name": "text"},
    },
    _together(">", "change_time", "version", "state", "name", "display_name"),
)
_PEOPLE: Final = _upsert(
    "people",
    ["contact_id"],
    {"contact_id": "text", "change_time": _TIME, "merged": "boolean", "person_id": "text"},
    _together(">", "change_time", "merged", "person_id"),
)
# Whoever became part of somebody else belongs nowhere; nobody says so.
_LEFT: Final = (
    "UPDATE segment_facts f SET member = false, change_time = to_timestamp(u.time / 1000.0)"
    " FROM unnest($1::text[], $2::bigint[]) AS u (contact_id, time)"
    " WHERE f.contact_id = u.contact_id AND f.member"
    " AND f.change_time < to_timestamp(u.time / 1000.0)"
)
_MOVES: Final = _upsert(
    "segment_moves",
    ["segment_id", "hour", "entered"],
    {"segment_id": "text", "hour": _TIME, "entered": "boolean", "count": "bigint"},
    ["count = f.count + excluded.count"],
)
_ACTIVITY: Final = _upsert(
    "activity",
    ["kind", "name", "minute"],
    {"kind": "text", "name": "text", "minute": _TIME, "count": "bigint"},
    ["count = f.count + excluded.count"],
)


class PostgresStore(Queries):
    """Facts in the schema `reports`."""

    def __init__(self, pool: Pool, effects: Effects) -> None:
        super().__init__(pool)
        self._effects = effects

    async def write(
        self, event_ids: Sequence[str], facts: Callable[[Sequence[int]], Facts]
    ) -> None:
        """Fold what events say that were not seen before, given by position, once."""

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            folded = facts(fresh)
            folded.leave_out(await erased(connection, folded.contacts()))
            await _write(connection, folded)
            return []

        await self._effects.apply(event_ids, work)


async def _write(connection: Connection, facts: Facts) -> None:
    """Counters last: their rows are shared by all, so they are locked for the shortest time."""

    async def put(statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            await connection.execute(statement, *map(list, zip(*rows, strict=True)))

    await put(_MESSAGES, _message_rows(facts))
    named = {m.campaign_id for m in facts.messages.values() if m.campaign_id}
    await put(_NAMED_CAMPAIGNS, [(i,) for i in named - facts.campaigns.keys()])
    await put(_CAMPAIGNS, [(c.campaign_id, *c.latest, c.launch) for c in facts.campaigns.values()])
    await put(
        _ORDERS,
        [
            (o.contact_id, o.order_id, o.completed, *(o.value or (None, None, None)), o.cancelled)
            for o in facts.orders.values()
        ],
    )
    await put(_WITHDRAWALS, list(facts.withdrawals))
    await put(
        _MEMBERSHIPS, [(m.contact_id, m.segment_id, *m.change) for m in facts.memberships.values()]
    )
    await put(_PEOPLE, [(i, *change, who) for i, (change, who) in facts.people.items()])
    if absorbed := [(i, time) for i, ((time, merged), _) in facts.people.items() if merged]:
        await put(_LEFT, sorted(absorbed))
    await put(_SEGMENTS, [(s.segment_id, *s.latest) for s in facts.segments.values()])
    await put(_MOVES, [(*move, count) for move, count in facts.moves.items()])
    await put(_ACTIVITY, [(*what, count) for what, count in facts.activity.items()])


def _message_rows(facts: Facts) -> list[tuple[Any, ...]]:
    return [
        (
            m.message_id,
            *(m.contact_id, m.campaign_id, m.occurrence_id, m.template, m.language, m.variant),
            *(m.phone_number_id, m.market),
            *(m.times.get(step) for step in STEPS),
            m.gate and m.gate[1],
            m.failure and m.failure[1],
            *(m.category or (None, None)),
            *(m.cost or (None, None, None)),
        )
        for m in facts.messages.values()
    ]
