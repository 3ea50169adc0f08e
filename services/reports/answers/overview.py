"""The first screen: a period at a glance."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar

from chassis.failures import Invalid
from chassis.times import stamped
from merhaba.reports.v1 import Dimension, Filter, Grain, Insight, Measure, Query, QueryRow, Value
from services.reports.answers.answering import Answers, measured
from services.reports.answers.cutting import Row
from services.reports.answers.measures import Column, Made
from services.reports.answers.question import Question, Where, question
from services.reports.answers.standing_out import StandingOut, changes
from services.reports.model import Period

M = Measure
T = TypeVar("T")
_COUNTS: Final = [
    *(M.MEASURE_PLANNED, M.MEASURE_SENT, M.MEASURE_DELIVERED, M.MEASURE_READ, M.MEASURE_REPLIED),
    *(M.MEASURE_CLICKED, M.MEASURE_CONVERTED, M.MEASURE_OPTED_OUT, M.MEASURE_BLOCKED),
    *(M.MEASURE_FAILED, M.MEASURE_WITHHELD, M.MEASURE_SUPPRESSED, M.MEASURE_HELD_OUT),
    *(M.MEASURE_UNKNOWN, M.MEASURE_PENDING, M.MEASURE_CANCELLED),
    *(M.MEASURE_DELIVERY_RATE, M.MEASURE_READ_RATE, M.MEASURE_REPLY_RATE, M.MEASURE_CLICK_RATE),
    *(M.MEASURE_CONVERSION_RATE, M.MEASURE_OPT_OUT_RATE, M.MEASURE_FAILURE_RATE),
]
_GROWTH: Final = [M.MEASURE_RECEIVED, M.MEASURE_CONTACT_GROWTH, M.MEASURE_CONSENT_GROWTH]
_BASE: Final = [*_GROWTH, M.MEASURE_CONTACTS, M.MEASURE_CONSENTED]
_STANDING: Final[tuple[Column, ...]] = ("contacts", "consented")
"""What is so many at the end of each day, and adds up to nothing."""
_PEOPLE: Final = [
    *(M.MEASURE_RECIPIENTS, M.MEASURE_THEIR_RESPONSE_TIME, M.MEASURE_OUR_RESPONSE_TIME),
]
_AMOUNTS: Final = [M.MEASURE_COST, M.MEASURE_REVENUE, M.MEASURE_RETURN]
_UNPRICED: Final = (M.MEASURE_UNSPECIFIED, Made("count", "unpriced"))
_CAMPAIGNS: Final = 10
_NOTHING: Final = Row(None, (), "", {})
_SOME: Final = Period(datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 2, tzinfo=UTC), "UTC")


class Overview(NamedTuple):
    """A period at a glance, beside the one before."""

    totals: list[Value]
    days: list[QueryRow]
    campaigns: list[QueryRow]
    amounts: list[QueryRow]
    insights: list[Insight]
    open_alerts: int
    cost_final: bool
    """Meta told the pricing of all messages."""


class Overviews:
    """Puts together what the first screen shows."""

    def __init__(self, answers: Answers, standing_out: StandingOut) -> None:
        self._answers = answers
        self._standing_out = standing_out

    async def read(
        self, period: Period, filters: Sequence[Filter], conversion_id: str = ""
    ) -> Overview:
        """All of it. What cannot be told with the filters is left out. `conversion_id`: what counts
        as a conversion; empty: orders."""
        messages, base, people, campaigns, best, worse, alerts = await asyncio.gather(
            self._messages(period, filters, conversion_id),
            self._days(period, filters, _BASE),
            self._people(period, filters),
            self._campaigns(period, filters, conversion_id),
            self._standing_out.period(period, filters),
            self._standing_out.templates(period, filters),
            self._answers.pool.fetchval("SELECT count(*) FROM alerts WHERE state = 'open'"),
        )
        totals = [*messages.totals(_COUNTS), *base.totals(_BASE), *people]
        return Overview(
            totals,
            _days(messages, base),
            campaigns,
            messages.amounts(),
            [*best, *changes(totals), *worse],
            alerts,
            not _together(messages.now).get("unpriced"),
        )

    async def _messages(
        self, period: Period, filters: Sequence[Filter], conversion_id: str
    ) -> "_Days":
        """What messages add up to, read once for all that is told of it."""
        measures = [*_COUNTS, *_AMOUNTS]
        return await self._days(period, filters, measures, _UNPRICED, conversion_id=conversion_id)

    async def _days(
        self,
        period: Period,
        filters: Sequence[Filter],
        measures: Sequence["Measure.ValueType"],
        *besides: tuple[int, Made],
        conversion_id: str = "",
    ) -> "_Days":
        asked = _askable(
            Query(
                measures=measures,
                filters=filters,
                grain=Grain.GRAIN_DAY,
                compare_previous=True,
                conversion_ids=[conversion_id],
            ),
            period,
        )
        if asked is None:
            return _Days({}, period, [], [])
        now, before = await self._answers.sums(asked._replace(measures=(*asked.measures, *besides)))
        by_day = attrgetter("start")
        return _Days(
            dict(asked.measures), period, sorted(now, key=by_day), sorted(before, key=by_day)
        )

    async def _people(self, period: Period, filters: Sequence[Filter]) -> list[Value]:
        """Who cannot be summed up."""
        asked = _askable(Query(measures=_PEOPLE, filters=filters, compare_previous=True), period)
        rows = [] if asked is None else await self._answers.rows(asked)
        return [value for row in rows for value in row.values]

    async def _campaigns(
        self, period: Period, filters: Sequence[Filter], conversion_id: str
    ) -> list[QueryRow]:
        """Those of which most was sent."""
        query = _askable(
            Query(
                measures=_COUNTS,
                dimensions=[Dimension.DIMENSION_CAMPAIGN],
                filters=filters,
                conversion_ids=[conversion_id],
            ),
            period,
        )
        if query is None:
            return []
        named = Where("campaign_id", ("",), exclude=True)
        found = await self._answers.rows(
            query._replace(filters=(*query.filters, named), most=("sent", _CAMPAIGNS))
        )
        return sorted(found, key=_most_sent)


class _Days(NamedTuple):
    """Sums by day and currency, in the order of days."""

    measures: Mapping[int, Made]
    """Those that can be told."""
    period: Period
    now: Sequence[Row]
    before: Sequence[Row]

    def totals(self, measures: Sequence[int]) -> list[Value]:
        """Of the period, beside the one before."""
        return self._values(measures, _together(self.now), _together(self.before))

    def amounts(self) -> list[QueryRow]:
        """By currency, where it is one."""
        now, before = (_by(rows, attrgetter("currency")) for rows in (self.now, self.before))
        return [
            QueryRow(
                values=self._values(
                    _AMOUNTS,
                    _together(now[code]),
                    _together(before[code]) if code in before else None,
                ),
                currency_code=code,
            )
            for code in sorted(now)
            if code
        ]

    def of_day(self, measures: Sequence[int], rows: Sequence[Row]) -> list[Value]:
        """Of one day."""
        return self._values(measures, _together(rows), None)

    def _values(
        self,
        measures: Sequence[int],
        now: dict[Column, float],
        before: dict[Column, float] | None,
    ) -> list[Value]:
        seconds = (self.period.end - self.period.start).total_seconds()
        return [
            measured(measure, self.measures[measure], now, seconds, before)
            for measure in measures
            if measure in self.measures
        ]


def _days(messages: _Days, base: _Days) -> list[QueryRow]:
    of_messages, of_base = (_by(one.now, attrgetter("start")) for one in (messages, base))
    return [
        QueryRow(
            bucket_time=stamped(start),
            values=[
                *messages.of_day(_COUNTS, of_messages.get(start, ())),
                *base.of_day(_GROWTH, of_base.get(start, ())),
            ],
        )
        for start in sorted(of_messages.keys() | of_base.keys())
    ]


def _by(rows: Iterable[Row], key: Callable[[Row], T]) -> dict[T, list[Row]]:
    found: dict[T, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def _together(rows: Sequence[Row]) -> dict[Column, float]:
    """What rows add up to; of what stands at their end, what stood at the end of the last."""
    first, *others = rows or [_NOTHING]
    total = {**first.sums}
    for row in others:
        for column, many in row.sums.items():
            total[column] = total.get(column, 0) + many
    total.update((one, rows[-1].sums[one]) for one in _STANDING if one in total)
    return total


def _askable(query: Query, period: Period) -> Question | None:
    """A question about the measures that can be told; None where there is none."""
    asked = _checked(query.SerializeToString(deterministic=True))
    return None if asked is None else asked._replace(period=period)


@lru_cache(maxsize=256)
def _checked(raw: bytes) -> Question | None:
    """As `_askable`, of some period: the same few questions are asked again and again."""
    query = Query.FromString(raw)
    measures = list(query.measures)
    told = []
    for measure in measures:
        query.measures[:] = [measure]
        try:
            told.append(question(query, _SOME))
        except Invalid:
            continue
    if not told:
        return None
    return told[0]._replace(measures=tuple(both for single in told for both in single.measures))


def _most_sent(row: QueryRow) -> tuple[float, str]:
    sent = next(value.value for value in row.values if value.measure == M.MEASURE_SENT)
    return -sent, row.dimensions[0].value
