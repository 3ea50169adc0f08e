"""Links of members, and whom they stand for, in Postgres.

Who changes a link holds the rows of both members, and those of all members of the persons they
belong to.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import asyncpg

from chassis.postgres import Connection
from services.profile.person.people import Evidence, Link, Person, Standing

_LINK: Final = "member_id, other_id, evidence, event_time, event, cut_time IS NOT NULL"


async def standing(
    connection: Connection, links: Collection[Link], made: Collection[str]
) -> Standing:
    """What is known of links that new evidence is about. `made`: members that are new."""
    shared = {one.member_id for one in links if one.evidence == Evidence.SHARED} - set(made)
    pairs = [one.pair for one in links if not set(one.pair) & set(made)]
    if not shared and not pairs:
        return Standing({}, {}, frozenset())
    rows = await connection.fetch(
        f"SELECT {_LINK} FROM links"  # noqa: S608 - a constant
        " WHERE (member_id, other_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))"
        f" UNION (SELECT DISTINCT ON (member_id) {_LINK} FROM links"
        "  WHERE member_id = ANY($3::uuid[]) AND evidence = $4 AND cut_time IS NULL"
        "  ORDER BY member_id, event_time, event)"
        f" UNION SELECT {_LINK} FROM links"
        "  WHERE (member_id = ANY($3::uuid[]) OR other_id = ANY($3::uuid[]))"
        "  AND evidence <> $4 AND cut_time IS NULL",
        [member_id for member_id, _ in pairs],
        [other_id for _, other_id in pairs],
        list(shared),
        Evidence.SHARED,
    )
    found = [_link(row) for row in rows]
    first: dict[str, Link] = {}
    for one in sorted(found, key=lambda each: each.moment):
        if one.evidence == Evidence.SHARED and not one.cut:
            first.setdefault(one.member_id, one)
    told = {i for one in found if one.evidence != Evidence.SHARED and not one.cut for i in one.pair}
    return Standing({one.pair: one for one in found}, first, frozenset(told & shared))


async def among(connection: Connection, member_ids: Sequence[str]) -> list[Link]:
    """The links that count among the members of a person, in the order in which they were found:
    of an anonymous one either the first by which it was shared, or all that are more."""
    rows = await connection.fetch(
        f"SELECT {_LINK} FROM links WHERE member_id = ANY($1::uuid[])"  # noqa: S608 - a constant
        " AND other_id = ANY($1::uuid[]) AND cut_time IS NULL ORDER BY link_number",
        member_ids,
    )
    found = [_link(row) for row in rows]
    told = {i for one in found if one.evidence != Evidence.SHARED for i in one.pair}
    first: dict[str, Link] = {}
    for one in sorted(found, key=lambda each: each.moment):
        if one.evidence == Evidence.SHARED and one.member_id not in told:
            first.setdefault(one.member_id, one)
    return [
        one for one in found if one.evidence != Evidence.SHARED or first.get(one.member_id) is one
    ]


async def remember(connection: Connection, links: Iterable[Link], now: int) -> None:
    """Write evidence: of two members the greater, and of that the first. What somebody tells is
    new, and makes a link count that was cut."""
    ordered = sorted(links)
    await connection.execute(
        "INSERT INTO links (member_id, other_id, evidence, event_time, event, cut_time)"
        " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::bigint[], $5::uuid[],"
        " $6::bigint[])"
        " ON CONFLICT (member_id, other_id) DO UPDATE SET"
        " evidence = excluded.evidence, event_time = excluded.event_time, event = excluded.event,"
        " cut_time = excluded.cut_time,"
        " link_number = CASE WHEN links.cut_time IS NULL THEN links.link_number"
        "  ELSE nextval(pg_get_serial_sequence('links', 'link_number')) END"
        " WHERE excluded.evidence = $7 OR (links.cut_time IS NULL"
        "  AND (-excluded.evidence, excluded.event_time, excluded.event)"
        "  < (-links.evidence, links.event_time, links.event))",
        [one.member_id for one in ordered],
        [one.other_id for one in ordered],
        [one.evidence for one in ordered],
        [one.time for one in ordered],
        [one.event for one in ordered],
        [now if one.cut else None for one in ordered],
        Evidence.TOLD,
    )


async def cut(
    connection: Connection, links: Collection[Link], shared: Collection[str], now: int
) -> None:
    """Cut links, and all by which anonymous members were shared."""
    await connection.execute(
        "UPDATE links SET cut_time = $1 WHERE cut_time IS NULL AND ("
        " (member_id, other_id) IN (SELECT * FROM unnest($2::uuid[], $3::uuid[]))"
        " OR (member_id = ANY($4::uuid[]) AND evidence = $5))",
        now,
        [one.member_id for one in links],
        [one.other_id for one in links],
        list(shared),
        Evidence.SHARED,
    )


async def was_parted(connection: Connection, member_id: str) -> bool:
    """Whether a member was part of another's person, and is no more."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM links"
        " WHERE (member_id = $1 OR other_id = $1) AND cut_time IS NOT NULL)",
        member_id,
    )
    return found


def survivors(people: Iterable[Person]) -> Mapping[str, str | None]:
    """Member → the one that stands for its person, None if it is alone; where that changed."""
    found: dict[str, str | None] = {}
    for person in people:
        survivor_id = person.contact_id if len(person.members) > 1 else ""
        for member in person.members:
            if member.survivor_id != survivor_id:
                found[member.contact_id] = survivor_id or None
    return found


async def stand(connection: Connection, changed: Mapping[str, str | None]) -> None:
    """Write who stands for members."""
    await connection.execute(
        "UPDATE contacts c SET survivor_id = u.survivor_id"
        " FROM unnest($1::uuid[], $2::uuid[]) AS u (contact_id, survivor_id)"
        " WHERE c.contact_id = u.contact_id",
        list(changed),
        list(changed.values()),
    )


def _link(row: "asyncpg.Record") -> Link:
    return Link(str(row[0]), str(row[1]), Evidence(row[2]), row[3], str(row[4]), row[5])
