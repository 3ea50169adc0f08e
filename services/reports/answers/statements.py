"""SQL of what is asked: columns and tables of fixed lists, with the values bound to it. Pure."""

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from services.reports.answers.cutting import key
from services.reports.answers.measures import Column
from services.reports.answers.question import MOST_ROWS, Question
from services.reports.model import ABANDONED_STATES, CLICKED, READ, REPLIED
from services.reports.queries import OF_CAMPAIGNS
from services.reports.rollups import CUTS
from services.reports.sampling import facts

BY_STATE: Final = frozenset[Column]({"cancelled", "pending"})
"""What waits of a campaign that was called off waits for nothing."""
_ABANDONED: Final = (
    "{table}.campaign_id IN (SELECT campaign_id FROM campaign_facts WHERE state IN ("  # noqa: S608 - constants
    + ", ".join(f"'{state}'" for state in ABANDONED_STATES)
    + "))"
)
_CUBES: Final = " JOIN cubes USING (cube_id)"
# What a quarter is on the clock of a zone costs more than a sum: it is found once for each
_CLOCK: Final = (
    " JOIN (SELECT bucket, bucket AT TIME ZONE $3 AS local FROM summaries"
    " WHERE cut = 0 AND bucket >= $1 AND bucket < $2 GROUP BY bucket) AS clock USING (bucket)"
)
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

Statement = tuple[str, list[Any]]


class _Source(NamedTuple):
    """Where messages or sums of them are read."""

    table: str
    """Named `f`; `$4` and `$5`: between which days it may take those."""
    dimensions: str
    """The table that has them."""
    time: str
    local: str
    """The time on the clock of the zone."""


class _Cut(NamedTuple):
    """How rows are told apart, and which are meant."""

    keys: list[str]
    table: str
    where: list[str]
    values: list[Any]

    @property
    def groups(self) -> str:
        """SQL that groups by the keys, which stand first."""
        places = ", ".join(str(place) for place in range(1, len(self.keys) + 1))
        return f" GROUP BY {places}" if places else ""


def of_sums(asked: Question, columns: Sequence[Column]) -> Statement:
    """Of sums of messages."""
    source = _source(asked, columns)
    # Where messages were taken out again there is a row with nothing in it
    some = "f.planned + f.touches > 0" if BY_STATE.isdisjoint(columns) else "f.pending > 0"
    sums = [_sum(column, source.dimensions) for column in columns]
    cut = _cut(asked, source, [some], asked.in_currency, "".join(sums))
    order, limit = "", MOST_ROWS + 1
    if asked.most:
        column, limit = asked.most
        order = f" ORDER BY {_sum(column, source.dimensions)} DESC, 1"
    return (
        f"SELECT {', '.join([*cut.keys, *sums])} FROM {cut.table}"  # noqa: S608 - names are constants, values are bound
        f" WHERE {' AND '.join(cut.where)}{cut.groups}{order} LIMIT {limit}",
        cut.values,
    )


def of_people(asked: Question, columns: Sequence[Column], one_in: int) -> Statement:
    """Of people, found among the facts; `one_in`: from how many contacts one is counted."""
    cut = _of_facts(asked, [], one_in)
    names = [f"k{n}" for n in range(len(cut.keys))]
    keys = "".join(f"{one} AS {name}, " for one, name in zip(cut.keys, names, strict=True))
    groups = ", ".join(str(place) for place in range(1, len(names) + 2))
    of_each = "".join(_OF_PEOPLE[column][0] for column in columns)
    return (
        f"SELECT {', '.join([*names, *(_OF_PEOPLE[column][1] for column in columns)])}"  # noqa: S608 - names are constants, values are bound
        f" FROM (SELECT {keys}coalesce(people.person_id, f.contact_id){of_each}"
        f" FROM {cut.table} LEFT JOIN people USING (contact_id)"
        f" WHERE {' AND '.join(cut.where)} GROUP BY {groups}) AS found"
        f"{cut.groups} LIMIT {MOST_ROWS + 1}",
        cut.values,
    )


def of_answers(asked: Question, one_in: int) -> Statement:
    """Of how long people took to answer."""
    cut = _of_facts(asked, ["f.response_ms IS NOT NULL"], one_in)
    median = "percentile_cont(0.5) WITHIN GROUP (ORDER BY f.response_ms)"
    return (
        f"SELECT {', '.join([*cut.keys, median])} FROM {cut.table}"  # noqa: S608 - names are constants, values are bound
        f" WHERE {' AND '.join(cut.where)}{cut.groups} LIMIT {MOST_ROWS + 1}",
        cut.values,
    )


