"""Our figures beside Meta's, in the words of the contract."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from chassis import paging
from chassis.failures import FieldInvalid
from chassis.times import stamped
from merhaba.reports.v1 import (
    Dimension,
    DimensionValue,
    Filter,
    Freshness,
    Grain,
    Measure,
    Query,
    QueryRow,
    ReconcileWithMetaRequest,
    ReconcileWithMetaResponse,
    ReconciliationLine,
)
from merhaba.reports.v1 import Period as PeriodMessage
from services.reports.answers.answering import Answers
from services.reports.answers.question import column, question, refused
from services.reports.model import Period
from services.reports.reconciling.asking import Asking
from services.reports.reconciling.figures import Beside, Name, sources, summed

_GRAINS: Final = {
    Grain.GRAIN_UNSPECIFIED: "day",
    Grain.GRAIN_DAY: "day",
    Grain.GRAIN_MONTH: "month",
}
_MOST: Final = 10_000
_DAY: Final = timedelta(days=1)
_MONEY: Final = "cost"

Key = tuple[datetime, tuple[str, ...], Name]


class ReconcilingApi:
    """Sets our figures beside Meta's."""

    def __init__(
        self,
        asking: Asking,
        answers: Answers,
        period: Callable[[PeriodMessage], Period],
        fresh: Callable[[datetime, bool], Freshness],
        fold_time: Callable[[], datetime],
    ) -> None:
        """As `AnsweringApi`."""
        self._asking = asking
        self._answers = answers
        self._period = period
        self._fresh = fresh
        self._fold_time = fold_time

    async def reconcile(self, request: ReconcileWithMetaRequest) -> ReconcileWithMetaResponse:
        """A page of comparisons by time, value and measure. Raises `FieldInvalid`,
        `QueryUnsupported`, `PlatformRefused`, `PlatformUnavailable` and `TokenInvalid`."""
        if not request.waba_id:
            raise FieldInvalid("waba_id", "missing; name the account")
        grain = _GRAINS.get(request.grain)
        if grain is None:
            raise FieldInvalid("grain", "give DAY or MONTH")
        names = [column(d, f"dimensions[{n}]") for n, d in enumerate(request.dimensions)]
        if not (told := sources(names)):
            raise refused("Meta does not tell its figures by these dimensions together", names[0])
        size, query = paging.size(request.page_size, most=_MOST), paging.query(request)
        place = paging.place(request.page_token, query, [int]) or (0,)
        asked = self._period(request.period)
        start = asked.start.astimezone(UTC).date()
        end = (asked.end - timedelta(microseconds=1)).astimezone(UTC).date() + _DAY
        fold_time = self._fold_time()
        metas: dict[Key, float] = {}
        for source, measures in told.items():
            # Asked for every page, Meta would soon answer none, and pages would not fit together
            figures = await self._asking.figures(
                *(request.waba_id, source, start, end), anew=not place[0]
            )
            metas |= summed(figures, names, measures, grain)
        every = [name for measures in told.values() for name in measures]
        ours = await self._ours(request, every, _whole(start, end), grain)
        currency = await self._asking.currency(request.waba_id)
        lines = _beside(ours, metas, currency)
        first, last = place[0], place[0] + size
        return ReconcileWithMetaResponse(
            lines=[_line(line, request.dimensions) for line in lines[first:last]],
            next_page_token=paging.token(query, [last]) if last < len(lines) else "",
            freshness=self._fresh(fold_time, False),
        )

    async def _ours(
        self, request: ReconcileWithMetaRequest, names: Sequence[Name], period: Period, grain: str
    ) -> dict[tuple[Key, str], float]:
        """With the currency, where it is money."""
        numbers = [one.phone_number_id for one in await self._asking.numbers(request.waba_id)]
        query = Query(
            dimensions=request.dimensions,
            filters=[Filter(dimension=Dimension.DIMENSION_NUMBER, values=numbers)],
            grain=Grain.Value(f"GRAIN_{grain.upper()}"),
        )
        found: dict[tuple[Key, str], float] = {}
        for together in ([n for n in names if n != _MONEY], [n for n in names if n == _MONEY]):
            if not together:
                continue
            query.measures[:] = [_measure(name) for name in together]
            for row in await self._answers.rows(question(query, period)):
                for name, one in zip(together, row.values, strict=True):
                    if one.value:
                        found[_key(row, name), row.currency_code] = one.value
        return found


def _whole(start: date, end: date) -> Period:
    return Period(_midnight(start), _midnight(end), "UTC")


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _key(row: QueryRow, name: Name) -> Key:
    return row.bucket_time.ToDatetime(UTC), tuple(one.value for one in row.dimensions), name


def _beside(
    ours: dict[tuple[Key, str], float], metas: dict[Key, float], currency: str
) -> list[Beside]:
    """Every number that either of us has; money of ours in another currency has none of Meta's."""
    keys = {*ours, *((key, currency if key[2] == _MONEY else "") for key in metas)}
    lines = [
        Beside(
            *key,
            ours.get((key, own), 0.0),
            metas.get(key) if own in ("", currency) else None,
            own,
        )
        for key, own in keys
    ]
    return sorted(lines, key=lambda line: (line.start, line.values, line.measure, line.currency))


def _line(line: Beside, dimensions: Sequence[Any]) -> ReconciliationLine:
    made = ReconciliationLine(
        bucket_time=stamped(line.start),
        dimensions=[
            DimensionValue(value=value, label=value)
            for _, value in zip(dimensions, line.values, strict=True)
        ],
        measure=_measure(line.measure),
        our_value=line.ours,
        currency_code=line.currency,
        reason=line.reason,
    )
    if line.metas is not None and line.difference is not None:
        made.meta_value, made.difference = line.metas, line.difference
    return made


def _measure(name: Name) -> Any:
    return Measure.Value(f"MEASURE_{name.upper()}")
