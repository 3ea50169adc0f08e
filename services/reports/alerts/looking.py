"""What each kind of rule finds now."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from chassis.clock import Clock, moment_of
from merhaba.reports.v1 import Dimension, Measure
from services.reports.alerts.detection import unlike
from services.reports.alerts.model import Look, Rule
from services.reports.alerts.quality import Quality
from services.reports.answers.cutting import Row
from services.reports.answers.measures import Column, Made, made, value
from services.reports.answers.question import COLUMNS, Question, Where
from services.reports.insights import Share
from services.reports.model import Period
from services.reports.naming import named
from services.reports.statistics import Interval, rate_interval

_QUARTER: Final = timedelta(minutes=15)
_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_WEEKS: Final = 8
_DAYS: Final = 14
_OUTCOMES: Final = frozenset({Dimension.DIMENSION_GATE, Dimension.DIMENSION_ERROR_CODE})
"""Dimensions that say how a message ended: of what did not end so they say nothing, so that what
it is a share of is counted without them."""
_RIPENS: Final[dict[int, timedelta]] = {
    Measure.MEASURE_DELIVERY_RATE: timedelta(hours=1),
    Measure.MEASURE_READ_RATE: _DAY,
    Measure.MEASURE_REPLY_RATE: _DAY,
    Measure.MEASURE_CLICK_RATE: _DAY,
    Measure.MEASURE_CONVERSION_RATE: _DAY,
}
"""What is young looks low beside what is old, so a fall is looked for when nearly all has come."""
_NEAR: Final = 0.5
"""An alert is not over before less than so much of the limit's distance is left."""


class Spending(NamedTuple):
    """A campaign with a budget that runs."""

    campaign_id: str
    name: str
    currency: str
    budget_micros: int
    spent_micros: int
    sent: int
    waiting: int

    @property
    def expected_micros(self) -> int:
        """What it will have cost if it goes on as it did."""
        return self.spent_micros + round(self.spent_micros / max(self.sent, 1) * self.waiting)


class _Stretch(NamedTuple):
    """A rate in one stretch of time, by subject."""

    shares: dict[tuple[str, ...], Share]
    wholes: dict[tuple[str, ...], int] | None
    """What it is a share of, without dimensions that say how messages ended."""


class Qualities(Protocol):
    """What Meta said of templates and numbers."""

    async def bad(self) -> list[Quality]:
        """Whatever is bad now."""
        ...


class Budgets(Protocol):
    """What campaigns spend."""

    async def spending(self) -> list[Spending]:
        """Of campaigns that run and have a budget."""
        ...


