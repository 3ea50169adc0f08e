"""Deletes events that are older than their category is kept, or that are kept no longer because
the person said no.

A pass goes through all events in the order of their key, a batch in a transaction that holds one
row with how far it is: so a batch is done once, by any of several processes, and a restart goes on
where the last one was. What traits remember of an event stays.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import asyncpg
import structlog

from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Connection, Pool
from chassis.telemetry import counter
from chassis.transient import keep_at
from services.profile.person import consent
from services.profile.person.directory import Profiles
from services.profile.person.model import Contact
from services.profile.rights.categories import DataCategory
from services.profile.rights.category_store import CategoryStore
from services.profile.rights.limits import Limits, limits
from services.profile.rights.whole import readable_people
from services.profile.tables.registry import RegistryStore

_BATCH: Final = 5_000
_EVERY: Final = timedelta(hours=6)
_LOOK_EVERY: Final = timedelta(seconds=10)
_deleted = counter("merhaba.profile.events.deleted")
_logger = structlog.get_logger()


class Retention:
    """Goes through all events now and then."""

    def __init__(
        self,
        pool: Pool,
        categories: CategoryStore,
        registry: RegistryStore,
        profiles: Profiles,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._categories = categories
        self._registry = registry
        self._profiles = profiles
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        await keep_at(self.turn, self._clock, _LOOK_EVERY, "what is too old stays for now")

    async def turn(self) -> bool:
        """Look at a batch of events, if a pass is due; returns whether the pass goes on."""
        now = milliseconds_of(self._clock.now())
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            place = await connection.fetchrow(
                "SELECT after_contact, after_time, after_event, passed, deleted"
                " FROM retention WHERE next_time <= $1 FOR UPDATE SKIP LOCKED",
                now,
            )
            if place is None:
                return False
            known = await limits(self._categories, self._registry, connection)
            if known is None:
                await self._end(connection, now)
                return False
            rows = await connection.fetch(
                "SELECT contact_id, event_time, event, name FROM events"
                " WHERE (contact_id, event_time, event) > ($1, $2, $3)"
                " ORDER BY contact_id, event_time, event LIMIT $4",
                place["after_contact"],
                place["after_time"],
                place["after_event"],
                _BATCH,
            )
            gone = await self._delete(connection, rows, known, now)
            passed, deleted = place["passed"] + len(rows), place["deleted"] + gone
            if len(rows) == _BATCH:
                await connection.execute(
                    "UPDATE retention SET after_contact = $1, after_time = $2, after_event = $3,"
                    " passed = $4, deleted = $5",
                    *rows[-1][:3],
                    passed,
                    deleted,
                )
            else:
                await self._end(connection, now)
        _deleted.add(gone)
        more = len(rows) == _BATCH
        _logger.info("looked for what is too old", passed=passed, deleted=deleted, ended=not more)
        return more

    async def _delete(
        self, connection: Connection, rows: "Sequence[asyncpg.Record]", known: Limits, now: int
    ) -> int:
        limited = [(row, one) for row in rows if (one := known.of(row["name"])) is not None]
        asked = {str(row["contact_id"]) for row, one in limited if one.purpose}
        people = await readable_people(self._profiles, list(asked))
        doomed = [
            row
            for row, one in limited
            if _too_old(one, row["event_time"], now)
            or _refused(one, people.get(str(row["contact_id"])), now)
        ]
        if doomed:
            await connection.execute(
                "DELETE FROM events e USING unnest($1::uuid[], $2::bigint[], $3::uuid[])"
                " AS u (contact_id, event_time, event) WHERE e.contact_id = u.contact_id"
                " AND e.event_time = u.event_time AND e.event = u.event",
                *(list(column) for column in zip(*(row[:3] for row in doomed), strict=True)),
            )
        return len(doomed)

    async def _end(self, connection: Connection, now: int) -> None:
        """The pass is over; the next begins in a while."""
        await connection.execute(
            "UPDATE retention SET after_contact = DEFAULT, after_time = DEFAULT,"
            " after_event = DEFAULT, passed = 0, deleted = 0, next_time = $1",
            now + _EVERY // timedelta(milliseconds=1),
        )


def _too_old(category: DataCategory, time: int, now: int) -> bool:
    return category.retention > 0 and time < now - category.retention


def _refused(category: DataCategory, contact: Contact | None, now: int) -> bool:
    if not category.purpose or contact is None:
        return False
    line = consent.standing(contact.document.consents.values(), category.purpose)
    return consent.state(line, now) == consent.State.WITHDRAWN
