"""How many contacts there are, who agreed to marketing, how often people write: summed up.

What was said of a person's consent may come in any order and be told of any of their ids, and a
merge changes the past. So whenever something is said of it, or of who somebody is, it is found anew
from all that was said when it began and ended; what the sums hold of the person is taken out, and
what is now known put in.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from chassis.clock import milliseconds_of, moment_of
from chassis.postgres import Connection
from services.reports.columns import TIME, added, by_column, days_anew, upsert, upsert_days
from services.reports.rollups import QUARTER

_NEVER: Final = moment_of(0)
_CONCERNED: Final = (
    "SELECT t.contact_id FROM unnest($1::text[]) AS t (contact_id)"
    " WHERE EXISTS (SELECT FROM contact_history h WHERE h.contact_id = t.contact_id"
    " AND h.name = 'consent')"
    " OR EXISTS (SELECT FROM consents c WHERE c.contact_id = t.contact_id)"
)
# Whoever does the same at the same time waits here, and sees what we did
_HELD: Final = (
    "INSERT INTO consents AS c (contact_id, change_time, turns)"
    " SELECT contact_id, 'epoch', '{}' FROM unnest($1::text[]) AS t (contact_id)"
    " ORDER BY contact_id ON CONFLICT (contact_id) DO UPDATE SET turns = c.turns"
    " RETURNING contact_id, turns"
)
_SAID: Final = (
    "SELECT contact_id, change_time, value FROM contact_history"
    " WHERE name = 'consent' AND contact_id = ANY($1::text[])"
)
_FOUND: Final = "UPDATE consents SET turns = $2::bigint[], change_time = $3 WHERE contact_id = $1"
_KEY: Final = ("name", "bucket")
_ROW: Final = {"name": "text", "bucket": TIME, "added": "bigint"}
_SUMS: Final = ("added",)
_CHANGES: Final = upsert("base_changes", _KEY, _ROW, added(_SUMS))
_DAYS: Final = upsert_days("base_days", _KEY, _ROW, _SUMS)
_ANEW: Final = days_anew("base_days", "base_changes", _KEY, _SUMS)


async def add(connection: Connection, more: Mapping[tuple[str, int], int]) -> None:
    """Add to how many more there are of something than before a quarter of an hour (epoch ms)."""
    if rows := [(*what, count) for what, count in more.items() if count]:
        columns = by_column(rows)
        await connection.execute(_CHANGES, *columns)
        await connection.execute(_DAYS, *columns)


async def adopt(connection: Connection, zone: str) -> None:
    """Sum up by days of a zone."""
    await connection.execute("TRUNCATE base_days")
    await connection.execute(_ANEW, zone, timeout=600)


def turns(said: Mapping[int, str]) -> list[int]:
    """When consent began and ended, by turns, of what was said when: `withdrawn`, `granted`, or
    `granted` with when it ends by itself. A grant holds until the next word (all in epoch ms)."""
    found: list[int] = []
    times = sorted(said)
    for time, after in [*pairwise(times), *((last, None) for last in times[-1:])]:
        word, _, until = said[time].partition(" ")
        if word != "granted":
            continue
        ends = [end for end in (after, int(until) if until else None) if end is not None]
        found += [time, *([max(time, min(ends))] if ends else [])]
    return found


async def recount(connection: Connection, persons: Mapping[str, str]) -> None:
    """Find anew when these people agreed, and put the sums right. `persons`: contact → person, all
    ids of each."""
    concerned = {row[0] for row in await connection.fetch(_CONCERNED, list(persons))}
    whole = {persons[contact] for contact in concerned}
    ids = sorted(contact for contact, person in persons.items() if person in whole)
    if not ids:
        return
    before = {row[0]: row[1] for row in await connection.fetch(_HELD, ids)}
    said: dict[str, dict[int, str]] = {}
    for contact, moment, value in await connection.fetch(_SAID, ids):
        told, time = said.setdefault(persons[contact], {}), milliseconds_of(moment)
        # Of the same moment the larger word: a withdrawal, or the grant that ends latest
        told[time] = max(value, told.get(time, value))
    # All that is known of a person stands with the id that is the person
    after = {contact: turns(said.get(contact, {})) for contact in ids}
    changed = [contact for contact in ids if after[contact] != before[contact]]
    latest = {person: moment_of(max(told)) for person, told in said.items()}
    await connection.executemany(
        _FOUND, [(one, after[one], latest.get(persons[one], _NEVER)) for one in changed]
    )
    more: Counter[tuple[str, int]] = Counter()
    for contact in changed:
        for sign, moments in ((-1, before[contact]), (1, after[contact])):
            for place, time in enumerate(moments):
                more["consented", time - time % QUARTER] += -sign if place % 2 else sign
    await add(connection, more)
