"""The outbox: messages in Postgres, and what follows from their changes on the log.

Every method that writes is one transaction. Rows are locked in the order of their ids.
"""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from chassis.tombstones import erased
from services.sender.aftermath import Said, follow
from services.sender.candidates import candidates
from services.sender.dispatch import Decide
from services.sender.failures import ContactErased
from services.sender.gates import Candidate
from services.sender.history import Recorded
from services.sender.model import DAY_MS, Happening, Lane, Message, Number, State
from services.sender.moves import Decided, Settled, doubt, give_up, settle
from services.sender.nobody import anonymise
from services.sender.outcome import Sent, code_of
from services.sender.progress import Fact, Kind, Status, Talk, learn
from services.sender.reckoning import ask_again, before, reckon, record
from services.sender.rows import CLAIMED, COLUMNS, insert, locked, update
from services.sender.rulebook import Rulebook
from services.sender.verdict_wire import unpack
from services.sender.wire import foreign_record, record_of

_NUMBER_COLUMNS: Final = ", ".join(Number.__struct_fields__)
_SWEPT: Final = 1_000
# Meta's times are whole seconds, ours are not: a reply may seem to precede what it answers.
_SECOND_MS: Final = 1_000
_PUBLISHED: Final = {
    State.SUPPRESSED: "message_suppressed",
    State.CANCELLED: "message_suppressed",
    State.HELD: "message_held",
    State.HELD_OUT: "message_held_out",
}


