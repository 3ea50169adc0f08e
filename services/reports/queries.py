"""Counting facts. SQL groups messages by how far they came; what that means is said in `funnel`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from asyncpg import Record

from chassis.postgres import Connection, Pool
from services.reports.ledger import CampaignFigures, Where
from services.reports.model import (
    Activity,
    CampaignState,
    Group,
    Progress,
    Sales,
    SegmentState,
)

_PROGRESS: Final = (
    "sent_time IS NOT NULL AS sent, reached_time IS NOT NULL AS reached,"
    " read_time IS NOT NULL AS read, clicked_time IS NOT NULL AS clicked,"
    " replied_time IS NOT NULL AS replied, failed_time IS NOT NULL AS failed,"
    " unknown_time IS NOT NULL AS unknown, suppressed_time IS NOT NULL AS suppressed,"
    " held_out_time IS NOT NULL AS held_out, coalesce(gate, '') AS gate,"
    " coalesce(fail_code, 0) AS code, coalesce(currency, '') AS currency"
)
_SUMS: Final = (
    "coalesce(sum(cost_micros), 0)::bigint AS cost,"
    " count(*) FILTER (WHERE cost_rank >= 3) AS priced, count(*) AS messages"
)
_STATES: Final = (
    "SELECT campaign_id, coalesce(name, '') AS name, coalesce(state, '') AS state,"
    " coalesce(recipients, 0) AS recipients, change_time, launch_time FROM campaign_facts"
)
# Whom a message was for: the person that its contact is part of now.
_FOR_PEOPLE: Final = (
    "(SELECT m.*, coalesce(p.person_id, m.contact_id) AS person FROM message_facts m"
    " LEFT JOIN people p USING (contact_id)) AS m"
)
# All ids of one person.
_IDS: Final = "ANY (ARRAY(SELECT contact_id FROM people WHERE person_id = {person}) || {person})"
# The orders of `buyers`: of one order the earliest time and the latest value, whichever of the
# person's ids it was told of.
_ORDERS: Final = (
    "ids AS (SELECT person, person AS contact_id FROM buyers UNION"
    " SELECT person, p.contact_id FROM buyers JOIN people p ON p.person_id = person),"
    " orders AS (SELECT person, order_id, min(order_time) AS order_time,"
    " (array_agg(value_micros ORDER BY value_time DESC NULLS LAST, value_micros DESC))[1]"
    " AS value_micros,"
    " (array_agg(currency ORDER BY value_time DESC NULLS LAST, value_micros DESC))[1] AS currency"
    " FROM order_facts JOIN ids USING (contact_id) WHERE contact_id <> '' GROUP BY person, order_id"
    " HAVING min(order_time) IS NOT NULL AND min(cancel_time) IS NULL)"
)
# The last message that reached the person before the order, within the window, has brought it.
_LAST_TOUCH: Final = (
    "CROSS JOIN LATERAL (SELECT * FROM message_facts"  # noqa: S608 - constants
    f" WHERE contact_id = {_IDS.format(person='o.person')}"
    " AND reached_time <= o.order_time AND reached_time > o.order_time - {window}::interval"
    " ORDER BY reached_time DESC, message_id DESC LIMIT 1) m"
)
_STEPS: Final = {
    "planned": "true",
    "sent": "least(sent_time, reached_time) IS NOT NULL",
    "delivered": "reached_time IS NOT NULL",
    "read": "read_time IS NOT NULL",
    "clicked": "clicked_time IS NOT NULL",
    "replied": "replied_time IS NOT NULL",
    "converted": "message_id IN (SELECT message_id FROM converted)",
}


class Queries:
    """What can be asked of the facts."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def campaign(self, campaign_id: str, window: timedelta) -> CampaignFigures | None:
        """One campaign, all at one instant, or None when nothing was heard of it."""
        async with (
            self._pool.acquire(timeout=10) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await connection.fetchrow(f"{_STATES} WHERE campaign_id = $1", campaign_id)
            if row is None:
                return None
            groups = await connection.fetch(
                f"SELECT variant, template, {_PROGRESS}, {_SUMS} FROM message_facts"  # noqa: S608 - constants
                f" WHERE campaign_id = $1 GROUP BY {_positions(2)}",
                campaign_id,
            )
            return CampaignFigures(
                CampaignState(*row.values()),
                [_group(group, 2) for group in groups],
                await _sales(connection, campaign_id, window),
                await _opt_outs(connection, campaign_id),
            )

    async def campaigns(self, most: int) -> tuple[list[CampaignState], list[Group]]:
        """The campaigns that changed last, and their messages by campaign."""
        rows = await self._pool.fetch(
            f"{_STATES} ORDER BY change_time DESC NULLS LAST, campaign_id LIMIT $1", most
        )
        groups = await self._pool.fetch(
            f"SELECT campaign_id, {_PROGRESS}, {_SUMS} FROM message_facts"  # noqa: S608 - constants
            f" WHERE campaign_id = ANY($1) GROUP BY {_positions(1)}",
            [row["campaign_id"] for row in rows],
        )
        return [CampaignState(*row.values()) for row in rows], [_group(g, 1) for g in groups]

    async def campaign_states(self, campaign_ids: Sequence[str]) -> list[CampaignState]:
        """What is known of campaigns."""
        rows = await self._pool.fetch(f"{_STATES} WHERE campaign_id = ANY($1)", campaign_ids)
        return [CampaignState(*row.values()) for row in rows]

    async def days(self, where: Where) -> list[Group]:
        """Messages by the day in which they count (`2026-11-22`, in the period's zone)."""
        assert where.period is not None
        condition, values = _condition(where)
        rows = await self._pool.fetch(
            f"SELECT to_char(counted_time AT TIME ZONE ${len(values) + 1}, 'YYYY-MM-DD') AS day,"  # noqa: S608 - constants, values are bound
            f" {_PROGRESS}, {_SUMS} FROM message_facts WHERE {condition} GROUP BY {_positions(1)}",
            *values,
            where.period.zone,
        )
        return [_group(row, 1) for row in rows]

    async def by_campaign(self, where: Where) -> list[Group]:
        """Messages by campaign."""
        condition, values = _condition(where)
        rows = await self._pool.fetch(
            f"SELECT campaign_id, {_PROGRESS}, {_SUMS} FROM message_facts WHERE {condition}"  # noqa: S608 - constants, values are bound
            f" GROUP BY {_positions(1)}",
            *values,
        )
        return [_group(row, 1) for row in rows]

    async def people(self, where: Where) -> int:
        """Distinct contacts for whom a message was intended."""
        condition, values = _condition(where)
        counted: int = await self._pool.fetchval(
            f"SELECT count(DISTINCT person) FROM {_FOR_PEOPLE} WHERE {condition}",  # noqa: S608 - constants, values are bound
            *values,
        )
        return counted

    async def steps(self, where: Where, steps: Sequence[str], window: timedelta) -> list[int]:
        """Distinct contacts with a message that came through the first step, the first two, …"""
        condition, values = _condition(where)
        reached = [_STEPS[step] for step in steps]
        counts = ", ".join(
            f"count(DISTINCT person) FILTER (WHERE {' AND '.join(reached[:n])})"
            for n in range(1, len(reached) + 1)
        )
        converted = ""
        if "converted" in steps:
            touch = _LAST_TOUCH.format(window=f"${len(values) + 1}")
            values = [*values, window]
            converted = (
                f", buyers AS (SELECT DISTINCT person FROM chosen), {_ORDERS},"  # noqa: S608 - constants
                f" converted AS (SELECT m.message_id FROM orders o {touch})"
            )
        row = await self._pool.fetchrow(
            f"WITH chosen AS (SELECT * FROM {_FOR_PEOPLE} WHERE {condition}){converted}"  # noqa: S608 - constants, values are bound
            f" SELECT {counts} FROM chosen",
            *values,
        )
        assert row is not None
        return list(row.values())

    async def activity(self, since: datetime) -> list[Activity]:
        """What happened, minute by minute."""
        rows = await self._pool.fetch(
            "SELECT kind, name, minute, count FROM activity WHERE minute >= $1 ORDER BY minute",
            since.replace(second=0, microsecond=0),
        )
        return [Activity(*row.values()) for row in rows]

    async def total(self, names: Sequence[str]) -> dict[str, int]:
        """How often something happened to contacts, ever."""
        rows = await self._pool.fetch(
            "SELECT name, sum(count)::bigint AS count FROM activity"
            " WHERE kind = 'contact' AND name = ANY($1) GROUP BY name",
            names,
        )
        return {row["name"]: row["count"] for row in rows}

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


async def _sales(connection: Connection, campaign_id: str, window: timedelta) -> list[Sales]:
    rows = await connection.fetch(
        f"WITH buyers AS (SELECT DISTINCT person FROM {_FOR_PEOPLE}"  # noqa: S608 - constants
        f" WHERE campaign_id = $1 AND reached_time IS NOT NULL), {_ORDERS}"
        " SELECT variant, template, currency, grouping(currency) AS together,"
        " count(DISTINCT message_id) AS converted, count(*) AS orders,"
        " coalesce(sum(value_micros), 0)::bigint AS revenue FROM (SELECT m.variant, m.template,"
        " m.message_id, o.value_micros, coalesce(o.currency, '') AS currency"
        f" FROM orders o {_LAST_TOUCH.format(window='$2')} WHERE m.campaign_id = $1) AS attributed"
        " GROUP BY GROUPING SETS ((variant, template), (variant, template, currency))",
        campaign_id,
        window,
    )
    return [
        Sales(
            (row["variant"], row["template"]),
            row["converted"],
            row["orders"],
            {
                r["currency"]: r["revenue"]
                for r in rows
                if not r["together"]
                and r["revenue"]
                and (r["variant"], r["template"]) == (row["variant"], row["template"])
            },
        )
        for row in rows
        if row["together"]
    ]


async def _opt_outs(connection: Connection, campaign_id: str) -> dict[tuple[str, ...], int]:
    rows = await connection.fetch(
        f"SELECT variant, template, count(*) AS count FROM {_FOR_PEOPLE} WHERE campaign_id = $1"  # noqa: S608 - constants
        " AND contact_id <> '' AND reached_time IS NOT NULL AND EXISTS (SELECT FROM withdrawals w"
        f" WHERE w.contact_id = {_IDS.format(person='m.person')}"
        " AND w.withdraw_time >= m.reached_time"
        " AND w.withdraw_time < m.reached_time + interval '24 hours') GROUP BY 1, 2",
        campaign_id,
    )
    return {(row["variant"], row["template"]): row["count"] for row in rows}


def _condition(where: Where) -> tuple[str, list[Any]]:
    """A WHERE clause with its values. Columns come from a fixed list, values are bound."""
    parts, values = ["true"], list[Any]()
    if where.campaign_id:
        values.append(where.campaign_id)
        parts.append(f"campaign_id = ${len(values)}")
    if where.period:
        values += [where.period.start, where.period.end]
        parts.append(f"counted_time >= ${len(values) - 1} AND counted_time < ${len(values)}")
    for column, wanted, exclude in where.filters:
        values.append(wanted)
        test = f"coalesce({column}::text, '') = ANY(${len(values)}::text[])"
        parts.append(f"NOT {test}" if exclude else test)
    return " AND ".join(parts), values


def _positions(keys: int) -> str:
    """The columns to group by: keys, how far messages came, gate, code and currency."""
    return ", ".join(str(n) for n in range(1, keys + len(Progress._fields) + 4))


def _group(row: Record, keys: int) -> Group:
    values = list(row.values())
    far = keys + len(Progress._fields)
    return Group(tuple(values[:keys]), Progress(*values[keys:far]), *values[far:])
