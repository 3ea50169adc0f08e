"""The outbox: messages in Postgres, and what follows from their changes on the log.

Every method that writes is one transaction. Rows are locked in the order of their ids.
"""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from chassis.tombstones import erased
from services.sender.dispatch import Candidate, Decide, Decided, Settled, doubt, give_up, settle
from services.sender.model import (
    DAY_MS,
    NEVER,
    ContactErased,
    Happening,
    Lane,
    Message,
    Number,
    State,
    Template,
)
from services.sender.nobody import anonymise
from services.sender.outcome import SATURATED, Halted, Refused
from services.sender.progress import Fact, Kind, Status, Talk, learn
from services.sender.rows import COLUMNS, insert, locked, update
from services.sender.wire import foreign_record, record_of

_TEMPLATE_COLUMNS: Final = ", ".join(f"t.{c}" for c in Template.__struct_fields__)
_NUMBER_COLUMNS: Final = ", ".join(Number.__struct_fields__)
_SWEPT: Final = 1_000
# Meta's times are whole seconds, ours are not: a reply may seem to precede what it answers.
_SECOND_MS: Final = 1_000
_PAUSING: Final = {132015: "PAUSED", 132016: "DISABLED"}
_PUBLISHED: Final = {
    State.SUPPRESSED: "message_suppressed",
    State.CANCELLED: "message_suppressed",
    State.HELD: "message_held",
}


