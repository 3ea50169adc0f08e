"""The outbox: messages in Postgres, and what follows from their changes on the log.

Every method that writes is a transaction. Rows are locked in the order of their ids, or not waited
for.
"""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from secrets import randbits
from typing import Any, Final

from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from services.sender import measuring
from services.sender.delivery.claiming import Decide, Look
from services.sender.delivery.leases import Leases
from services.sender.delivery.moves import Decided, Settled, settle
from services.sender.delivery.nobody import anonymise
from services.sender.delivery.outcome import Sent, code_of
from services.sender.delivery.progress import Status, Talk
from services.sender.failures import ContactErased
from services.sender.gates import Candidate
from services.sender.model import Happening, Message, Number, State
from services.sender.rulebook import Rulebook
from services.sender.tables.aftermath import Said, follow
from services.sender.tables.candidates import candidates
from services.sender.tables.expiring import Find, abandoned, late, unanswered
from services.sender.tables.hearing import Heard, hear, rejoin, talk
from services.sender.tables.history import Recorded
from services.sender.tables.reckoning import COMPLAINTS, ask_again, before, reckon, reserve
from services.sender.tables.rows import COLUMNS, insert, locked, update
from services.sender.tables.turns import due, take
from services.sender.tables.verdicts import unpack
from services.sender.tables.wamids import named, note
from services.sender.wire import record_of

_NUMBER_COLUMNS: Final = ", ".join(Number.__struct_fields__)
_SWEPT: Final = 1_000
_NAMED: Final = partial(randbits, 62)
_PUBLISHED: Final = {
    State.SUPPRESSED: "message_suppressed",
    State.CANCELLED: "message_suppressed",
    State.HELD: "message_held",
    State.HELD_OUT: "message_held_out",
}


