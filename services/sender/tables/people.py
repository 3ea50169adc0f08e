"""Which contacts are one person, followed from the topic `contact`: what was sent to any of them
was sent to the person.

Windows and saturations are only ever added to a person: for the day that they last, both of two
contacts that were parted have them.
"""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from chassis.postgres import Connection, Effects
from chassis.streams import Record
from chassis.tombstones import erased
from services.sender.model import UNCONFIRMED, Happening, Kinship, Message, State
from services.sender.tables.rows import COLUMNS, update
from services.sender.wire import record_of

_WAITING: Final = frozenset({State.PLANNED, State.HELD})
_NOT_SENT: Final = frozenset({State.SUPPRESSED, State.CANCELLED, State.FAILED})
_GATE: Final = "person"


class PeopleStore:
    """Moves messages to the person they are for."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects

    async def follow(self, changes: Sequence[Kinship]) -> None:
        """Fold in who is, and who is no longer, one person; each has its effect once."""

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            records: list[Record] = []
            new = [changes[i] for i in fresh]
            gone = await erased(connection, {i for c in new for i in (c.contact_id, *c.member_ids)})
            for one in new:
                members = [member for member in one.member_ids if member not in gone]
                change = replace(one, member_ids=members)
                if change.contact_id not in gone and await _point(connection, change):
                    records += await _move(connection, change)
            return records

        await self._effects.apply([change.event_id for change in changes], work)


async def _point(connection: Connection, change: Kinship) -> bool:
    """Note whom ids stand for now; returns whether anything later was not known already. Of what
    was found out in the same moment the merge came last."""
    rows = await connection.fetch(
        "INSERT INTO people AS p SELECT id, $2::text, $3::bigint, $4::boolean"
        " FROM unnest($1::text[]) AS u (id) ORDER BY id"
        " ON CONFLICT (contact_id) DO UPDATE SET person_id = excluded.person_id,"
        " change_time = excluded.change_time, merged = excluded.merged"
        " WHERE (excluded.change_time, excluded.merged) > (p.change_time, p.merged)"
        " RETURNING contact_id",
        *(sorted(change.member_ids), change.contact_id, change.time, change.merged),
    )
    return bool(rows)


async def _move(connection: Connection, change: Kinship) -> list[Record]:
    """Move what stands under ids whose person changed, and call off what the person has twice."""
    await connection.execute(
        "UPDATE messages m SET home_id = p.contact_id, contact_id = p.person_id FROM people p"
        " WHERE p.contact_id = ANY($1::text[]) AND (m.home_id = p.contact_id AND m.home_id <> ''"
        "  OR m.contact_id = p.contact_id AND m.home_id = '')",
        list(change.member_ids),
    )
    await connection.execute(
        "INSERT INTO windows AS w SELECT $1::text, phone_number_id, max(last_time) FROM windows"
        " WHERE contact_id = ANY($2::text[]) GROUP BY phone_number_id"
        " ON CONFLICT (contact_id, phone_number_id)"
        " DO UPDATE SET last_time = greatest(w.last_time, excluded.last_time)",
        change.contact_id,
        [*change.member_ids, change.from_id],
    )
    await connection.execute(
        "INSERT INTO saturations AS s SELECT $1::text, max(last_time), max(opted_out_time),"
        " max(unreachable_time) FROM saturations"
        " WHERE contact_id = ANY($2::text[]) HAVING count(*) > 0 ON CONFLICT (contact_id)"
        " DO UPDATE SET last_time = greatest(s.last_time, excluded.last_time),"
        " opted_out_time = greatest(s.opted_out_time, excluded.opted_out_time),"
        " unreachable_time = greatest(s.unreachable_time, excluded.unreachable_time)",
        change.contact_id,
        [*change.member_ids, change.from_id],
    )
    if not change.merged:
        return []
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM messages WHERE contact_id = $1 AND campaign_id <> ''"
        " ORDER BY message_id FOR UPDATE",
        change.contact_id,
    )
    twice = needless(Message(*row) for row in rows)
    for message in twice:
        message.state, message.gate, message.reason = State.SUPPRESSED, _GATE, "merged"
    await update(connection, twice)
    return [record_of(Happening("message_suppressed", one, change.time)) for one in twice]


def needless(messages: Iterable[Message]) -> list[Message]:
    """Of a person's messages those that wait though another one of the same campaign, or of the
    same occurrence of a trigger, was sent, may have been, or waits longer."""
    first: dict[tuple[str, str], Message] = {}
    found: list[Message] = []
    for one in sorted(messages, key=lambda m: (m.state in _WAITING, m.plan_time, m.message_id)):
        if one.state in _NOT_SENT and one.reason != UNCONFIRMED:
            continue
        before = first.setdefault((one.campaign_id, one.occurrence_id), one)
        if before is not one and one.state in _WAITING:
            found.append(one)
    return found