class Outbox:
    """Messages and what is kept of contacts beside them."""

    def __init__(self, pool: Pool, effects: Effects, unknown_ms: int) -> None:
        self._pool = pool
        self._effects = effects
        self._unknown_ms = unknown_ms

    # --- reading ------------------------------------------------------------------------------

    async def numbers(self) -> Sequence[Number]:
        """Business numbers that send."""
        rows = await self._pool.fetch(f"SELECT {_NUMBER_COLUMNS} FROM numbers WHERE NOT paused")
        return [Number(*row) for row in rows]

    async def get(self, column: str, value: str) -> Message | None:
        """The message with this `message_id` or `wamid`."""
        row = await self._pool.fetchrow(
            f"SELECT {COLUMNS} FROM messages WHERE {column} = $1", value
        )
        return None if row is None else Message(*row)

    async def find(
        self, conditions: Mapping[str, Any], states: Sequence[int], after: tuple[int, str], n: int
    ) -> list[Message]:
        """Messages with these column values, latest planned first, `after` a (plan time, id)."""
        values = list(conditions.values())
        where = "".join(f" AND {name} = ${i}" for i, name in enumerate(conditions, 5))
        rows = await self._pool.fetch(
            f"SELECT {COLUMNS} FROM messages WHERE (plan_time, message_id) < ($1, $2)"
            f" AND ($3::int[] = '{{}}' OR state = ANY($3)){where}"
            " ORDER BY plan_time DESC, message_id DESC LIMIT $4",
            *(*after, list(states), n, *values),
        )
        return [Message(*row) for row in rows]

    async def candidate(self, message: Message) -> Candidate:
        """What the gates ask about for a message that may not be stored."""
        async with self._pool.acquire(timeout=10) as connection:
            (candidate,) = await _candidates(connection, [message], lock=False)
        return candidate

    async def last_number(self, contact_id: str) -> str:
        """The number the person last wrote to; empty when never."""
        found: str | None = await self._pool.fetchval(
            "SELECT phone_number_id FROM windows WHERE contact_id = $1"
            " ORDER BY last_time DESC LIMIT 1",
            contact_id,
        )
        return found or ""

    # --- sending ------------------------------------------------------------------------------

    async def add(self, message: Message) -> Message:
        """Intend a message; returns the one that stands, which is older when the id is known."""
        stored = message

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal stored
            if await insert(connection, [message]):
                return [record_of(Happening("message_planned", message, message.plan_time))]
            row = await connection.fetchrow(
                f"SELECT {COLUMNS} FROM messages WHERE message_id = $1", message.message_id
            )
            if row is None:
                raise ContactErased("the person was erased", contact_id=message.contact_id)
            stored = Message(*row)
            return []

        await self._effects.apply((), work)
        return stored

    async def claim(
        self, phone_number_id: str, limit: int, now: int, decide: Decide
    ) -> Sequence[Decided]:
        """Take due messages and store what `decide` makes of them; see `dispatch.Outbox`."""
        decided: list[Decided] = []

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            messages: list[Message] = []
            # Lane by lane: together, the index would be read past all that is held in a lane.
            for lane in Lane:
                if len(messages) < limit:
                    rows = await connection.fetch(
                        f"SELECT {COLUMNS} FROM messages WHERE state IN (1, 2)"
                        " AND phone_number_id = $1 AND lane = $2 AND due_time <= $3"
                        " ORDER BY due_time LIMIT $4 FOR UPDATE SKIP LOCKED",
                        phone_number_id,
                        int(lane),
                        now,
                        limit - len(messages),
                    )
                    messages += [Message(*row) for row in rows]
            if not messages:
                return []
            decided.extend(await decide(await _candidates(connection, messages, lock=True)))
            await update(connection, [one.message for one in decided])
            return [
                record_of(Happening(_PUBLISHED[State(one.message.state)], one.message, now))
                for one in decided
                if one.verdict is not None and one.message.due_time < NEVER
            ]

        await self._effects.apply((), work)
        return decided

    async def settle(self, settled: Sequence[Settled]) -> None:
        """Store the outcomes of calls and publish what follows."""
        by_id = {one.message_id: one for one in settled}

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            messages = await locked(connection, list(by_id))
            happenings: list[Happening] = []
            for message in messages:
                done = by_id[message.message_id]
                happenings += settle(message, done, self._unknown_ms)
                if not message.contact_id:
                    happenings += anonymise(message, done.time)
            await update(connection, messages)
            await _beside(connection, settled, messages)
            return [record_of(happening) for happening in happenings]

        await self._effects.apply((), work)

    async def expire(self, now: int, unknown_until: int) -> int:
        """Ended leases become unknown, passed deadlines fail; see `dispatch.Outbox`."""
        moved = 0

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal moved
            rows = await connection.fetch(
                f"SELECT {COLUMNS} FROM messages WHERE state IN (3, 4) AND due_time < $1"
                " ORDER BY due_time LIMIT $2 FOR UPDATE SKIP LOCKED",
                now,
                _SWEPT,
            )
            happenings: list[Happening] = []
            messages = [Message(*row) for row in rows]
            for message in messages:
                if message.state == State.ATTEMPTING:
                    happenings += doubt(message, "lease_ended", now, unknown_until - now)
                else:
                    happenings += give_up(message, now)
            await update(connection, messages)
            moved = len(messages)
            return [record_of(happening) for happening in happenings]

        await self._effects.apply((), work)
        return moved

    # --- hearing ------------------------------------------------------------------------------

    async def hear(self, statuses: Sequence[Status], onward: Sequence[str]) -> None:
        """Fold Meta's statuses into messages; those of others' messages are passed on."""

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            new = [(statuses[i], onward[i]) for i in fresh]
            ids = {s.callback_data for s, _ in new if s.callback_data}
            messages = {m.message_id: m for m in await locked(connection, list(ids))}
            wamids = [s.fact.wamid for s, _ in new if s.fact and s.callback_data not in messages]
            if wamids:
                found = await connection.fetch(
                    "SELECT message_id FROM messages WHERE wamid = ANY($1::text[])", wamids
                )
                others = {row["message_id"] for row in found} - messages.keys()
                messages |= {m.message_id: m for m in await locked(connection, list(others))}
            by_wamid = {m.wamid: m for m in messages.values() if m.wamid}
            records: list[Record | None] = []
            changed: dict[str, Message] = {}
            saturated: dict[str, int] = {}
            for status, trace in new:
                if status.fact is None:
                    continue
                message = messages.get(status.callback_data) or by_wamid.get(status.fact.wamid)
                if message is None:
                    records.append(foreign_record(status.event, trace))
                    continue
                changed[message.message_id] = message
                if status.fact.error_code in SATURATED:
                    saturated[message.contact_id] = status.fact.time
                happenings = learn(message, [status.fact])
                if not message.contact_id:
                    happenings += anonymise(message, status.fact.time)
                records += _told(happenings, status.received_time, trace)
            await update(connection, list(changed.values()))
            await _saturate(connection, saturated)
            return [record for record in records if record is not None]

        await self._effects.apply([s.event_id for s in statuses], work)

    async def talk(self, talks: Sequence[Talk], onward: Sequence[str]) -> None:
        """Windows that open, and replies and clicks joined to the messages they answer."""

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            gone = await erased(connection, {talks[i].contact_id for i in fresh})
            new = [(talks[i], onward[i]) for i in fresh if talks[i].contact_id not in gone]
            await _open_windows(connection, [talk for talk, _ in new if talk.phone_number_id])
            answered = await _answered(connection, [talk for talk, _ in new])
            found = await locked(connection, sorted(set(answered.values())))
            messages = {message.message_id: message for message in found}
            records: list[Record | None] = []
            for talk, trace in new:
                message = messages.get(answered.get(talk.event_id, ""))
                if message is not None and message.contact_id == talk.contact_id:
                    records += _told(learn(message, _facts(talk)), talk.received_time, trace)
            await update(connection, list(messages.values()))
            return [record for record in records if record is not None]

        await self._effects.apply([talk.event_id for talk in talks], work)


