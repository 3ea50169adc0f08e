"""Facts in Postgres: written by merging upserts, read by `queries`."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from chassis.clock import moment_of
from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from chassis.tombstones import erased
from services.reports import arrivals, base, contexts, messages
from services.reports.columns import TIME, by_column, upsert
from services.reports.conversions.store import goals
from services.reports.ledger import NO_MESSAGES, Facts
from services.reports.live import pulses
from services.reports.live.pulse import Pulse
from services.reports.messages import Known
from services.reports.model import ORDERS, Goal, MessageFact
from services.reports.queries import Queries
from services.reports.rollups import Cube, Part, Sums, changes, part

_CUBES: Final = 200_000
"""As many as are remembered to be stored: some 200 MB."""


def _least(*names: str) -> list[str]:
    """The smaller value stays; nothing counts as larger than anything."""
    return [f"{name} = least(f.{name}, excluded.{name})" for name in names]


def _together(relation: str, *names: str) -> list[str]:
    """Columns that change only together: the new ones win where `new relation old`."""
    new = ", ".join(f"excluded.{name}" for name in names)
    old = ", ".join(f"f.{name}" for name in names)
    wins = f"f.{names[0]} IS NULL OR ({new}) {relation} ({old})"
    return [f"{name} = CASE WHEN {wins} THEN excluded.{name} ELSE f.{name} END" for name in names]


_NAMED_CAMPAIGNS: Final = upsert("campaign_facts", ["campaign_id"], {"campaign_id": "text"}, [])
_CAMPAIGNS: Final = upsert(
    "campaign_facts",
    ["campaign_id"],
    {
        **{"campaign_id": "text", "change_time": TIME, "state_rank": "int", "state": "text"},
        **{"name": "text", "recipients": "bigint", "launch_time": TIME},
    },
    [
        *_together(">", "change_time", "state_rank", "state", "name", "recipients"),
        *_least("launch_time"),
    ],
)
_ORDERS: Final = upsert(
    "order_facts",
    ["contact_id", "order_id"],
    {
        **{"contact_id": "text", "order_id": "text", "order_time": TIME, "value_time": TIME},
        **{"value_micros": "bigint", "currency": "text", "cancel_time": TIME},
    },
    [
        *_least("order_time", "cancel_time"),
        *_together(">", "value_time", "value_micros", "currency"),
    ],
)
_CONVERSIONS: Final = upsert(
    "conversion_facts",
    ["contact_id", "conversion_id", "order_id"],
    {
        **{"contact_id": "text", "conversion_id": "text", "order_id": "text"},
        **{"order_time": TIME, "value_time": TIME, "value_micros": "bigint"},
        **{"currency": "text", "cancel_time": TIME},
    },
    [
        *_least("order_time", "cancel_time"),
        *_together(">", "value_time", "value_micros", "currency"),
    ],
)
_WITHDRAWALS: Final = upsert(
    "withdrawals",
    ["contact_id", "withdraw_time"],
    {"contact_id": "text", "withdraw_time": TIME},
    [],
)
_LETTERS: Final = upsert(
    "letters",
    ["contact_id", "letter_id"],
    {
        **{"contact_id": "text", "letter_id": "text", "write_time": TIME},
        **{"phone_number_id": "text", "ours": "boolean"},
    },
    [],
)
_MEMBERSHIPS: Final = upsert(
    "segment_facts",
    ["contact_id", "segment_id"],
    {
        **{"contact_id": "text", "segment_id": "text"},
        **{"change_time": TIME, "version": "int", "member": "boolean"},
    },
    _together(">", "change_time", "version", "member"),
)
_SEGMENTS: Final = upsert(
    "segment_names",
    ["segment_id"],
    {
        **{"segment_id": "text", "change_time": TIME, "version": "int", "state": "text"},
        **{"name": "text", "display_name": "text"},
    },
    _together(">", "change_time", "version", "state", "name", "display_name"),
)
_PEOPLE: Final = upsert(
    "people",
    ["contact_id"],
    {"contact_id": "text", "change_time": TIME, "merged": "boolean", "person_id": "text"},
    _together(">", "change_time", "merged", "person_id"),
)
# Whoever became part of somebody else belongs nowhere; nobody says so.
_LEFT: Final = (
    "UPDATE segment_facts f SET member = false, change_time = to_timestamp(u.time / 1000.0)"
    " FROM unnest($1::text[], $2::bigint[]) AS u (contact_id, time)"
    " WHERE f.contact_id = u.contact_id AND f.member"
    " AND f.change_time < to_timestamp(u.time / 1000.0)"
)
_MOVES: Final = upsert(
    "segment_moves",
    ["segment_id", "hour", "entered"],
    {"segment_id": "text", "hour": TIME, "entered": "boolean", "count": "bigint"},
    ["count = f.count + excluded.count"],
)
_ACTIVITY: Final = upsert(
    "activity",
    ["kind", "name", "minute"],
    {"kind": "text", "name": "text", "minute": TIME, "count": "bigint"},
    ["count = f.count + excluded.count"],
)


class PostgresStore(Queries):
    """Facts in the schema `reports`."""

    def __init__(self, pool: Pool, effects: Effects, window: timedelta) -> None:
        """`window`: how long after delivery an order is attributed."""
        super().__init__(pool)
        self._effects = effects
        self._orders = Goal(window // timedelta(milliseconds=1))
        self._seeing = False
        """Whether windows begin with reads or taps, by some definition."""
        self._cubes: dict[int, Cube] = {}

    async def adopt(self, zone: str) -> None:
        """Have the sums of days be those of a zone."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = '10min'")
            if await messages.adopt(connection, zone):
                await base.adopt(connection, zone)

    async def write(
        self, event_ids: Sequence[str], facts: Callable[[Sequence[int]], Facts]
    ) -> None:
        """Fold what events say that were not seen before, given by position, once."""
        fresh_cubes: dict[int, Cube] = {}

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            folded = facts(fresh)
            folded.leave_out(await erased(connection, folded.contacts()))
            pulse = Pulse()
            sums = await self._messages(connection, folded, pulse)
            await _write(connection, folded)
            for letter in folded.letters:
                if not letter.ours:
                    pulse.add("received", "", letter.time)
            await pulses.leave(connection, pulse)
            fresh_cubes.update(await messages.count(connection, sums, self._cubes))
            await _count(connection, folded)
            return []

        await self._effects.apply(event_ids, work)
        self._remember(fresh_cubes)

    async def _messages(self, connection: Connection, folded: Facts, pulse: Pulse) -> Sums:
        """Write messages; returns what has to be added to the sums."""
        before: list[Sums] = []
        after: list[Sums] = []
        reached: set[str] = set()
        pending = folded.messages
        while pending:  # more than once only if somebody else inserted the same messages meanwhile
            known = await messages.known(connection, pending)
            parts = {message_id: part(*one) for message_id, one in known.items()}
            before += [counted.sums for counted in parts.values()]
            latest: dict[str, Part] = {}
            anew: list[MessageFact] = []
            for message_id, said in pending.items():
                if message_id not in known:
                    anew.append(said)
                    if said.reached_time is not None:
                        reached.add(said.contact_id)
                    continue
                fact = known[message_id].fact
                time, touch = parts[message_id][:2]
                was = (time, fact.occurrence_id, fact.contact_id)
                seen = _seen(fact) if self._seeing else None
                fact.merge(said)
                now = latest[message_id] = part(*known[message_id])
                if now.reached_time != touch or (seen is not None and seen != _seen(fact)):
                    reached.add(fact.contact_id)
                # Of somebody who was erased nothing is left to look at
                if (
                    was != (now.counted_time, fact.occurrence_id, fact.contact_id)
                    and said.contact_id
                ):
                    anew.append(fact)
            found = await contexts.contexts(connection, anew)
            changed = [
                Known(
                    fact,
                    found[fact.message_id]._replace(opted_out=old.opted_out, sales=old.sales)
                    if fact.message_id in found
                    else old,
                )
                for fact, old in known.values()
            ]
            new = [Known(f, found[f.message_id]) for f in anew if f.message_id not in known]
            new_rows = [(one, part(*one)) for one in new]
            rows = [
                (one, part(*one) if one.fact.message_id in found else latest[one.fact.message_id])
                for one in changed
            ]
            added = await messages.add(connection, new_rows)
            await messages.put(connection, rows)
            await messages.bring(connection, _moved(parts, rows))
            after += [counted.sums for _, counted in rows]
            after += [counted.sums for one, counted in new_rows if one.fact.message_id in added]
            for (fact, _), counted in rows:
                pulse.message(fact, parts[fact.message_id].bits, counted.bits)
            for (fact, _), counted in new_rows:
                if fact.message_id in added:
                    pulse.message(fact, None, counted.bits)
            pending = {f.message_id: f for f, _ in new if f.message_id not in added}
        concerned = await contexts.concerned(connection, reached - {""})
        await contexts.leave(connection, dict.fromkeys(concerned, 0))
        return changes(before, after)

    async def revise(self, most: int = 200) -> int:
        """Look again at messages of whose contacts something was said; returns of how many."""
        fresh_cubes: dict[int, Cube] = {}
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            defined = await goals(connection) | {ORDERS: self._orders}
            self._seeing = any(goal.anchor != "delivered" for goal in defined.values())
            starts = await contexts.take(connection, most)
            starts = starts or await contexts.catch_up(connection, most)
            if not starts:
                return 0
            persons = await contexts.people(connection, starts)
            earliest: dict[str, int] = {}
            for contact, time in starts.items():
                person = persons[contact]
                earliest[person] = min(time, earliest.get(person, time))
            since = {
                contact: moment_of(earliest[person])
                for contact, person in persons.items()
                if earliest[person] < NO_MESSAGES
            }
            known = await messages.since(connection, since) if since else {}
            came = await arrivals.held(connection, persons)
            if since or came:
                success = await contexts.successes(connection, persons, defined)
                fresh_cubes = await self._again(connection, known, persons, success)
                await arrivals.credit(connection, came, success.done, success.goals)
            await base.recount(connection, persons)
        self._remember(fresh_cubes)
        return len(starts)

    async def _again(
        self,
        connection: Connection,
        known: Mapping[str, Known],
        persons: Mapping[str, str],
        success: contexts.Success,
    ) -> dict[int, Cube]:
        """Find out anew what other events say of messages; returns cubes that are new."""
        if not known:
            return {}
        found = await contexts.contexts(connection, [fact for fact, _ in known.values()])
        came = await contexts.outcomes(connection, persons, success)
        before: list[Sums] = []
        changed: list[Known] = []
        brought: list[Known] = []
        pulse = Pulse()
        for message_id, (fact, old) in known.items():
            opted_out, sales, goals = came.get(message_id, contexts.Outcome())
            context = found[message_id]._replace(opted_out=opted_out, sales=sales)
            if sales or goals or old.sales or fact.goals:
                brought.append(Known(fact, context))
            if context != old or goals != fact.goals:
                changed.append(Known(fact, context))
                before.append(part(fact, old).sums)
                pulse.context(fact, old, context)
                fact.goals = goals
        rows = [(one, part(*one)) for one in changed]
        await messages.put(connection, rows)
        await messages.bring(connection, [(one, part(*one)) for one in brought])
        await pulses.leave(connection, pulse)
        sums = changes(before, (counted.sums for _, counted in rows))
        return await messages.count(connection, sums, self._cubes)

    def _remember(self, cubes: Mapping[int, Cube]) -> None:
        """That these are stored, once they are for good."""
        if len(self._cubes) + len(cubes) > _CUBES:
            self._cubes.clear()
        self._cubes.update(cubes)


