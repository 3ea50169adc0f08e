"""What each kind of rule finds now."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from math import prod
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
_WHOLE_DAYS: Final = 56
_MOST_DAYS: Final = 50_000
"""Rows of days that are looked up at most; of more subjects the days are not looked at."""
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


_Wholes = dict[tuple[datetime | None, tuple[str, ...]], int]
"""By bucket and dimensions, without those that say how messages ended."""


class _Pasts:
    """Stretches of the past, each kind looked up once, when it is first needed."""

    def __init__(self, *kinds: Callable[[], Awaitable[list[_Stretch]]]) -> None:
        self._kinds = kinds
        self._known: dict[int, list[_Stretch]] = {}

    def __len__(self) -> int:
        return len(self._kinds)

    async def get(self, kind: int) -> list[_Stretch]:
        """One kind."""
        if kind not in self._known:
            self._known[kind] = await self._kinds[kind]()
        return self._known[kind]


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
        zone: str,
    ) -> None:
        """`zone`: in which days are kept."""
        self._sums = sums
        self._qualities = qualities
        self._budgets = budgets
        self._fold_time = fold_time
        self._clock = clock
        self._zone = zone

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
        question = _question(rule, measure, rule.dimensions, self._period(rule, timedelta()))
        rows, wholes = await self._rows(rule, measure, question)
        found: list[Look] = []
        for row in rows:
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
        found: list[Look] = []
        pasts = _Pasts(
            lambda: self._stretches(rule, _WEEK, _WEEKS),
            # Too young for weeks, or not every week: the same hours of the days before
            lambda: self._stretches(rule, _DAY, _DAYS),
            # Nor at the same hour: whole days
            lambda: self._days(rule, list(now)),
        )
        for key, share in now.items():
            finding = None
            for past in range(len(pasts)):
                known = _past(await pasts.get(past), key, rule)
                finding = unlike(share, known, rule.direction, rule.sensitivity)
                if finding is not None:
                    break
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

    async def _stretches(self, rule: Rule, apart: timedelta, count: int) -> list[_Stretch]:
        return [await self._stretch(rule, n * apart) for n in range(1, count + 1)]

    async def _stretch(self, rule: Rule, ago: timedelta) -> _Stretch:
        """A rate by subject, in the rule's window so long ago."""
        measure = _made(rule)
        question = _question(rule, measure, rule.dimensions, self._period(rule, ago))
        return _shares(rule, measure, *await self._rows(rule, measure, question))

    async def _days(self, rule: Rule, keys: Sequence[tuple[str, ...]]) -> list[_Stretch]:
        """A rate by subject on each day before the rule's window."""
        each = [sorted({key[n] for key in keys}) for n in range(len(rule.dimensions))]
        if prod(map(len, each)) * _WHOLE_DAYS > _MOST_DAYS:
            return []
        measure = _made(rule)
        end = self._period(rule, timedelta()).start
        question = _question(
            rule, measure, rule.dimensions, Period(end - _WHOLE_DAYS * _DAY, end, self._zone)
        )
        among = tuple(
            Where(COLUMNS[d], tuple(values), False)
            for d, values in zip(rule.dimensions, each, strict=True)
            if d not in _OUTCOMES
        )
        rows, wholes = await self._rows(
            rule, measure, question._replace(grain="day", filters=question.filters + among)
        )
        days: dict[datetime | None, tuple[list[Row], _Wholes]] = {}
        for row in rows:
            days.setdefault(row.start, ([], {}))[0].append(row)
        for (start, key), whole in (wholes or {}).items():
            days.setdefault(start, ([], {}))[1][start, key] = whole
        return [
            _shares(rule, measure, own, None if wholes is None else whole)
            for own, whole in days.values()
        ]

    async def _rows(
        self, rule: Rule, measure: Made, question: Question
    ) -> tuple[list[Row], _Wholes | None]:
        """What was asked, and, with dimensions that say how messages ended, what rates are a share
        of; None without."""
        rows = await self._sums(question)
        coarse = tuple(d for d in rule.dimensions if d not in _OUTCOMES)
        if coarse == rule.dimensions or measure.whole is None:
            return rows, None
        # Behind the parts: what comes meanwhile makes a whole larger than its parts, not smaller
        whole = question._replace(dimensions=tuple((d, COLUMNS[d]) for d in coarse))
        return rows, {
            (row.start, row.values): int(row.sums.get(measure.whole, 0))
            for row in await self._sums(whole)
        }

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


def _completed(rule: Rule, measure: Made, row: Row, wholes: _Wholes | None) -> dict[Column, float]:
    if wholes is None or measure.whole is None:
        return row.sums
    part = row.sums.get(measure.part, 0)
    whole = wholes.get((row.start, _coarse(rule, row.values)), 0)
    # What was counted otherwise since the parts were read must not make a share of more than all
    return {**row.sums, measure.part: min(part, whole), measure.whole: whole}


def _shares(rule: Rule, measure: Made, rows: Sequence[Row], wholes: _Wholes | None) -> _Stretch:
    assert measure.whole is not None  # a rate, checked when the rule was stored
    shares: dict[tuple[str, ...], Share] = {}
    for row in rows:
        if not _untold(rule, row):
            sums = _completed(rule, measure, row, wholes)
            part, whole = sums.get(measure.part, 0), sums.get(measure.whole, 0)
            shares[row.values] = Share(int(part), int(whole))
    if wholes is None:
        return _Stretch(shares, None)
    return _Stretch(shares, {key: whole for (_, key), whole in wholes.items()})


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
    return Look((one.subject, one.score), True, Interval(0, 0, 0), 0, None, 0.0, text)


def _burnt(one: Spending) -> Look:
    budget, expected = one.budget_micros / 1_000_000, one.expected_micros / 1_000_000
    text = (
        f"Campaign {one.name} will cost some {expected:.2f} {one.currency}, its budget is"
        f" {budget:.2f}: raise it, or the last of {one.waiting} who wait get nothing."
    )
    found = Interval(expected, expected, expected)
    return Look((one.campaign_id,), True, found, one.sent, None, budget, text)