def _facts(talk: Talk) -> list[Fact]:
    if talk.link_id:
        return [Fact(Kind.CLICKED, talk.time, target=talk.link_id, match="url")]
    facts = []
    if talk.button:
        facts.append(Fact(Kind.CLICKED, talk.time, target=talk.payload, match="quick_reply"))
    match = "context" if talk.context_wamid else "window"
    return [*facts, Fact(Kind.REPLIED, talk.time, target=talk.wamid, match=match)]


def _told(happenings: Iterable[Happening], received: int, trace: str) -> list[Record | None]:
    records: list[Record | None] = []
    for happening in happenings:
        happening.received_time, happening.traceparent = received, trace
        records.append(record_of(happening))
    return records


async def _candidates(
    connection: Connection, messages: Sequence[Message], *, lock: bool
) -> list[Candidate]:
    """What the gates ask about. With `lock`, a campaign cannot be paused before the commit."""
    campaigns = {m.campaign_id for m in messages if m.campaign_id}
    phases: dict[str, int] = {}
    if campaigns:
        rows = await connection.fetch(
            "SELECT campaign_id, state FROM campaigns WHERE campaign_id = ANY($1::text[])"
            f" ORDER BY campaign_id {'FOR SHARE' if lock else ''}",
            list(campaigns),
        )
        phases = {row["campaign_id"]: row["state"] for row in rows}
    named = {(m.phone_number_id, m.template, m.language) for m in messages if m.template}
    templates: dict[tuple[str, str, str], Template] = {}
    saturations: dict[str, int] = {}
    if named:
        numbers, names, languages = zip(*named, strict=True)
        rows = await connection.fetch(
            f"SELECT n.phone_number_id, {_TEMPLATE_COLUMNS} FROM templates t"
            " JOIN numbers n USING (waba_id) WHERE (n.phone_number_id, t.name, t.language) IN"
            " (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))",
            *(list(numbers), list(names), list(languages)),
        )
        for number, *fields in rows:
            template = Template(*fields)
            templates[number, template.name, template.language] = template
        rows = await connection.fetch(
            "SELECT contact_id, last_time FROM saturations WHERE contact_id = ANY($1::text[])",
            [m.contact_id for m in messages if m.template],
        )
        saturations = dict(tuple(row) for row in rows)
    windows: dict[tuple[str, str], int] = defaultdict(int)
    if free := [m.contact_id for m in messages if not m.template]:
        rows = await connection.fetch(
            "SELECT contact_id, phone_number_id, last_time FROM windows"
            " WHERE contact_id = ANY($1::text[])",
            free,
        )
        windows |= {(row[0], row[1]): row[2] for row in rows}
    return [
        Candidate(
            message,
            phases.get(message.campaign_id) if message.campaign_id else None,
            templates.get((message.phone_number_id, message.template, message.language)),
            windows[message.contact_id, message.phone_number_id],
            saturations.get(message.contact_id, 0),
        )
        for message in messages
    ]


