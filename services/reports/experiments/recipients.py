"""Reads the recipients of a campaign, a bounded number at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from chassis.clock import milliseconds_of, moment_of
from chassis.postgres import Connection, Pool
from services.reports import contexts, messages
from services.reports.attribution import Order
from services.reports.experiments.model import SALES, Experiment
from services.reports.experiments.outcomes import Gathered, Recipient, gather, past
from services.reports.messages import Known
from services.reports.model import ENDED_STATES, REACHED, SENT, MessageFact, Progress

_CHUNK: Final = 2_000
_FORMER: Final = 20
"""Messages before that say how somebody usually behaves."""
_BEFORE: Final = timedelta(days=180)
_DECIDED: Final = SENT | REACHED | 1 << Progress._fields.index("failed")
# All of a person one after the other
_RECIPIENTS: Final = (
    "SELECT coalesce(nullif(coalesce(p.person_id, contact_id), ''), message_id) AS person,"  # noqa: S608 - constants
    f" progress & {_DECIDED} <> 0 AS decided, {messages.READ}"
    " FROM message_facts LEFT JOIN people p USING (contact_id)"
    " WHERE campaign_id = $1 ORDER BY person"
)
_PATIENCE_S: Final = 600
"""Of a campaign of millions the recipients are sorted for longer than statements may take else."""
_EARLIER: Final = (
    "SELECT t.person, m.* FROM unnest($1::text[], $2::text[], $3::timestamptz[])"  # noqa: S608 - constants
    " AS t (contact_id, person, start)"
    f" CROSS JOIN LATERAL (SELECT {messages.READ} FROM message_facts"
    " WHERE contact_id = t.contact_id AND counted_time < t.start"
    " AND counted_time >= t.start - $4::interval"
    " AND reached_time IS NOT NULL ORDER BY counted_time DESC LIMIT $5) m"
)


class Recipients:
    """What is known of the recipients of experiments."""

    def __init__(
        self,
        pool: Pool,
        fold_time: Callable[[], datetime],
        window: Callable[[str], Awaitable[timedelta]],
    ) -> None:
        """`fold_time`: until when everything is known. `window`: of a conversion, how long after a
        message it counts."""
        self._pool = pool
        self._fold_time = fold_time
        self._window = window

    async def gathered(self, experiment: Experiment) -> tuple[Gathered, str, datetime]:
        """What came of the recipients of an experiment's campaign, all as of one instant; the
        currency of revenue, that of most orders; until when everything is known."""
        fold_time = self._fold_time()
        found = Gathered(known_until=milliseconds_of(fold_time))
        async with (
            self._pool.acquire(timeout=10) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute(f"SET LOCAL statement_timeout = '{_PATIENCE_S}s'")
            found.currency = await _currency(connection, experiment)
            async for chunk in _recipients(connection, experiment):
                gather(chunk, found, experiment.goal, experiment.window_ms)
        return found, found.currency, fold_time

    async def window(self, conversion_id: str) -> timedelta:
        """How long after a message a conversion counts. Raises `ConversionNotFound`."""
        return await self._window(conversion_id)

    async def over(self, campaign_id: str) -> bool:
        """Whether a campaign ended."""
        state = await self._pool.fetchval(
            "SELECT state FROM campaign_facts WHERE campaign_id = $1", campaign_id
        )
        return state in ENDED_STATES


async def _recipients(
    connection: Connection, experiment: Experiment
) -> AsyncIterator[list[Recipient]]:
    async for known in _persons(connection, experiment.campaign_id):
        sells = experiment.goal in SALES
        persons: Mapping[str, str] = {}
        if sells or experiment.adjusts_history:
            persons = await _ids(connection, known)
        bought: Mapping[str, list[Order]] = {}
        if sells:
            bought = await contexts.orders(connection, persons, experiment.conversion_id)
        earlier: Mapping[str, list[MessageFact]] = {}
        if experiment.adjusts_history and not sells:
            earlier = await _earlier(connection, known, persons)
        yield [
            Recipient(
                fact,
                context,
                bought.get(person, ()),
                _past(experiment, fact, earlier.get(person, ()), bought.get(person, ())),
            )
            for person, (fact, context) in known.items()
        ]


async def _persons(connection: Connection, campaign_id: str) -> AsyncIterator[dict[str, Known]]:
    """Each person with the message that counts."""
    cursor = await connection.cursor(_RECIPIENTS, campaign_id)
    person, theirs = "", list[tuple[bool, Known]]()
    while rows := await cursor.fetch(_CHUNK, timeout=_PATIENCE_S):
        found: dict[str, Known] = {}
        for whose, decided, *columns in rows:
            if theirs and whose != person:
                found[person] = _counting(theirs)
                theirs = []
            person = whose
            theirs.append((decided, messages.read(columns)))
        if found:
            yield found
    if theirs:
        yield {person: _counting(theirs)}


def _counting(theirs: Sequence[tuple[bool, Known]]) -> Known:
    """Of several messages of a person: where they were first assigned holds, also where they turned
    out to be two contacts of whom each was assigned, but for what a gate refused; of that variant
    the first on which Meta decided, else the first."""
    if len(theirs) == 1:
        return theirs[0][1]
    every = [one for _, one in theirs]
    held = [
        one
        for decided, one in theirs
        if any(_arm(one.fact)) and (decided or "suppressed" not in one.fact.times)
    ]
    arm = _arm(min(held or every, key=_assigned).fact)
    _, first = min(
        ((not decided, one) for decided, one in theirs if _arm(one.fact) == arm),
        key=lambda found: (found[0], found[1].fact.counted_time or 0, found[1].fact.message_id),
    )
    return first


def _arm(fact: MessageFact) -> tuple[str, str]:
    """The control, or the variant."""
    return fact.control, "" if fact.control else fact.variant


def _assigned(one: Known) -> tuple[int, str]:
    """When a message was planned, which is when its variant was drawn."""
    times = one.fact.times
    return times.get("planned", min(times.values(), default=0)), one.fact.message_id


async def _ids(connection: Connection, known: Mapping[str, Known]) -> dict[str, str]:
    """All ids of the recipients, with the person."""
    return await contexts.people(connection, [one.fact.contact_id for one in known.values()])


async def _earlier(
    connection: Connection, known: Mapping[str, Known], persons: Mapping[str, str]
) -> dict[str, list[MessageFact]]:
    starts = {
        person: moment_of(time)
        for person, (fact, _) in known.items()
        if (time := fact.counted_time) is not None
    }
    ids = [(contact, person) for contact, person in persons.items() if person in starts]
    rows: list[asyncpg.Record] = await connection.fetch(
        _EARLIER,
        [contact for contact, _ in ids],
        [person for _, person in ids],
        [starts[person] for _, person in ids],
        _BEFORE,
        _FORMER,
    )
    found: dict[str, list[MessageFact]] = {}
    for row in rows:
        person, *columns = row
        found.setdefault(person, []).append(messages.read(columns).fact)
    return found


def _past(
    experiment: Experiment,
    fact: MessageFact,
    earlier: Sequence[MessageFact],
    orders: Sequence[Order],
) -> float:
    if not experiment.adjusts_history or (start := fact.counted_time) is None:
        return 0.0
    return past(experiment.goal, start, earlier, orders)


async def _currency(connection: Connection, experiment: Experiment) -> str:
    if experiment.goal != "revenue":
        return ""
    facts = "conversion_facts f" if experiment.conversion_id else "order_facts f"
    which = " AND conversion_id = $2" if experiment.conversion_id else ""
    found = await connection.fetchval(
        f"SELECT currency FROM message_facts m JOIN {facts} USING (contact_id)"  # noqa: S608 - constants
        f" WHERE m.campaign_id = $1 AND currency <> ''{which}"
        " GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1",
        experiment.campaign_id,
        *([experiment.conversion_id] if experiment.conversion_id else []),
        timeout=_PATIENCE_S,
    )
    return found or ""