def _of_facts(asked: Question, where: Sequence[str], one_in: int) -> _Cut:
    table, tests = facts(one_in)
    time = "f.counted_time"
    source = _Source(table, "cubes", time, f"{time} AT TIME ZONE $3")
    return _cut(asked, source, [*where, *tests])


def _cut(
    asked: Question,
    source: _Source,
    where: Collection[str],
    in_currency: bool = False,
    wanted: str = "",
) -> _Cut:
    """`wanted`: what is taken besides."""
    values: list[Any] = [asked.period.start, asked.period.end, asked.period.zone]
    if "$4" in source.table:
        values += asked.period.days()
    local = source.local
    if asked.contact_zone:
        local = f"{source.time} AT TIME ZONE coalesce(nullif(cubes.zone, ''), $3)"
    tests = [f"{source.time} >= $1 AND {source.time} < $2", *where]
    for one in asked.filters:
        values.append(list(one.values))
        test = f"{key(one.column, local, source.dimensions)} = ANY(${len(values)})"
        if one.column == "campaign_id" and source.dimensions == "cubes":
            # There is an index by campaign of the facts, and one by cube of the sums
            of_facts = source.time == "f.counted_time"
            campaigns = OF_CAMPAIGNS.format(f"${len(values)}")
            test = test.replace("cubes.", "f.") if of_facts else campaigns
        tests.append(f"NOT {test}" if one.exclude else test)
    keys = [key(name, local, source.dimensions) for _, name in asked.dimensions]
    if asked.grain:
        keys.insert(0, f"date_trunc('{asked.grain}', {local})")
    if in_currency:
        keys.append(f"{source.dimensions}.currency")
    table = source.table
    named = "".join([*keys, *tests, wanted])
    if "cubes." in named:
        table += _CUBES
    if "clock." in named:
        table += _CLOCK
    if "$3" not in table + named:
        tests.append("$3::text <> ''")  # else Postgres could not tell what it is
    return _Cut(keys, table, tests, values)


def _source(asked: Question, columns: Sequence[Column]) -> _Source:
    """The smallest sums that tell: by day where nothing finer is asked for."""
    named = {name for _, name in asked.dimensions} | {one.column for one in asked.filters}
    fine = asked.grain == "hour" or "send_hour" in named or asked.contact_zone
    needed = named - {"send_hour", "send_weekday"}
    if not BY_STATE.isdisjoint(columns):
        needed |= {"campaign_id"}
    if asked.contact_zone:
        needed |= {"zone"}
    cut = next((n for n, by in enumerate(CUTS) if needed <= {*by}), None)
    local = "f.bucket AT TIME ZONE $3"
    if not fine:
        if cut is not None:
            days = f"summaries_between({cut}::smallint, $1, $4, $5, $2, $3)"
            return _Source(f"{days} AS f", "f", "f.bucket", local)
        days = "rollups_between($1, $4, $5, $2, $3)"
        table = "segment_rollups" if asked.of_segments else days
        return _Source(f"{table} AS f", "cubes", "f.bucket", local)
    if cut is None:
        table = "segment_rollups" if asked.of_segments else "rollups"
        return _Source(f"{table} AS f", "cubes", "f.bucket", "clock.local")
    if cut == 0 and not asked.in_currency:
        needs = ", ".join(f"sum({c}) AS {c}" for c in sorted({*columns, "planned", "touches"}))
        table = (
            f"(SELECT bucket, {needs} FROM summaries WHERE cut = 0"  # noqa: S608 - names are constants
            " AND bucket >= $1 AND bucket < $2 GROUP BY bucket) AS f"
        )
        return _Source(table, "f", "f.bucket", local)
    table = f"(SELECT * FROM summaries WHERE cut = {cut}) AS f"  # noqa: S608 - a number
    return _Source(table, "f", "f.bucket", "clock.local")


def _sum(column: Column, table: str) -> str:
    if column in BY_STATE:
        state = _ABANDONED.format(table=table)
        which = state if column == "cancelled" else f"NOT {state}"
        return f"coalesce(sum(f.pending) FILTER (WHERE {which}), 0)::bigint"
    return f"coalesce(sum(f.{column}), 0)::bigint"