class Outbox:
    """Messages and what is kept of contacts beside them."""

    def __init__(self, pool: Pool, effects: Effects, slot: int = 0) -> None:
        """`slot`: among the rows of one count the one that this process adds to."""
        self._pool = pool
        self._effects = effects
        self._slot = slot
        self._rulebook = Rulebook()

    # --- reading ------------------------------------------------------------------------------

    async def numbers(self) -> Sequence[Number]:
        """Business numbers that send, each with the policy's share for conversations unless it has
        one of its own."""
        async with self._pool.acquire(timeout=10) as connection:
            share = (await self._rulebook.read(connection)).policy.reply_share
            rows = await connection.fetch(f"SELECT {_NUMBER_COLUMNS} FROM numbers WHERE NOT paused")
        found = [Number(*row) for row in rows]
        for number in found:
            if number.reply_share is None:
                number.reply_share = share
        return found

    async def preferred_numbers(self) -> Sequence[str]:
        """The policy's, for when nothing else decides, in order."""
        async with self._pool.acquire(timeout=10) as connection:
            return (await self._rulebook.read(connection)).policy.default_phone_number_ids

    async def get(self, column: str, value: str) -> Message | None:
        """The message with this `message_id` or `wamid`."""
        row = await self._pool.fetchrow(
            f"SELECT {COLUMNS} FROM messages WHERE {column} = $1", value
        )
        return None if row is None else Message(*row)

    async def find(
        self,
        conditions: Mapping[str, Any],
        states: Sequence[int],
        after: tuple[int, str],
        n: int,
        since: int = 0,
    ) -> list[Message]:
        """Messages with these column values, latest planned first, `after` a (plan time, id) and
        planned `since` a time."""
        values = list(conditions.values())
        where = "".join(f" AND {name} = ${i}" for i, name in enumerate(conditions, 6))
        rows = await self._pool.fetch(
            f"SELECT {COLUMNS} FROM messages WHERE (plan_time, message_id) < ($1, $2)"
            f" AND ($3::int[] = '{{}}' OR state = ANY($3)) AND plan_time >= $5{where}"
            " ORDER BY plan_time DESC, message_id DESC LIMIT $4",
            *(*after, list(states), n, since, *values),
        )
        return [Message(*row) for row in rows]

    async def candidate(self, message: Message, now: int) -> Candidate:
        """What the gates ask about at a moment for a message that may not be stored."""
        async with self._pool.acquire(timeout=10) as connection:
            (candidate,) = await candidates(connection, self._rulebook, [message], now, lock=False)
        return candidate

    async def decision(self, message_id: str) -> Recorded | None:
        """What the gates said when a message last came to its turn; None when it has not."""
        row = await self._pool.fetchrow(
            "SELECT decide_time, verdicts FROM decisions WHERE message_id = $1", message_id
        )
        return None if row is None else Recorded(row["decide_time"], unpack(row["verdicts"]))

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
        self, phone_number_id: str, places: Sequence[int], now: int, decide: Decide
    ) -> tuple[Sequence[Decided], bool]:
        """Take due messages and store what `decide` makes of them; see `dispatch.Outbox`."""
        decided: list[Decided] = []
        more = False

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal more
            messages: list[Message] = []
            # Lane by lane: together, the index would be read past all that is held in a lane.
            for lane, limit in zip(Lane, places, strict=True):
                if limit:
                    rows = await connection.fetch(
                        f"SELECT {COLUMNS} FROM messages WHERE state IN (1, 2)"
                        " AND phone_number_id = $1 AND lane = $2 AND due_time <= $3"
                        " ORDER BY due_time LIMIT $4 FOR UPDATE SKIP LOCKED",
                        phone_number_id,
                        int(lane),
                        now,
                        limit,
                    )
                    more = more or len(rows) == limit
                    messages += [Message(*row) for row in rows]
            if not messages:
                return []
            found = await candidates(connection, self._rulebook, messages, now, lock=True)
            decided.extend(await decide(found))
            await update(connection, [one.message for one in decided], CLAIMED)
            await record(connection, decided, found[0].edition, now)
            return [
                record_of(Happening(_PUBLISHED[State(one.message.state)], one.message, now))
                for one in decided
                # That a campaign is paused is told of the campaign, not of each of its messages.
                if one.verdict is not None
                and (one.verdict.gate != "campaign" or one.message.state != State.HELD)
            ]

        await self._effects.apply((), work)
        return decided, more

    async def settle(self, settled: Sequence[Settled]) -> None:
        """Store the outcomes of calls and publish what follows."""

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            accepted = [one for one in settled if isinstance(one.outcome, Sent)]
            plain = await _accept(connection, accepted)
            others = [one for one in settled if one.message.message_id not in plain]
            records = [record_of(happening) for happening in plain.values()]
            return records + (await self._settle(connection, others) if others else [])

        await self._effects.apply((), work)

    async def _settle(self, connection: Connection, settled: Sequence[Settled]) -> list[Record]:
        by_id = {one.message.message_id: one for one in settled}
        messages = await locked(connection, list(by_id))
        unknown_ms = (await self._rulebook.read(connection)).policy.unknown_ms
        earlier = before(messages)
        happenings: list[Happening] = []
        for message in messages:
            done = by_id[message.message_id]
            happenings += settle(message, done, unknown_ms)
            if not message.contact_id:
                happenings += anonymise(message, done.time)
        said = [
            Said(message, code, done.time)
            for message in messages
            if (code := code_of((done := by_id[message.message_id]).outcome)) is not None
        ]
        # Campaigns are locked before budgets and turnstiles, as claims do.
        follows = await follow(connection, said)
        now = max((one.time for one in settled), default=0)
        await reckon(connection, self._rulebook, earlier, messages, now, self._slot)
        await update(connection, messages)
        return [*(record_of(happening) for happening in happenings), *follows]

    async def expire(self, now: int) -> int:
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
            if not messages:
                return []
            policy = (await self._rulebook.read(connection)).policy
            earlier = before(messages)
            for message in messages:
                if message.state == State.ATTEMPTING:
                    happenings += doubt(message, "lease_ended", now, policy.unknown_ms)
                else:
                    repeat = getattr(policy.repeats_unknown, message.category, False)
                    happenings += give_up(message, now, repeat=repeat)
            await reckon(connection, self._rulebook, earlier, messages, now, self._slot)
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
            earlier = before(messages.values())
            foreign: list[Record | None] = []
            learnt: list[tuple[list[Happening], Status, str]] = []
            changed: dict[str, Message] = {}
            said: list[Said] = []
            for status, trace in new:
                if status.fact is None:
                    continue
                message = messages.get(status.callback_data) or by_wamid.get(status.fact.wamid)
                if message is None:
                    foreign.append(foreign_record(status.event, trace))
                    continue
                changed[message.message_id] = message
                if status.fact.kind == Kind.FAILED:
                    said.append(Said(message, status.fact.error_code, status.fact.time))
                happenings = learn(message, [status.fact])
                if not message.contact_id:
                    happenings += anonymise(message, status.fact.time)
                learnt.append((happenings, status, trace))
            follows = await follow(connection, said)
            now = max((s.received_time for s, _ in new), default=0)
            ordered = list(changed.values())
            await reckon(connection, self._rulebook, earlier, ordered, now, self._slot)
            await update(connection, ordered)
            told = [
                one
                for happenings, status, trace in learnt
                for one in _told(happenings, status.received_time, trace)
            ]
            return [one for one in [*told, *foreign, *follows] if one is not None]

        await self._effects.apply([s.event_id for s in statuses], work)

    async def relieve(self, contact_ids: Sequence[str], now: int) -> None:
        """Ask again what waits for complaints of these contacts."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            await ask_again(connection, "complaint", contact_ids, now)

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


async def _accept(connection: Connection, accepted: Sequence[Settled]) -> Mapping[str, Happening]:
    """Messages of which nothing is known but that Meta accepted them, and whose person is known:
    nearly all. They are not read, which halves the cost of an outcome. By message id."""
    if not accepted:
        return {}
    by_id = {one.message.message_id: one for one in accepted}
    ids = sorted(by_id)
    rows = await connection.fetch(
        "UPDATE messages AS m SET state = 5, wamid = u.wamid, sent_time = u.time"
        " FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])"
        " AS u(message_id, wamid, time, attempts) WHERE m.message_id = u.message_id"
        " AND m.state = 3 AND m.attempts = u.attempts AND m.contact_id <> ''"
        " RETURNING m.message_id, m.contact_id, m.home_id",
        ids,
        [_wamid(by_id[one]) for one in ids],
        [by_id[one].time for one in ids],
        [by_id[one].message.attempts for one in ids],
    )
    found = {}
    for message_id, contact_id, home_id in rows:
        done = by_id[message_id]
        message = done.message
        message.contact_id, message.home_id = contact_id, home_id  # a merge may have been followed
        message.state, message.wamid, message.sent_time = State.SENT, _wamid(done), done.time
        found[message_id] = Happening(
            "message_sent", message, done.time, traceparent=done.traceparent
        )
    return found


def _wamid(done: Settled) -> str:
    return done.outcome.wamid if isinstance(done.outcome, Sent) else ""


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