class Looker:
    """Looks at the facts by rules."""

    def __init__(
        self,
        sums: Callable[[Question], Awaitable[list[Row]]],
        qualities: Qualities,
        budgets: Budgets,
        fold_time: Callable[[], datetime],
        clock: Clock,
    ) -> None:
        self._sums = sums
        self._qualities = qualities
        self._budgets = budgets
        self._fold_time = fold_time
        self._clock = clock

    async def look(self, rule: Rule) -> list[Look]:
        """Subjects that are beyond the rule's limit, or nearly; no others."""
        match rule.kind:
            case "threshold":
                return await self._threshold(rule)
            case "anomaly":
                return await self._anomaly(rule)
            case "quality":
                return [_dropped(one) for one in await self._qualities.bad()]
            case "budget_burn":
                return [
                    _burnt(one)
                    for one in await self._budgets.spending()
                    if one.sent >= max(1, rule.minimum_sample_size)
                    and one.expected_micros > one.budget_micros
                ]
            case "lag":
                return self._lag(rule)

    def _lag(self, rule: Rule) -> list[Look]:
        lag = max(0.0, (self._clock.now() - self._fold_time()).total_seconds())
        if lag <= rule.threshold * _NEAR:
            return []
        text = (
            f"Facts are {lag:.0f} s old, where {rule.threshold:.0f} s are allowed: look at the lag"
            " of the log and whether reports keeps up."
        )
        found = Interval(lag, lag, lag)
        return [Look((), lag > rule.threshold, found, 0, None, rule.threshold, text)]

    async def _threshold(self, rule: Rule) -> list[Look]:
        measure = _made(rule)
        period = self._period(rule, timedelta())
        question = _question(rule, measure, rule.dimensions, period)
        wholes = await self._wholes(rule, measure, period)
        found: list[Look] = []
        for row in await self._sums(question):
            sums = _completed(rule, measure, row, wholes)
            number, size = value(measure, sums, question.seconds)
            if number is None or size < rule.minimum_sample_size or _untold(rule, row):
                continue
            if (number > rule.threshold) == (rule.direction == "above") and (
                number != rule.threshold
            ):
                seen = Interval(number, number, number)
                if measure.kind == "rate":
                    seen = rate_interval(round(number * size), size) or seen
                text = (
                    f"{_name(rule)} is {number:.4g}, {rule.direction} the limit"
                    f" {rule.threshold:.4g}."
                )
                subjects = (*row.values, *([row.currency] if row.currency else []))
                found.append(Look(subjects, True, seen, size, None, rule.threshold, text))
        return found

    async def _anomaly(self, rule: Rule) -> list[Look]:
        present = await self._stretch(rule, timedelta())
        now = {
            key: one
            for key, one in present.shares.items()
            if one.whole >= max(1, rule.minimum_sample_size)
        }
        if not now:
            return []
        weeks = [await self._stretch(rule, n * _WEEK) for n in range(1, _WEEKS + 1)]
        days: list[_Stretch] = []
        found: list[Look] = []
        for key, share in now.items():
            past = _past(weeks, key, rule)
            finding = unlike(share, past, rule.direction, rule.sensitivity)
            if finding is None:
                # Too young for weeks: the same hours of the days before
                days = days or [await self._stretch(rule, n * _DAY) for n in range(1, _DAYS + 1)]
                past = _past(days, key, rule)
                finding = unlike(share, past, rule.direction, rule.sensitivity)
            if finding is None or finding.deviations < rule.sensitivity * _NEAR:
                continue
            seen = rate_interval(share.part, share.whole)
            assert seen is not None
            beyond = finding.deviations >= rule.sensitivity and finding.large
            text = (
                f"{_name(rule)} is {seen.value:.2%} of {share.whole}, where"
                f" {finding.expected.lower:.2%} to {finding.expected.upper:.2%} would be usual."
            )
            found.append(
                Look(key, beyond, seen, share.whole, finding.expected, finding.limit, text)
            )
        return found

    async def _stretch(self, rule: Rule, ago: timedelta) -> _Stretch:
        """A rate by subject, in the rule's window so long ago."""
        measure = _made(rule)
        assert measure.whole is not None
        period = self._period(rule, ago)
        wholes = await self._wholes(rule, measure, period)
        shares: dict[tuple[str, ...], Share] = {}
        for row in await self._sums(_question(rule, measure, rule.dimensions, period)):
            if not _untold(rule, row):
                sums = _completed(rule, measure, row, wholes)
                part, whole = sums.get(measure.part, 0), sums.get(measure.whole, 0)
                shares[row.values] = Share(int(part), int(whole))
        return _Stretch(shares, wholes)

    async def _wholes(
        self, rule: Rule, measure: Made, period: Period
    ) -> dict[tuple[str, ...], int] | None:
        """What a rate is a share of, without dimensions that say how messages ended; None where
        there are none of them."""
        coarse = tuple(d for d in rule.dimensions if d not in _OUTCOMES)
        if coarse == rule.dimensions or measure.whole is None:
            return None
        rows = await self._sums(_question(rule, measure, coarse, period))
        return {row.values: int(row.sums.get(measure.whole, 0)) for row in rows}

    def _period(self, rule: Rule, ago: timedelta) -> Period:
        """The rule's window so long ago, in whole quarters of an hour."""
        now = self._clock.now() - ago
        if rule.kind == "anomaly" and rule.direction == "below":
            now -= _RIPENS.get(rule.measure, timedelta())
        end = now - (now - moment_of(0)) % _QUARTER
        return Period(end - timedelta(milliseconds=rule.window_ms), end, "UTC")


def _made(rule: Rule) -> Made:
    found = made(rule.measure, 0)
    assert found is not None  # checked when the rule was stored
    return found


def _question(rule: Rule, measure: Made, dimensions: Sequence[int], period: Period) -> Question:
    return Question(
        ((rule.measure, measure),),
        tuple((d, COLUMNS[d]) for d in dimensions),
        tuple(Where(COLUMNS[s.dimension], s.values, s.exclude) for s in rule.filters),
        period,
        "",
        False,
    )


def _completed(
    rule: Rule, measure: Made, row: Row, wholes: dict[tuple[str, ...], int] | None
) -> dict[Column, float]:
    if wholes is None or measure.whole is None:
        return row.sums
    return {**row.sums, measure.whole: wholes.get(_coarse(rule, row.values), 0)}


def _coarse(rule: Rule, key: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one, d in zip(key, rule.dimensions, strict=True) if d not in _OUTCOMES)


def _untold(rule: Rule, row: Row) -> bool:
    """Whether messages did not end in the way that the dimension tells."""
    told = zip(row.values, rule.dimensions, strict=True)
    return any(d in _OUTCOMES and not one for one, d in told)


def _past(stretches: Sequence[_Stretch], key: tuple[str, ...], rule: Rule) -> list[Share]:
    """A subject's past, where there was as much as tells something."""
    found: list[Share] = []
    for shares, wholes in stretches:
        # Where nothing ended so, there still were messages that could have
        none = Share(0, 0 if wholes is None else wholes.get(_coarse(rule, key), 0))
        share = shares.get(key, none)
        if share.whole >= max(1, rule.minimum_sample_size):
            found.append(share)
    return found


def _name(rule: Rule) -> str:
    return named(Measure, rule.measure).replace("_", " ").capitalize()


def _dropped(one: Quality) -> Look:
    text = (
        f"Meta says {one.score} of {one.kind} {one.label}: look at what people were sent with it,"
        " and send less until it is better."
    )
    return Look((one.subject,), True, Interval(0, 0, 0), 0, None, 0.0, text)


def _burnt(one: Spending) -> Look:
    budget, expected = one.budget_micros / 1_000_000, one.expected_micros / 1_000_000
    text = (
        f"Campaign {one.name} will cost some {expected:.2f} {one.currency}, its budget is"
        f" {budget:.2f}: raise it, or the last of {one.waiting} who wait get nothing."
    )
    found = Interval(expected, expected, expected)
    return Look((one.campaign_id,), True, found, one.sent, None, budget, text)