async def _beside(
    connection: Connection, settled: Sequence[Settled], messages: Sequence[Message]
) -> None:
    """What an outcome says of the number, the template or the person."""
    by_id = {message.message_id: message for message in messages}
    saturated: dict[str, int] = {}
    for one in settled:
        message = by_id.get(one.message_id)
        match one.outcome:
            case Halted(kind, code):
                await connection.execute(
                    "UPDATE numbers SET paused = true, state_reason = $2, update_time = $3"
                    " WHERE phone_number_id = $1",
                    *(one.phone_number_id, f"{kind}_{code}", one.time),
                )
            case Refused(_, code) if code in _PAUSING and message is not None:
                await connection.execute(
                    "UPDATE templates SET state = $4, state_time = $5, update_time = $5"
                    " FROM numbers n WHERE n.waba_id = templates.waba_id"
                    " AND n.phone_number_id = $1 AND templates.name = $2"
                    " AND templates.language = $3 AND state_time < $5",
                    message.phone_number_id,
                    message.template,
                    message.language,
                    _PAUSING[code],
                    one.time,
                )
            case Refused(_, code) if code in SATURATED and message is not None:
                saturated[message.contact_id] = one.time
    await _saturate(connection, saturated)


async def _saturate(connection: Connection, contacts: Mapping[str, int]) -> None:
    if ordered := sorted((one, time) for one, time in contacts.items() if one):
        await connection.execute(
            "INSERT INTO saturations SELECT * FROM unnest($1::text[], $2::bigint[])"
            " ON CONFLICT (contact_id) DO UPDATE"
            " SET last_time = greatest(saturations.last_time, excluded.last_time)",
            [contact for contact, _ in ordered],
            [time for _, time in ordered],
        )


async def _open_windows(connection: Connection, talks: Sequence[Talk]) -> None:
    latest: dict[tuple[str, str], int] = {}
    for talk in talks:
        key = (talk.contact_id, talk.phone_number_id)
        latest[key] = max(latest.get(key, 0), talk.time)
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
    answered = {talk.event_id: talk.message_id for talk in talks if talk.message_id}
    quoting = {talk.event_id: talk.context_wamid for talk in talks if talk.context_wamid}
    if quoting:
        rows = await connection.fetch(
            "SELECT wamid, message_id FROM messages WHERE wamid = ANY($1::text[])",
            list(set(quoting.values())),
        )
        ids = {row["wamid"]: row["message_id"] for row in rows}
        answered |= {event: ids[wamid] for event, wamid in quoting.items() if wamid in ids}
    free = [talk for talk in talks if talk.wamid and not talk.context_wamid]
    if free:
        rows = await connection.fetch(
            "SELECT q.event_id, m.message_id"
            " FROM unnest($1::text[], $2::text[], $3::bigint[]) AS q(event_id, contact_id, time)"
            " CROSS JOIN LATERAL (SELECT message_id FROM messages"
            "  WHERE contact_id = q.contact_id AND sent_time > q.time - $4::bigint"
            "  AND sent_time <= q.time + $5::bigint ORDER BY sent_time DESC LIMIT 1) AS m",
            [talk.event_id for talk in free],
            [talk.contact_id for talk in free],
            [talk.time for talk in free],
            DAY_MS,
            _SECOND_MS,
        )
        answered |= {row["event_id"]: row["message_id"] for row in rows}
    return answered
