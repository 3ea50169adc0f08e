"""What statuses, replies and clicks do to messages, in their transaction.

Messages are locked together, in the order of their ids, and before everything else.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from chassis.postgres import Connection
from chassis.streams import Record
from chassis.tombstones import erased
from services.sender.delivery.nobody import anonymise
from services.sender.delivery.progress import Fact, Kind, Status, Talk, learn
from services.sender.model import DAY_MS, Happening, Message, State
from services.sender.rulebook import Rulebook
from services.sender.tables.aftermath import Said, follow
from services.sender.tables.reckoning import before, reckon
from services.sender.tables.rows import locked, update_heard
from services.sender.tables.rows import update as write
from services.sender.tables.wamids import named, note
from services.sender.wire import foreign_record, record_of

# Meta's times are whole seconds, ours are not: a reply may seem to precede what it answers.
_SECOND_MS: Final = 1_000
_TRIED_MS: Final = 3_600_000  # by so much a message may have been tried before it was sent
_ORPHANED_MS: Final = 180_000  # longer than an answer may take, and a lease
_AT_ONCE: Final = 500


Unseen = Callable[[Connection, Sequence[str]], Awaitable[Sequence[int]]]
"""The positions of events not seen before, which are remembered with the transaction."""


class Heard(NamedTuple):
    """A status, and the trace context of what follows from it."""

    status: Status
    onward: str


async def hear(
    connection: Connection,
    rulebook: Rulebook,
    slot: int,
    told: Sequence[Heard],
    now: int,
    unseen: Unseen,
) -> list[Record]:
    """Fold statuses into messages; those of others' messages are passed on, and those that may yet
    turn out to be ours are kept. Returns what to publish.

    What is known of a message is a set of facts, so a status that is told again changes nothing and
    needs not be remembered. Those of others' messages do.
    """
    known = [one for one in told if one.status.fact is not None]
    records, strangers = await _fold(connection, rulebook, slot, known, now)
    if strangers:
        new = await unseen(connection, [one.status.event_id for one in strangers])
        strangers = [strangers[position] for position in new]
    orphans = await _perhaps_ours(connection, strangers)
    await _keep(connection, orphans)
    kept = {one.status.event_id for one in orphans}
    return records + _foreign(one for one in strangers if one.status.event_id not in kept)


async def rejoin(
    connection: Connection, rulebook: Rulebook, slot: int, now: int
) -> tuple[int, list[Record]]:
    """Fold in kept statuses whose message is known by now, and pass on those that nobody can be
    waiting for any more. Returns how many that were, and what to publish."""
    rows = await connection.fetch(
        "SELECT event_id, status, onward, until FROM orphans o WHERE until <= $1"
        " OR EXISTS (SELECT FROM wamids w WHERE w.wamid = o.wamid)"
        " ORDER BY event_id LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        _AT_ONCE,
    )
    if not rows:
        return 0, []
    await connection.execute(
        "DELETE FROM orphans WHERE event_id = ANY($1::text[])", [row["event_id"] for row in rows]
    )
    told = [
        Heard(msgspec.msgpack.decode(row["status"], type=Status), row["onward"]) for row in rows
    ]
    records, strangers = await _fold(connection, rulebook, slot, told, now)
    return len(rows), records + _foreign(strangers)


async def _fold(
    connection: Connection, rulebook: Rulebook, slot: int, told: Sequence[Heard], now: int
) -> tuple[list[Record], list[Heard]]:
    """Statuses into the messages that they name; returns what to publish, and the others."""
    messages = await _named(connection, [one.status for one in told])
    by_id = {m.message_id: m for m in messages}
    by_wamid = {m.wamid: m for m in messages if m.wamid}
    earlier = before(messages)
    learnt: list[tuple[list[Happening], Heard]] = []
    strangers: list[Heard] = []
    changed: dict[str, Message] = {}
    said: list[Said] = []
    for one in told:
        status, fact = one.status, one.status.fact
        assert fact is not None  # nobody knows the others
        message = by_id.get(status.callback_data) or by_wamid.get(fact.wamid)
        if message is None:
            strangers.append(one)
            continue
        changed[message.message_id] = message
        stood = message.failed_time, message.error_code
        happenings = learn(message, [fact])
        news = stood != (message.failed_time, message.error_code)
        if news and fact.kind == Kind.FAILED and fact.error_code:
            said.append(Said(message, fact.error_code, fact.time))
        if not message.contact_id:
            happenings += anonymise(message, fact.time)
        learnt.append((happenings, one))
    records = await follow(connection, said)
    ordered = list(changed.values())
    await reckon(connection, rulebook, earlier, ordered, now, slot)
    await update_heard(connection, ordered)
    await note(connection, [m for m in ordered if not earlier[m.message_id].wamid])
    published = [
        record
        for happenings, one in learnt
        for record in _told(happenings, one.status.received_time, one.onward)
    ]
    return published + records, strangers


async def _named(connection: Connection, statuses: Sequence[Status]) -> list[Message]:
    """The messages that statuses name: by our id, which Meta echoes, or, where it does not, by
    Meta's."""
    ids = {s.callback_data for s in statuses if s.callback_data}
    wamids = [s.fact.wamid for s in statuses if s.fact and s.fact.wamid and not s.callback_data]
    ids.update((await named(connection, wamids)).values())
    return await locked(connection, sorted(ids))


