"""Counting messages, from their sums where these tell, from the facts where people are counted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from asyncpg import Record

from chassis.postgres import Pool
from services.reports.funnel import Outcome, told_by
from services.reports.ledger import Where
from services.reports.model import (
    CLICKED,
    REACHED,
    READ,
    REPLIED,
    SENT,
    Activity,
    CampaignState,
    Counts,
    Line,
    Period,
    Progress,
    SegmentState,
)
from services.reports.rollups import CUTS, PLANNED_BY
from services.reports.sampling import SAMPLED_AT_ONCE, facts, people_in

_STATES: Final = (
    "SELECT campaign_id, coalesce(name, '') AS name, coalesce(state, '') AS state,"
    " coalesce(recipients, 0) AS recipients, change_time, launch_time FROM campaign_facts"
)
_CONVERTED, _TOUCHED, _OPTED_OUT = (1 << len(Progress._fields) + place for place in range(3))
_SOME: Final = {
    "sent": SENT | REACHED,
    "delivered": REACHED,
    "read": READ,
    "clicked": CLICKED,
    "replied": REPLIED,
    "converted": _CONVERTED,
    "touched": _TOUCHED,
    "opted_out": _OPTED_OUT,
}
_OUTCOMES: Final[tuple[Outcome, ...]] = ("failed", "unknown", "suppressed", "held_out")
_STEPS: Final[dict[str, str]] = {
    "planned": "true",
    **{step: f"progress & {bits} <> 0" for step, bits in _SOME.items()},
    **{became: "progress & {} = {}".format(*told_by(became)) for became in _OUTCOMES},
}
"""What of a stored message says that it came through a step."""
_DID: Final = (
    "EXISTS (SELECT FROM message_conversions c WHERE c.message_id = chosen.message_id"
    " AND c.conversion_id = ${1} AND c.{0})"
)
_SALES: Final = (
    *("converted", "conversions", "revenue_micros"),
    *("touched", "touches", "touched_revenue_micros"),
)
_UNSOLD: Final = dict.fromkeys(_SALES, 0)
_BROUGHT: Final = (
    "SELECT variant, template, c.currency, "  # noqa: S608 - constants
    + ", ".join(
        f"count(*) FILTER (WHERE c.{name})"
        if name in ("converted", "touched")
        else f"sum(c.{name})::bigint"
        for name in _SALES
    )
    + " FROM message_conversions c JOIN cubes USING (cube_id)"
    " WHERE cubes.campaign_id = $1 AND c.conversion_id = $2 GROUP BY 1, 2, 3"
)
_MEMBER: Final = (
    "EXISTS (SELECT FROM unnest({values}::text[]) AS s (id) WHERE (SELECT value"
    " FROM contact_history h WHERE h.contact_id = f.contact_id"
    " AND h.name = 'segment:' || s.id AND h.change_time <= counted_time"
    " ORDER BY h.change_time DESC LIMIT 1) = '1')"
)
_HOURS: Final = {"send_hour": "hour", "send_weekday": "isodow"}

_ASIDE: Final = frozenset({"segment_id", *_HOURS})
_CUBES: Final = " JOIN cubes USING (cube_id)"
OF_CAMPAIGNS: Final = (
    "f.cube_id = ANY(ARRAY(SELECT cube_id FROM cubes WHERE campaign_id = ANY({})))"
)
"""SQL of sums `f` that are of campaigns: there is an index of them by cube."""
_Of = Literal["facts", "sample", "rollups", "summaries"]
OWN: Final[dict[str, tuple[str, ...]]] = {"facts": ("campaign_id",), "sample": PLANNED_BY}
"""By what they are counted that facts have beside them, all or a sample."""

_LINE: Final = ("gate", "error_code", "currency")
_SUMS: Final = ", ".join(f"coalesce(sum({name}), 0)::bigint" for name in Counts._fields)


class Queries:
    """What can be asked of the facts."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def campaign(
        self, campaign_id: str, conversion_id: str = ""
    ) -> tuple[CampaignState, list[Line]] | None:
        """One campaign by variant and template, all at one instant, or None when nothing was heard
        of it. `conversion_id`: what counts as a conversion; empty: orders."""
        where = Where(filters=(("campaign_id", (campaign_id,), False),))
        statement, values = _lines(where, ["variant", "template"])
        async with (
            self._pool.acquire(timeout=10) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await connection.fetchrow(f"{_STATES} WHERE campaign_id = $1", campaign_id)
            if row is None:
                return None
            rows = await connection.fetch(statement, *values)
            brought: Sequence[Record] = ()
            if conversion_id:
                brought = await connection.fetch(_BROUGHT, campaign_id, conversion_id)
        lines = [_line(one, 2) for one in rows]
        if conversion_id:
            lines = [one._replace(counts=one.counts._replace(**_UNSOLD)) for one in lines]
            lines += [_sold(one) for one in brought]
        return CampaignState(*row.values()), lines

    async def lines(self, where: Where, by: Sequence[str]) -> list[Line]:
        """What messages add up to, by columns of cubes."""
        statement, values = _lines(where, by)
        return [_line(row, len(by)) for row in await self._pool.fetch(statement, *values)]

    async def steps(self, where: Where, steps: Sequence[str], conversion_id: str = "") -> list[int]:
        """Distinct contacts with a message that came through the first step, the first two, …
        `conversion_id`: as of `campaign`."""
        many = await one_in(self._pool, where)
        chosen, values = _chosen(where, many)
        tests = _STEPS
        if conversion_id:
            values.append(conversion_id)
            place = len(values)
            tests = _STEPS | {one: _DID.format(one, place) for one in ("converted", "touched")}
        reached = [tests[step] for step in steps]
        far = " ".join(f"WHEN NOT ({test}) THEN {n}" for n, test in enumerate(reached))
        counts = ", ".join(f"count(*) FILTER (WHERE far >= {n})" for n in range(1, len(steps) + 1))
        row = await self._pool.fetchrow(
            f"SELECT {counts} FROM (SELECT max(CASE {far} ELSE {len(steps)} END) AS far"  # noqa: S608 - constants, values are bound
            f" FROM {chosen} GROUP BY person) AS people",
            *values,
        )
        assert row is not None
        return [count * many for count in row.values()]

    async def activity(self, since: datetime) -> list[Activity]:
        """What happened, minute by minute."""
        rows = await self._pool.fetch(
            "SELECT kind, name, minute, count FROM activity WHERE minute >= $1 ORDER BY minute",
            since.replace(second=0, microsecond=0),
        )
        return [Activity(*row.values()) for row in rows]

    async def base(self) -> int:
        """How many contacts there are."""
        found: int = await self._pool.fetchval(
            "SELECT coalesce(sum(added), 0)::bigint FROM base_days WHERE name = 'contacts'"
        )
        return found

    async def segments(self, since: datetime) -> list[SegmentState]:
        """Every segment, with who came and went since the beginning of that hour, by name.

        Archived ones only if they have members.
        """
        rows = await self._pool.fetch(
            "WITH members AS (SELECT segment_id, count(*) AS members FROM segment_facts"
            " LEFT JOIN people USING (contact_id)"
            " WHERE member AND coalesce(person_id, contact_id) = contact_id GROUP BY segment_id),"
            " moves AS (SELECT segment_id,"
            " coalesce(sum(count) FILTER (WHERE entered AND hour >= $1), 0)::bigint AS entered,"
            " coalesce(sum(count) FILTER (WHERE NOT entered AND hour >= $1), 0)::bigint AS gone"
            " FROM segment_moves GROUP BY segment_id),"
            " named AS (SELECT segment_id, state, coalesce(nullif(display_name, ''), name) AS name"
            " FROM segment_names)"
            " SELECT segment_id, coalesce(members, 0), coalesce(entered, 0), coalesce(gone, 0),"
            " coalesce(name, '') FROM moves FULL JOIN named USING (segment_id)"
            " LEFT JOIN members USING (segment_id) WHERE state IS DISTINCT FROM 'archived'"
            " OR members > 0 ORDER BY nullif(name, '') NULLS LAST, segment_id LIMIT 1000",
            since.replace(minute=0, second=0, microsecond=0),
        )
        return [SegmentState(*row.values()) for row in rows]


async def one_in(pool: Pool, where: Where, at_once: int = SAMPLED_AT_ONCE) -> int:
    """From how many contacts one is counted: people cannot be summed up. `at_once`: so many
    messages may be gone through where not all are."""
    # By what messages are not summed up is left aside: without it there are no fewer of them
    filters = tuple(one for one in where.filters if one[0] not in _ASIDE)
    named = {column for column, _, _ in filters}
    cut = next((n for n, by in enumerate(CUTS) if named <= {*by}), None)
    of: _Of = "rollups" if cut is None else "summaries"
    condition, values = _condition(where._replace(filters=filters), "bucket", of)
    table = _sums(where.period, values, cut)
    planned = await pool.fetchval(
        f"SELECT coalesce(sum(f.planned), 0) FROM {table} WHERE {condition}",  # noqa: S608 - constants, values are bound
        *values,
    )
    return people_in(int(planned), at_once)


def _lines(where: Where, by: Sequence[str]) -> tuple[str, list[Any]]:
    condition, values = _condition(where, "bucket", "rollups")
    table = _sums(where.period, values)
    keys = [*by, *_LINE]
    places = ", ".join(str(n) for n in range(1, len(keys) + 1))
    return (
        f"SELECT {', '.join(keys)}, {_SUMS} FROM {table}"  # noqa: S608 - constants, values are bound
        f" WHERE {condition} GROUP BY {places}",
        values,
    )


def _sums(period: Period | None, values: list[Any], cut: int | None = None) -> str:
    """Sums of a period, whose bounds are the first of the values, or of all time; what else it
    needs is added to the values."""
    if period is None:
        days = f"(SELECT * FROM summary_days WHERE cut = {cut}) AS f"  # noqa: S608 - a number
        return f"rollup_days AS f{_CUBES}" if cut is None else days
    values += [*period.days(), period.zone]
    first, last, zone = (f"${len(values) - place}" for place in (2, 1, 0))
    bounds = f"$1, {first}, {last}, $2, {zone}"
    if cut is None:
        return f"rollups_between({bounds}) AS f{_CUBES}"
    return f"summaries_between({cut}::smallint, {bounds}) AS f"


def _chosen(where: Where, one_in: int) -> tuple[str, list[Any]]:
    """Messages with the person each was for: the one that its contact is part of now."""
    condition, values = _condition(where, "counted_time", "facts" if one_in == 1 else "sample")
    cubes = _CUBES if "cubes." in condition else ""
    table, tests = facts(one_in)
    return (
        "(SELECT message_id, progress, coalesce(person_id, contact_id) AS person"  # noqa: S608 - constants, values are bound
        f" FROM {table}{cubes} LEFT JOIN people USING (contact_id)"
        f" WHERE {' AND '.join([condition, *tests])}) AS chosen",
        values,
    )


def _condition(where: Where, time: str, of: _Of) -> tuple[str, list[Any]]:
    """A WHERE clause with its values. Columns come from a fixed list, values are bound."""
    parts, values = ["true"], list[Any]()
    if where.period:
        values += [where.period.start, where.period.end]
        parts.append(f"{time} >= ${len(values) - 1} AND {time} < ${len(values)}")
    for column, wanted, exclude in where.filters:
        values.append(wanted)
        place = f"${len(values)}"
        if column == "segment_id":
            test = _MEMBER.format(values=place)
        elif field := _HOURS.get(column):
            assert where.period is not None
            values.append(where.period.zone)
            local = f"{time} AT TIME ZONE ${len(values)}"
            test = f"extract({field} FROM {local})::int::text = ANY({place}::text[])"
        elif column == "campaign_id" and of == "rollups":
            test = OF_CAMPAIGNS.format(f"{place}::text[]")
        else:
            # Facts have the campaign beside them, and an index by it; a sample all that is planned
            own = OWN.get(of, ())
            table = "f" if of == "summaries" or column in own else "cubes"
            test = f"{table}.{column} = ANY({place}::text[])"
        parts.append(f"NOT {test}" if exclude else test)
    return " AND ".join(parts), values


def _line(row: Record, keys: int) -> Line:
    values = tuple(row)
    gate, error_code, currency, *counts = values[keys:]
    return Line(values[:keys], gate, error_code, currency, Counts(*counts))


def _sold(row: Record) -> Line:
    """What was brought, of nothing else."""
    variant, template, currency, *sales = row
    nothing = Counts(*(0 for _ in Counts._fields))
    counts = nothing._replace(**dict(zip(_SALES, sales, strict=True)))
    return Line((variant, template), "", "", currency, counts)
