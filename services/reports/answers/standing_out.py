"""What stands out in a period or a campaign, found in sums."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from chassis.failures import Invalid
from merhaba.reports.v1 import Dimension, Filter, Measure, Query, QueryRow, Value
from merhaba.reports.v1 import Insight as InsightProto
from services.reports.answers.answering import Answers
from services.reports.answers.question import question
from services.reports.answers.weeks import loads
from services.reports.insights import (
    Insight,
    Share,
    best,
    best_variant,
    changed,
    fatigued,
    retiring,
)
from services.reports.ledger import Where
from services.reports.model import Period
from services.reports.queries import one_in
from services.reports.sampling import LOADS_AT_ONCE
from services.reports.statistics import Interval, rate_belief, rate_interval, standings

M = Measure
_MAIN: Final = "read_rate"
_COUNTS: Final = [M.MEASURE_READ, M.MEASURE_DELIVERED]
_CHANGES: Final[Mapping[str, "tuple[Measure.ValueType, Measure.ValueType]"]] = {
    "delivery_rate": (M.MEASURE_DELIVERED, M.MEASURE_SENT),
    "read_rate": (M.MEASURE_READ, M.MEASURE_DELIVERED),
    "reply_rate": (M.MEASURE_REPLIED, M.MEASURE_DELIVERED),
    "click_rate": (M.MEASURE_CLICKED, M.MEASURE_DELIVERED),
    "opt_out_rate": (M.MEASURE_OPTED_OUT, M.MEASURE_DELIVERED),
}
_DIMENSIONS: Final = {
    "best_hour": Dimension.DIMENSION_SEND_HOUR,
    "best_segment": Dimension.DIMENSION_SEGMENT,
    "best_variant": Dimension.DIMENSION_VARIANT,
    "retiring_template": Dimension.DIMENSION_TEMPLATE,
}


class Arm(NamedTuple):
    """A variant by the share of its messages that were read."""

    variant: str
    recipients: int
    value: Interval | None
    effect: Interval | None
    probability_best: float


class StandingOut:
    """Finds what stands out."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def period(self, period: Period, filters: Sequence[Filter]) -> list[InsightProto]:
        """Of a period: hours, segments, and, of all messages alone, whether people get too many."""
        found = [self._best(period, filters), *([] if filters else [self._fatigued(period)])]
        return [one for some in await asyncio.gather(*found) for one in some]

    async def _fatigued(self, period: Period) -> list[InsightProto]:
        pool = self._answers.pool
        weeks = await loads(pool, period, await one_in(pool, Where(period), LOADS_AT_ONCE))
        return [told(one, {}) for one in fatigued(_MAIN, weeks, {})]

    async def templates(self, period: Period, filters: Sequence[Filter]) -> list[InsightProto]:
        """Those to retire."""
        rows = await self._rows(
            period, filters, _COUNTS, Dimension.DIMENSION_TEMPLATE, previous=True
        )
        both = {row.dimensions[0].value: _shares(row, *_COUNTS) for row in rows}
        both.pop("", None)
        worse = retiring(
            _MAIN, {n: b[0] for n, b in both.items()}, {n: b[1] for n, b in both.items()}
        )
        return [told(one, {}) for one in worse]

    async def campaign(
        self, period: Period, campaign_id: str, variants: Iterable[tuple[str, Share]]
    ) -> list[InsightProto]:
        """Of a campaign, in the period in which its messages count. `variants`: how many of its
        messages were read of those delivered, also in parts."""
        filters = [Filter(dimension=Dimension.DIMENSION_CAMPAIGN, values=[campaign_id])]
        shares: dict[str, Share] = {}
        for name, share in variants:
            known = shares.get(name, Share(0, 0))
            shares[name] = Share(known.part + share.part, known.whole + share.whole)
        shares.pop("", None)
        found = [told(one, {}) for one in best_variant(_MAIN, _arms(shares))]
        return [*found, *await self._best(period, filters)]

    async def hour(self, period: Period, filters: Sequence[Filter]) -> list[InsightProto]:
        """The hour in which more of what is sent is read than in others."""
        rows = await self._rows(period, filters, _COUNTS, Dimension.DIMENSION_SEND_HOUR)
        return best_hour({row.dimensions[0].value: _shares(row, *_COUNTS)[0] for row in rows})

    async def _best(self, period: Period, filters: Sequence[Filter]) -> list[InsightProto]:
        found, rows = await asyncio.gather(
            self.hour(period, filters),
            self._rows(period, filters, _COUNTS, Dimension.DIMENSION_SEGMENT),
        )
        shares = {row.dimensions[0].value: _shares(row, *_COUNTS)[0] for row in rows}
        labels = {row.dimensions[0].value: row.dimensions[0].label for row in rows}
        return [*found, *(told(one, labels) for one in best("best_segment", _MAIN, shares))]

    async def _rows(
        self,
        period: Period,
        filters: Sequence[Filter],
        measures: Sequence["Measure.ValueType"],
        dimension: "Dimension.ValueType | None" = None,
        *,
        previous: bool = False,
    ) -> list[QueryRow]:
        """Nothing where it cannot be told with these filters."""
        query = Query(
            measures=measures,
            dimensions=() if dimension is None else [dimension],
            filters=filters,
            compare_previous=previous,
        )
        try:
            asked = question(query, period)
        except Invalid:
            return []
        return await self._answers.rows(asked)


def best_hour(shares: Mapping[str, Share]) -> list[InsightProto]:
    """The hour in which more of what is sent is read than in others, of how many were by hour."""
    return [told(one, {}) for one in best("best_hour", _MAIN, shares)]


def changes(totals: Sequence[Value]) -> list[InsightProto]:
    """What is surely another than in the period before, of counts told beside it."""
    row, known = QueryRow(values=totals), {value.measure for value in totals}
    return [
        told(one, {})
        for name, (part, whole) in _CHANGES.items()
        if {part, whole} <= known
        for one in changed(name, "", *_shares(row, part, whole))
    ]


def told(found: Insight, labels: Mapping[str, str]) -> InsightProto:
    """An insight in the words of the contract."""
    measure = Measure.Value(f"MEASURE_{found.measure.upper()}")
    return InsightProto(
        kind=InsightProto.Kind.Value(f"KIND_{found.kind.upper()}"),
        dimension=_DIMENSIONS.get(found.kind, Dimension.DIMENSION_UNSPECIFIED),
        subject=found.subject,
        label=labels.get(found.subject, found.subject),
        value=_value(measure, found.value, found.sample_size),
        baseline=_value(measure, found.baseline, found.baseline_size),
        probability=found.probability,
        contacts=found.contacts,
    )


def _value(measure: "Measure.ValueType", found: Interval, size: int) -> Value:
    return Value(
        measure=measure,
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        sample_size=size,
    )


def _shares(row: QueryRow, part: int, whole: int) -> tuple[Share, Share]:
    """How many of how many, and in the period before."""
    values: dict[int, Value] = {value.measure: value for value in row.values}
    now = Share(int(values[part].value), int(values[whole].value))
    before = Share(int(values[part].previous_value), int(values[whole].previous_value))
    return now, before


def _arms(shares: Mapping[str, Share]) -> Iterable[Arm]:
    known = {name: share for name, share in shares.items() if share.whole}
    if not known:
        return
    likely = standings({name: rate_belief(*share) for name, share in known.items()})
    for name, share in known.items():
        yield Arm(name, share.whole, rate_interval(*share), None, likely[name].probability_best)
