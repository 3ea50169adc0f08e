"""Questions of pages, asked as any caller asks them: by the contract."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from chassis.times import stamped
from merhaba.reports.v1 import (
    Dimension,
    Filter,
    Freshness,
    GetHeatMapRequest,
    Grain,
    Measure,
    Query,
    QueryRequest,
    QueryRow,
    ReportServiceServicer,
    Value,
)
from merhaba.reports.v1 import Period as PeriodMessage
from services.reports.contracts import ask
from services.reports.dashboard.figures import Figure, Line, Named, Spell
from services.reports.dashboard.look import Look
from services.reports.model import Period

_MOST: Final = 10_000
_GRAINS: Final = {
    "": Grain.GRAIN_UNSPECIFIED,
    "hour": Grain.GRAIN_HOUR,
    "day": Grain.GRAIN_DAY,
    "week": Grain.GRAIN_WEEK,
    "month": Grain.GRAIN_MONTH,
}


async def query(
    reports: ReportServiceServicer,
    look: Look,
    measures: Sequence[str],
    by: Sequence[str] = (),
    grain: str = "",
    *,
    compare: bool | None = None,
    order: str = "",
) -> Spell:
    """Measures by dimensions, all rows. Raises what the contract says."""
    asked = Query(
        measures=[measure(name) for name in measures],
        dimensions=[dimension(name) for name in by],
        filters=filters(look),
        period=period(look.period),
        grain=_GRAINS[grain],
        compare_previous=look.compare if compare is None else compare,
        order_measure=measure(order) if order else Measure.MEASURE_UNSPECIFIED,
        conversion_ids=[look.goal],
    )
    answer = await ask(reports.Query, QueryRequest(query=asked, page_size=_MOST))
    return Spell([line(row) for row in answer.rows], moment(answer.freshness))


async def heat(
    reports: ReportServiceServicer, look: Look, name: str
) -> dict[tuple[int, int], Figure]:
    """A measure by weekday (1 is Monday) and hour of send."""
    asked = GetHeatMapRequest(
        measure=measure(name), filters=filters(look), period=period(look.period)
    )
    answer = await ask(reports.GetHeatMap, asked)
    return {(cell.weekday, cell.hour): figure(cell.value) for cell in answer.cells}


def line(row: QueryRow, compare: bool = True) -> Line:
    """A row of an answer, beside the period before where that is to be seen."""
    return Line(
        row.bucket_time.ToDatetime(UTC) if row.HasField("bucket_time") else None,
        tuple(Named(one.value, one.label or one.value) for one in row.dimensions),
        row.currency_code,
        {name(value.measure): figure(value, compare) for value in row.values},
    )


def figure(value: Value, compare: bool = True) -> Figure:
    """A number of an answer."""
    return Figure(
        value.value if value.HasField("value") else None,
        value.previous_value if compare and value.HasField("previous_value") else None,
        value.lower if value.HasField("lower") else None,
        value.upper if value.HasField("upper") else None,
        value.sample_size,
    )


def name(measured: int) -> str:
    """A measure as pages name it."""
    return Measure.Name(measured).removeprefix("MEASURE_").lower()  # type: ignore[arg-type]  # enum values are ints at run time


def measure(named: str) -> Measure.ValueType:
    """A measure as the contract names it."""
    return Measure.Value(f"MEASURE_{named.upper()}")


def dimension(named: str) -> Dimension.ValueType:
    """A dimension as the contract names it."""
    return Dimension.Value(f"DIMENSION_{named.upper()}")


def filters(look: Look) -> list[Filter]:
    """What narrows a look."""
    return [Filter(dimension=dimension(one), values=values) for one, values in look.filters]


def period(asked: Period) -> PeriodMessage:
    """A stretch of time."""
    return PeriodMessage(
        start_time=stamped(asked.start), end_time=stamped(asked.end), zone=asked.zone
    )


def moment(fresh: Freshness) -> datetime:
    """How new an answer is."""
    return fresh.fold_time.ToDatetime(UTC)
