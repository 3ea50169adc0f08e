"""SQL of what is asked: columns and tables of fixed lists, with the values bound to it. Pure."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from services.reports.answers.cutting import (
    HOUR,
    HOURS,
    Bound,
    begins,
    hours,
    of_clock,
    offsets,
    shown,
)
from services.reports.answers.measures import Column
from services.reports.answers.question import MOST_ROWS, Question
from services.reports.model import ABANDONED_STATES, CLICKED, READ, REPLIED, Period
from services.reports.queries import OF_CAMPAIGNS, OWN
from services.reports.rollups import CUTS
from services.reports.sampling import facts

BY_STATE: Final = frozenset[Column]({"cancelled", "pending"})
"""What waits of a campaign that was called off waits for nothing."""
_ABANDONED: Final = (
    "SELECT campaign_id FROM campaign_facts WHERE state IN ("  # noqa: S608 - constants
    + ", ".join(f"'{state}'" for state in ABANDONED_STATES)
    + ")"
)
_CUBES: Final = " JOIN cubes USING (cube_id)"
_WHOLE_HOUR: Final = 3_600
_ENGAGED: Final = (
    f"(f.progress & {READ}) / {READ} + (f.progress & {CLICKED}) / {CLICKED}"
    f" + (f.progress & {REPLIED}) / {REPLIED}"
)
# Of each person, then of all of them
_OF_PEOPLE: Final[dict[Column, tuple[str, str]]] = {
    "recipients": ("", "count(*)"),
    "reached": (
        ", bool_or(f.reached_time IS NOT NULL) AS reached",
        "count(*) FILTER (WHERE reached)",
    ),
    "engagements": (f", sum({_ENGAGED}) AS engagements", "sum(engagements)::bigint"),
}


class Statement(NamedTuple):
    """What is asked of Postgres."""

    text: str
    values: list[Any]
    starts: Sequence[datetime | None]
    """When the buckets begin whose numbers, from 1 on, rows carry."""


class _Source(NamedTuple):
    """Where messages or sums of them are read."""

    table: str
    """Named `f`."""
    dimensions: str
    """The table that has them."""
    time: str
    where: list[str]
    own: tuple[str, ...] = ()
    """Dimensions that it has itself."""

    def column(self, name: str) -> str:
        """SQL of a dimension."""
        return f"{'f' if name in self.own else self.dimensions}.{name}"


class _Cut(NamedTuple):
    """How rows are told apart, and which are meant."""

    keys: list[str]
    table: str
    where: list[str]
    starts: Sequence[datetime | None]

    @property
    def groups(self) -> str:
        """SQL that groups by the keys, which stand first."""
        places = ", ".join(str(place) for place in range(1, len(self.keys) + 1))
        return f" GROUP BY {places}" if places else ""


def of_sums(asked: Question, columns: Sequence[Column]) -> Statement:
    """Of sums of messages. Where the period before is asked for too, each row says first whether it
    is of the later."""
    bound = Bound()
    # Where messages were taken out again there is a row with nothing in it
    source = _source(asked, set(), "f.planned + f.touches > 0", bound)
    sums = [_sum(column) for column in columns]
    cut = _cut(asked, source, bound, asked.in_currency)
    order, limit = "", _most(asked)
    if asked.most:
        column, limit = asked.most
        order = f" ORDER BY {_sum(column)} DESC, 1"
    return Statement(
        f"SELECT {', '.join([*cut.keys, *sums])} FROM {cut.table}"  # noqa: S608 - names are constants, values are bound
        f" WHERE {' AND '.join(cut.where)}{cut.groups}{order} LIMIT {limit}",
        bound.values,
        cut.starts,
    )


def of_cancelled(asked: Question) -> Statement:
    """Of what waits of campaigns that were called off: few, which are found by campaign."""
    bound = Bound()
    source = _source(asked, {"campaign_id"}, "f.pending > 0", bound)
    cut = _cut(asked, source, bound, asked.in_currency)
    campaigns = f"ARRAY({_ABANDONED})"
    by_cube = source.dimensions == "cubes"
    called_off = OF_CAMPAIGNS.format(campaigns) if by_cube else f"f.campaign_id = ANY({campaigns})"
    return Statement(
        f"SELECT {', '.join([*cut.keys, _sum('pending')])} FROM {cut.table}"  # noqa: S608 - names are constants, values are bound
        f" WHERE {' AND '.join([*cut.where, called_off])}{cut.groups} LIMIT {_most(asked)}",
        bound.values,
        cut.starts,
    )


def of_people(asked: Question, columns: Sequence[Column], one_in: int) -> Statement:
    """Of people, found among the facts; `one_in`: from how many contacts one is counted."""
    bound = Bound()
    cut = _of_facts(asked, [], one_in, bound)
    names = [f"k{n}" for n in range(len(cut.keys))]
    keys = "".join(f"{one} AS {name}, " for one, name in zip(cut.keys, names, strict=True))
    groups = ", ".join(str(place) for place in range(1, len(names) + 2))
    of_each = "".join(_OF_PEOPLE[column][0] for column in columns)
    return Statement(
        f"SELECT {', '.join([*names, *(_OF_PEOPLE[column][1] for column in columns)])}"  # noqa: S608 - names are constants, values are bound
        f" FROM (SELECT {keys}coalesce(people.person_id, f.contact_id){of_each}"
        f" FROM {cut.table} LEFT JOIN people USING (contact_id)"
        f" WHERE {' AND '.join(cut.where)} GROUP BY {groups}) AS found"
        f"{cut.groups} LIMIT {MOST_ROWS + 1}",
        bound.values,
        cut.starts,
    )


def of_answers(asked: Question, one_in: int) -> Statement:
    """Of how long people took to answer."""
    bound = Bound()
    cut = _of_facts(asked, ["f.response_ms IS NOT NULL"], one_in, bound)
    median = "percentile_cont(0.5) WITHIN GROUP (ORDER BY f.response_ms)"
    return Statement(
        f"SELECT {', '.join([*cut.keys, median])} FROM {cut.table}"  # noqa: S608 - names are constants, values are bound
        f" WHERE {' AND '.join(cut.where)}{cut.groups} LIMIT {MOST_ROWS + 1}",
        bound.values,
        cut.starts,
    )


def _of_facts(asked: Question, where: Sequence[str], one_in: int, bound: Bound) -> _Cut:
    table, tests = facts(one_in)
    time, period = "f.counted_time", asked.period
    within = f"{time} >= {bound.add(period.start)} AND {time} < {bound.add(period.end)}"
    own = OWN["facts" if one_in == 1 else "sample"]
    return _cut(asked, _Source(table, "cubes", time, [within, *where, *tests], own), bound)


def _cut(asked: Question, source: _Source, bound: Bound, in_currency: bool = False) -> _Cut:
    periods = [asked.period, *([asked.period.before()] if asked.previous else [])]
    whole = asked.period._replace(start=periods[-1].start)
    by: dict[str, str] = {}
    if asked.contact_zone:
        zone = f"coalesce(nullif(cubes.zone, ''), {bound.add(asked.period.zone)})"
        by = of_clock(f"{source.time} AT TIME ZONE {zone}")
    elif HOURS & asked.named:
        by = hours(shown(source.time, whole, bound))
    tests = [*source.where]
    for one in asked.filters:
        values = bound.add(list(one.values))
        test = f"{source.column(one.column)} = ANY({values})"
        if one.column in HOURS:
            test = f"({by[one.column]})::text = ANY({values})"
        elif test.startswith("cubes.campaign_id"):
            test = OF_CAMPAIGNS.format(values)
        tests.append(f"NOT {test}" if one.exclude else test)
    keys = [by.get(name, source.column(name)) for _, name in asked.dimensions]
    starts: Sequence[datetime | None] = []
    if asked.grain:
        starts = sorted({start for one in periods for start in begins(one, asked.grain)})
        keys.insert(0, f"width_bucket({source.time}, {bound.add(starts)}::timestamptz[])")
    if asked.previous:
        keys.insert(0, "f.now")
    if in_currency:
        keys.append(source.column("currency"))
    table = source.table
    if "cubes." in "".join([*keys, *tests]):
        table += _CUBES
    return _Cut(keys, table, tests, starts)


def _source(asked: Question, besides: Collection[str], some: str, bound: Bound) -> _Source:
    """The smallest sums that tell: by day where nothing finer is asked for, and by hour rather than
    by quarter. `besides`: columns that are needed, too; `some`: what has to hold of a row."""
    needed = {*asked.named, *besides, *(["zone"] if asked.contact_zone else [])} - HOURS
    cut = next((n for n, by in enumerate(CUTS) if needed <= {*by}), None)
    tables = [_between(asked, asked.period, cut, bound)]
    if asked.previous:
        tables.append(_between(asked, asked.period.before(), cut, bound))
    table = f"{tables[0]} AS f"
    if asked.previous:
        both = " UNION ALL ".join(
            f"SELECT {now} AS now, s.* FROM {one} AS s"  # noqa: S608 - names are constants
            for now, one in zip(("true", "false"), tables, strict=True)
        )
        table = f"({both}) AS f"
    return _Source(table, "cubes" if cut is None else "f", "f.bucket", [some])


def _between(asked: Question, period: Period, cut: int | None, bound: Bound) -> str:
    """Sums of a period."""
    start, end = bound.add(period.start), bound.add(period.end)
    if cut is None and (asked.by_hour or asked.of_segments):
        table = "segment_rollups" if asked.of_segments else "rollups"
        return f"(SELECT * FROM {table} WHERE bucket >= {start} AND bucket < {end})"  # noqa: S608 - names are constants
    if asked.by_hour:
        first, last = map(bound.add, _whole_hours(period))
        return f"summary_hours_between({cut}::smallint, {start}, {first}, {last}, {end})"
    first, last = map(bound.add, period.days())
    bounds = f"{start}, {first}, {last}, {end}, {bound.add(period.zone)}"
    if cut is None:
        return f"rollups_between({bounds})"
    return f"summaries_within({cut}::smallint, {bounds}, {bound.add(_of_whole_hours(period))})"


def _whole_hours(period: Period) -> tuple[datetime, datetime]:
    """From when until when it is whole hours, also of its zone; both its end where it never is."""
    first, last = (
        moment.replace(minute=0, second=0, microsecond=0)
        for moment in (period.start + HOUR - timedelta(microseconds=1), period.end)
    )
    whole = _of_whole_hours(period) and first < last
    return (first, last) if whole else (period.end, period.end)


def _of_whole_hours(period: Period) -> bool:
    """Whether its zone is whole hours from UTC all the while."""
    return all(ahead % _WHOLE_HOUR == 0 for ahead in offsets(period)[1])


def _most(asked: Question) -> int:
    """Rows, so that more than are allowed of one period are noticed."""
    return MOST_ROWS * (1 + asked.previous) + 1


def _sum(column: Column) -> str:
    return f"coalesce(sum(f.{column}), 0)::bigint"