def _seen(fact: MessageFact) -> tuple[int | None, int | None]:
    return fact.times.get("read"), fact.times.get("clicked")


def _moved(
    before: Mapping[str, Part], rows: Sequence[tuple[Known, Part]]
) -> list[tuple[Known, Part]]:
    """Messages that brought something and count otherwise now."""
    moved: list[tuple[Known, Part]] = []
    for one, now in rows:
        old = before[one.fact.message_id]
        if (now.brought or old.brought) and (
            (old.brought, old.counted_time, old.cube) != (now.brought, now.counted_time, now.cube)
            or old.sums.keys() != now.sums.keys()
        ):
            moved.append((one, now))
    return moved


async def _write(connection: Connection, facts: Facts) -> None:
    named = {m.campaign_id for m in facts.messages.values() if m.campaign_id}
    await _put(connection, _NAMED_CAMPAIGNS, [(i,) for i in named - facts.campaigns.keys()])
    await _put(
        connection,
        _CAMPAIGNS,
        [(c.campaign_id, *c.latest, c.launch) for c in facts.campaigns.values()],
    )
    await _put(
        connection,
        _ORDERS,
        [
            (o.contact_id, o.order_id, o.completed, *(o.value or (None, None, None)), o.cancelled)
            for o in facts.orders.values()
        ],
    )
    await _put(
        connection,
        _CONVERSIONS,
        [
            (*key, o.completed, *(o.value or (None, None, None)), o.cancelled)
            for key, o in facts.conversions.items()
        ],
    )
    await _put(connection, _WITHDRAWALS, list(facts.withdrawals))
    await _put(connection, _LETTERS, list(facts.letters))
    await arrivals.note(connection, facts.arrivals)
    await _put(
        connection,
        _MEMBERSHIPS,
        [(m.contact_id, m.segment_id, *m.change) for m in facts.memberships.values()],
    )
    await _put(
        connection, _PEOPLE, [(i, *change, who) for i, (change, who) in facts.people.items()]
    )
    if absorbed := [(i, time) for i, ((time, merged), _) in facts.people.items() if merged]:
        await _put(connection, _LEFT, sorted(absorbed))
    await _put(connection, _SEGMENTS, [(s.segment_id, *s.latest) for s in facts.segments.values()])
    await contexts.note(connection, facts.traits, list(facts.origins.values()))
    await contexts.leave(connection, facts.revised())


async def _count(connection: Connection, facts: Facts) -> None:
    """Counters last: their rows are shared by all, so they are locked for the shortest time."""
    await base.add(connection, facts.base())
    await _put(connection, _MOVES, [(*move, count) for move, count in facts.moves.items()])
    await _put(connection, _ACTIVITY, [(*what, count) for what, count in facts.activity.items()])


async def _put(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        await connection.execute(statement, *by_column(rows))
