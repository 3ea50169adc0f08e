"""What commands ask of reports, as people write it."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import typer

from chassis.failures import FieldInvalid
from cli.calling import calling, pages
from merhaba.reports.v1 import (
    ConversionServiceStub,
    Dimension,
    Filter,
    ListConversionsRequest,
    Measure,
    Period,
    Query,
    QueryRequest,
    ReportServiceStub,
)


def reports(
    purpose: str = "looking at reports",
) -> AbstractAsyncContextManager[ReportServiceStub]:
    """The running stack of this folder, or REPORTS_TARGET with API_TOKEN."""
    return calling("reports", ReportServiceStub, purpose)


def period(days: float, start: datetime | None, end: datetime | None, zone: str) -> Period:
    """The last days, or from one day to another."""
    where = ZoneInfo(zone) if zone else UTC
    last = datetime.now(UTC) if end is None else end.replace(tzinfo=where)
    first = last - timedelta(days=days) if start is None else start.replace(tzinfo=where)
    made = Period(zone=zone)
    made.start_time.FromDatetime(first.astimezone(UTC))
    made.end_time.FromDatetime(last.astimezone(UTC))
    return made


def measure(word: str) -> Any:
    """`read_rate`, or `read rate`."""
    return _value(Measure, "MEASURE_", word, "measure")


def dimension(word: str) -> Any:
    """`template`; also `message`, `hour`, `weekday` and `step`."""
    short = {
        "message": "template",
        "hour": "send_hour",
        "weekday": "send_weekday",
        "step": "journey_step",
    }
    return _value(Dimension, "DIMENSION_", short.get(word.lower(), word), "dimension")


def filters(given: Iterable[str]) -> list[Filter]:
    """`market=TR,DE`, or `gate!=consent`."""
    found = []
    for one in given:
        name, equals, values = one.partition("=")
        if not equals:
            raise typer.BadParameter(f"{one}: write it as dimension=value")
        found.append(
            Filter(
                dimension=dimension(name.rstrip("!")),
                values=values.split(","),
                exclude=name.endswith("!"),
            )
        )
    return found


async def campaign_id(service: ReportServiceStub, given: str) -> str:
    """Of a campaign that is named by its id, or by its name."""
    query = Query(
        measures=[Measure.MEASURE_PLANNED],
        dimensions=[Dimension.DIMENSION_CAMPAIGN],
        period=period(800, None, None, ""),
    )
    request = QueryRequest(query=query, page_size=10_000)
    named: set[str] = set()
    async for page in pages(service.Query, request):
        for row in page.rows:
            (one,) = row.dimensions
            if one.value == given:
                return given
            if one.label == given:
                named.add(one.value)
    if len(named) > 1:
        raise FieldInvalid("campaign", f"several are called so: {', '.join(sorted(named))}")
    return named.pop() if named else given


async def conversion_id(given: str) -> str:
    """Of a definition of success that is named by its name, or by its id; empty for none."""
    if not given:
        return ""
    known: dict[str, str] = {}
    async with calling("reports", ConversionServiceStub, "looking at reports") as service:
        async for page in pages(service.ListConversions, ListConversionsRequest()):
            known |= {one.name: one.conversion_id for one in page.conversions}
    if given not in known and given not in known.values():
        names = ", ".join(sorted(known))
        raise FieldInvalid("conversion", f"nothing is called {given}; there are {names}")
    return known.get(given, given)


def _value(enum: Any, prefix: str, word: str, kind: str) -> Any:
    name = f"{prefix}{word.upper().replace(' ', '_').replace('-', '_')}"
    known = {one: number for one, number in enum.items() if number}
    if name not in known:
        words = ", ".join(one.removeprefix(prefix).lower() for one in known)
        raise typer.BadParameter(f"{word}: no {kind}; there are {words}")
    return known[name]