async def _perhaps_ours(connection: Connection, strangers: Sequence[Heard]) -> list[Heard]:
    """Those that name no message at all and come by a number that is calling Meta just now: the
    answer to one of the calls may not have been written yet."""
    nameless = [one for one in strangers if not one.status.callback_data]
    if not nameless:
        return []
    rows = await connection.fetch(
        "SELECT DISTINCT phone_number_id FROM leases WHERE phone_number_id = ANY($1::text[])",
        list({one.status.phone_number_id for one in nameless}),
    )
    calling = {row["phone_number_id"] for row in rows}
    return [one for one in nameless if one.status.phone_number_id in calling]


async def _keep(connection: Connection, orphans: Sequence[Heard]) -> None:
    await connection.executemany(
        "INSERT INTO orphans VALUES ($1, $2, $3, $4, $5)",
        [
            (
                *(s.event_id, s.fact.wamid, msgspec.msgpack.encode(s), onward),
                s.received_time + _ORPHANED_MS,
            )
            for s, onward in orphans
            if s.fact is not None
        ],
    )


def _foreign(strangers: Iterable[Heard]) -> list[Record]:
    records = [foreign_record(one.status.event, one.onward) for one in strangers]
    return [record for record in records if record is not None]


# --- what people do -------------------------------------------------------------------------------


async def talk(connection: Connection, talks: Sequence[tuple[Talk, str]]) -> list[Record]:
    """Open windows, and join replies and clicks to the messages they answer; each with the trace
    context of what follows. Returns what to publish."""
    gone = await erased(connection, {one.contact_id for one, _ in talks})
    new = [(one, onward) for one, onward in talks if one.contact_id not in gone]
    answered = await _answered(connection, [one for one, _ in new])
    found = await locked(connection, sorted(set(answered.values())))
    await _open_windows(connection, [one for one, _ in new if one.phone_number_id])
    messages = {message.message_id: message for message in found}
    records: list[Record] = []
    for one, onward in new:
        message = messages.get(answered.get(one.event_id, ""))
        if message is not None and message.contact_id == one.contact_id:
            records += _told(learn(message, _facts(one)), one.received_time, onward)
    await write(connection, list(messages.values()))
    return records


def _facts(said: Talk) -> list[Fact]:
    if said.link_id:
        return [Fact(Kind.CLICKED, said.time, target=said.link_id, match="url")]
    if not said.wamid:
        return []  # they called
    facts = []
    if said.button:
        facts.append(Fact(Kind.CLICKED, said.time, target=said.payload, match="quick_reply"))
    match = "context" if said.context_wamid else "window"
    return [*facts, Fact(Kind.REPLIED, said.time, target=said.wamid, match=match)]


def _told(happenings: Iterable[Happening], received: int, onward: str) -> list[Record]:
    records: list[Record] = []
    for happening in happenings:
        happening.received_time, happening.traceparent = received, onward
        records.append(record_of(happening))
    return records


async def _open_windows(connection: Connection, talks: Sequence[Talk]) -> None:
    latest: dict[tuple[str, str], int] = {}
    for one in talks:
        key = (one.contact_id, one.phone_number_id)
        latest[key] = max(latest.get(key, 0), one.time)
    if latest:
        keys = sorted(latest)
        await connection.execute(
            "INSERT INTO windows SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])"
            " ON CONFLICT (contact_id, phone_number_id) DO UPDATE"
            " SET last_time = greatest(windows.last_time, excluded.last_time)",
            [contact for contact, _ in keys],
            [number for _, number in keys],
            [latest[key] for key in keys],
        )


async def _answered(connection: Connection, talks: Sequence[Talk]) -> dict[str, str]:
    """By event id, the message that was answered or clicked."""
    answered = {one.event_id: one.message_id for one in talks if one.message_id}
    quoting = {one.event_id: one.context_wamid for one in talks if one.context_wamid}
    if quoting:
        ids = await named(connection, quoting.values())
        answered |= {event: ids[wamid] for event, wamid in quoting.items() if wamid in ids}
    free = [one for one in talks if one.wamid and not one.context_wamid]
    if free:
        rows = await connection.fetch(
            "SELECT q.event_id, m.message_id"
            " FROM unnest($1::text[], $2::text[], $3::bigint[]) AS q(event_id, contact_id, time)"
            " CROSS JOIN LATERAL (SELECT message_id FROM messages"
            # Nobody answers what Meta says never arrived
            "  WHERE contact_id = q.contact_id AND state <> $7"
            "  AND attempt_time > q.time - $4::bigint - $6::bigint"
            "  AND sent_time > q.time - $4::bigint AND sent_time <= q.time + $5::bigint"
            "  ORDER BY sent_time DESC LIMIT 1) AS m",
            [one.event_id for one in free],
            [one.contact_id for one in free],
            [one.time for one in free],
            DAY_MS,
            _SECOND_MS,
            _TRIED_MS,
            State.FAILED,
        )
        answered |= {row["event_id"]: row["message_id"] for row in rows}
    return answered
