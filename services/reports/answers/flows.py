"""How people move between stages, and who of those that began together came again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from chassis.postgres import Pool
from services.reports.answers.cutting import buckets, start_of
from services.reports.answers.question import Where
from services.reports.model import CLICKED, READ, REPLIED, Period

_PERSON: Final = "coalesce(p.person_id, {0}.contact_id)"
_SAID: Final = (
    f"SELECT {_PERSON.format('h')} AS person, h.change_time AS time, max(h.value) AS stage"  # noqa: S608 - constants
    " FROM contact_history h LEFT JOIN people p USING (contact_id)"
    " WHERE h.name = 'stage' AND h.change_time < $2 GROUP BY 1, 2"
)
_MOVES: Final = (
    "SELECT person, time, coalesce(lag(stage) OVER (PARTITION BY person ORDER BY time), '')"  # noqa: S608 - constants
    f" AS source, stage AS target FROM ({_SAID}) AS said"
)
_STAGES: Final = (
    "SELECT stage, count(*) FROM (SELECT DISTINCT ON (person) person, stage"  # noqa: S608 - constants
    f" FROM ({_SAID}) AS said ORDER BY person, time DESC) AS latest"
    " WHERE stage <> '' AND $1::timestamptz IS NOT NULL{where} GROUP BY stage"
)
_MEMBER: Final = (
    "{exclude}EXISTS (SELECT FROM unnest(${place}::text[]) AS s (id) WHERE (SELECT h.value"
    " FROM contact_history h LEFT JOIN people p USING (contact_id)"
    " WHERE coalesce(p.person_id, h.contact_id) = person AND h.name = 'segment:' || s.id"
    " AND h.change_time <= {time} ORDER BY h.change_time DESC, h.value DESC LIMIT 1) = '1')"
)
# An order stands that was completed and not cancelled, whichever of the person's ids told so
_ORDERS: Final = (
    f"(SELECT {_PERSON.format('o')} AS person, min(o.order_time) AS time FROM order_facts o"  # noqa: S608 - constants
    " LEFT JOIN people p USING (contact_id) GROUP BY 1, o.order_id"
    " HAVING min(o.order_time) IS NOT NULL AND min(o.cancel_time) IS NULL)"
)
_HISTORY: Final = (
    f"(SELECT {_PERSON.format('h')} AS person, h.change_time AS time FROM contact_history h"  # noqa: S608 - constants
    " LEFT JOIN people p USING (contact_id) WHERE h.name = '{name}' AND h.value LIKE '{value}%')"
)
_FACTS: Final = (
    f"(SELECT {_PERSON.format('m')} AS person, m.{{time}} AS time FROM message_facts m"  # noqa: S608 - constants
    " LEFT JOIN people p USING (contact_id) WHERE m.contact_id <> '' AND {holds})"
)
STARTS: Final[Mapping[str, str]] = {
    "created": _HISTORY.format(name="created", value="1"),
    "opted_in": _HISTORY.format(name="consent", value="granted"),
    "first_conversion": _ORDERS,
    "first_delivery": _FACTS.format(time="reached_time", holds="m.reached_time IS NOT NULL"),
}
"""What puts a person into a cohort, by the first time that it happened."""
RETURNS: Final[Mapping[str, str]] = {
    "read": _FACTS.format(time="counted_time", holds=f"m.progress & {READ} <> 0"),
    "clicked": _FACTS.format(time="counted_time", holds=f"m.progress & {CLICKED} <> 0"),
    "replied": _FACTS.format(time="counted_time", holds=f"m.progress & {REPLIED} <> 0"),
    "received": (
        f"(SELECT {_PERSON.format('l')} AS person, l.write_time AS time FROM letters l"  # noqa: S608 - constants
        " LEFT JOIN people p USING (contact_id) WHERE NOT l.ours)"
    ),
    "converted": _ORDERS,
}
"""What coming again is, and when."""


class Move(NamedTuple):
    """People who went from one stage to another."""

    source: str
    target: str
    people: int


class Flow(NamedTuple):
    """The moves of a period, and people by stage at its end."""

    moves: list[Move]
    stages: dict[str, int]


class Cohort(NamedTuple):
    """People who began in the same stretch."""

    start: datetime
    people: int
    returned: list[int]
    """How many came again, by stretch since; the first is their own."""


class Flows:
    """Answers about people over time, by what was said of them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def flow(self, period: Period, filters: Sequence[Where]) -> Flow:
        """Each person counts once for each pair of stages."""
        where, values = _members(filters, "time", 3)
        moves = await self._pool.fetch(
            f"SELECT source, target, count(DISTINCT person) AS people FROM ({_MOVES}) AS moves"  # noqa: S608 - constants
            f" WHERE source <> target AND time >= $1{where} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2",
            *(period.start, period.end, *values),
        )
        where, values = _members(filters, "$2", 3)
        stages = await self._pool.fetch(
            _STAGES.format(where=where), period.start, period.end, *values
        )
        return Flow([Move(*row) for row in moves], {row[0]: row[1] for row in stages})

    async def cohorts(
        self, period: Period, grain: str, start: str, comes_again: str, filters: Sequence[Where]
    ) -> list[Cohort]:
        """Of each stretch of the period, oldest first, up to the period's end."""
        where, values = _members(filters, "time", 4)
        cut = f"date_trunc('{grain}', {{}} AT TIME ZONE $3)"
        records = await self._pool.fetch(
            f"WITH firsts AS (SELECT person, min(time) AS time FROM {STARTS[start]} AS s"  # noqa: S608 - constants
            " GROUP BY person),"
            f" begun AS (SELECT person, time, {cut.format('time')} AS bucket FROM firsts"
            f" WHERE time >= $1 AND time < $2{where})"
            " SELECT bucket, NULL::timestamp AS again, count(*) AS people FROM begun GROUP BY 1"
            f" UNION ALL SELECT b.bucket, {cut.format('r.time')}, count(DISTINCT b.person)"
            f" FROM begun b JOIN {RETURNS[comes_again]} AS r USING (person)"
            " WHERE r.time >= b.time AND r.time < $2 GROUP BY 1, 2",
            *(period.start, period.end, period.zone, *values),
        )
        starts = buckets(period, grain)
        places = {moment: place for place, moment in enumerate(starts)}
        people = [0] * len(starts)
        again: list[dict[int, int]] = [{} for _ in starts]
        for local, later, count in records:
            place = places[start_of(local, period.zone)]
            if later is None:
                people[place] = count
            else:
                again[place][places[start_of(later, period.zone)] - place] = count
        return [
            Cohort(
                moment,
                people[place],
                [again[place].get(since, 0) for since in range(len(starts) - place)],
            )
            for place, moment in enumerate(starts)
            if moment is not None and people[place]
        ]


def _members(filters: Sequence[Where], time: str, first: int) -> tuple[str, list[Any]]:
    """SQL of who was in segments at a moment."""
    parts = [
        _MEMBER.format(exclude="NOT " if one.exclude else "", place=first + n, time=time)
        for n, one in enumerate(filters)
    ]
    return "".join(f" AND {part}" for part in parts), [list(one.values) for one in filters]