class Outbox:
    """Messages and what is kept of contacts beside them."""

    def __init__(
        self,
        pool: Pool,
        effects: Effects,
        slot: int = 0,
        name: Callable[[], int] = _NAMED,
    ) -> None:
        """`slot`: among the rows of one count the one that this process adds to. `name`: of a
        claim, like no other's; one that was rolled back must not be given again."""
        self._pool = pool
        self._effects = effects
        self._slot = slot
        self._name = name
        self._rulebook = Rulebook()
        self._leases = Leases()

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
        async with self._pool.acquire(timeout=10) as connection:
            message_id = value
            if column == "wamid":
                message_id = (await named(connection, [value])).get(value, "")
            row = await connection.fetchrow(
                f"SELECT {COLUMNS} FROM messages WHERE message_id = $1", message_id
            )
        return None if row is None else Message(*row)

    async def several(self, message_ids: Sequence[str]) -> Mapping[str, Message]:
        """Messages by their ids; whom nobody knows is not among them."""
        rows = await self._pool.fetch(
            f"SELECT {COLUMNS} FROM messages WHERE message_id = ANY($1::text[])", message_ids
        )
        found = {message.message_id: message for message in (Message(*row) for row in rows)}
        return {one: found[one] for one in message_ids if one in found}

    async def waiting(self, phone_number_id: str, lane: int, most: int) -> int:
        """How many messages of no campaign wait for a number in a lane, up to so many."""
        found: int = await self._pool.fetchval(
            "SELECT count(*) FROM (SELECT FROM messages WHERE is_waiting"
            " AND phone_number_id = $1 AND lane = $2 AND campaign_id = '' LIMIT $3) AS found",
            *(phone_number_id, lane, most),
        )
        return found

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
            "SELECT decide_time, verdicts FROM messages WHERE message_id = $1 AND verdicts <> ''",
            message_id,
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
        self,
        phone_number_id: str,
        places: Sequence[int],
        now: int,
        decide: Decide,
        look: Look | None = None,
    ) -> tuple[Sequence[Decided], bool]:
        """Take due messages and store what `decide` makes of them; see `claiming.Claims`."""
        decided: Sequence[Decided] = []
        more = False
        name = self._name()

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal decided, more
            messages, more = await due(connection, phone_number_id, places, now)
            if not messages:
                return []
            stood = {m.message_id: (m.state, m.gate, m.reason) for m in messages}
            if look is not None:
                await look(messages)
            found = await candidates(connection, self._rulebook, messages, now, lock=True)
            decided = await decide(found)
            await take(connection, name, decided, found[0].edition, now)
            await reserve(connection, decided)
            return [
                record_of(Happening(_PUBLISHED[State(one.message.state)], one.message, now))
                for one in decided
                if _is_news(one, stood[one.message.message_id])
            ]

        await self._effects.apply((), work)
        self._leases.begin(name, [one.message.message_id for one in decided if one.address])
        measuring.judged(decided)
        return decided, more

    async def settle(self, settled: Sequence[Settled]) -> None:
        """Store the outcomes of calls and publish what follows."""
        plain: set[str] = set()

        async def accept(connection: Connection, _: Sequence[int]) -> list[Record]:
            happenings = await _accept(
                connection, [one for one in settled if isinstance(one.outcome, Sent)]
            )
            plain.update(happenings)
            return [record_of(happening) for happening in happenings.values()]

        # Apart from the others, so that nobody locks messages in two steps
        await self._effects.apply((), accept)
        others = [one for one in settled if one.message.message_id not in plain]
        if others:
            await self._effects.apply((), lambda found, _: self._settle(found, others))
        for one in settled:
            self._leases.settle(one.message.claim, one.message.message_id)

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
        await note(connection, [m for m in messages if not earlier[m.message_id].wamid])
        return [*(record_of(happening) for happening in happenings), *follows]

    async def expire(self, now: int) -> int:
        """What nobody answered, and what waits too long; see `dispatch.Outbox`."""
        over = self._leases.over()
        moved = await self._move(partial(abandoned, over), now)
        return moved + await self._move(unanswered, now) + await self._move(late, now)

    async def _move(self, find: Find, now: int) -> int:
        moved = 0

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal moved
            messages, move = await find(connection, self._rulebook, now)
            if not messages:
                return []
            earlier = before(messages)
            happenings = [happening for message in messages for happening in move(message)]
            await reckon(connection, self._rulebook, earlier, messages, now, self._slot)
            await update(connection, messages)
            moved = len(messages)
            return [record_of(happening) for happening in happenings]

        await self._effects.apply((), work)
        return moved

    async def reopen(self, phone_number_ids: Sequence[str], now: int) -> int:
        """Ask again what waits for these numbers; see `dispatch.Outbox`."""
        status = await self._pool.execute(
            "UPDATE messages SET due_time = $2 WHERE message_id IN (SELECT message_id FROM messages"
            " WHERE phone_number_id = ANY($1::text[]) AND is_held AND gate = 'number'"
            " AND due_time > $2 LIMIT $3 FOR UPDATE SKIP LOCKED)",
            *(list(phone_number_ids), now, _SWEPT),
        )
        return int(status.split()[-1])

    # --- hearing ------------------------------------------------------------------------------

    async def hear(self, statuses: Sequence[Status], onward: Sequence[str]) -> None:
        """Fold Meta's statuses into messages; those of others' messages are passed on."""
        told = [Heard(*one) for one in zip(statuses, onward, strict=True)]
        now = max((one.received_time for one in statuses), default=0)

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            return await hear(
                connection, self._rulebook, self._slot, told, now, self._effects.unseen
            )

        await self._effects.apply((), work)

    async def rejoin(self, now: int) -> int:
        """Fold in statuses that came before anybody knew whose they are; see `dispatch.Outbox`."""
        moved = 0

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal moved
            moved, records = await rejoin(connection, self._rulebook, self._slot, now)
            return records

        await self._effects.apply((), work)
        return moved

    async def relieve(self, contact_ids: Sequence[str], now: int) -> None:
        """Ask again what waits for complaints of these contacts."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            await ask_again(connection, COMPLAINTS, contact_ids, now)

    async def talk(self, talks: Sequence[Talk], onward: Sequence[str]) -> None:
        """Windows that open, and replies and clicks joined to the messages they answer."""

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            return await talk(connection, [(talks[i], onward[i]) for i in fresh])

        await self._effects.apply([one.event_id for one in talks], work)


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
        " AS u(message_id, wamid, time, claim) WHERE m.message_id = u.message_id"
        " AND m.state = 3 AND m.claim = u.claim AND m.contact_id <> ''"
        " RETURNING m.message_id, m.contact_id, m.home_id",
        ids,
        [_wamid(by_id[one]) for one in ids],
        [by_id[one].time for one in ids],
        [by_id[one].message.claim for one in ids],
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
    await note(connection, [happening.message for happening in found.values()])
    return found


def _wamid(done: Settled) -> str:
    return done.outcome.wamid if isinstance(done.outcome, Sent) else ""


def _is_news(one: Decided, stood: tuple[int, str, str]) -> bool:
    """Whether anybody is to hear of it. That a message waits on for the same reason is none, nor
    that a campaign is paused, which is told of the campaign."""
    message = one.message
    if one.verdict is None or stood == (message.state, message.gate, message.reason):
        return False
    return one.verdict.gate != "campaign" or message.state != State.HELD
