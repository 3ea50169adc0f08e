"""What files are made of: answers to queries, campaigns, messages; as rows, a batch at a time."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from chassis.clock import moment_of
from chassis.postgres import Pool
from merhaba.reports.v1 import (
    Dimension,
    ExportSpec,
    Grain,
    Measure,
    MessageFacts,
    Query,
    QueryRequest,
    QueryRow,
    ReportServiceServicer,
)
from services.reports import messages
from services.reports.answers.question import filters
from services.reports.contracts import ask
from services.reports.exports.files import Cell, Column, Rows
from services.reports.failures import QueryUnsupported
from services.reports.funnel import outcome
from services.reports.ledger import CampaignReport, Ledger
from services.reports.model import MessageFact, Progress, Step

_BATCH: Final = 500
"""Rows at once: reading them takes some 10 ms, for which nothing else is answered."""
_PAGE: Final = 10_000
_MICROS: Final = 1_000_000
_STEPS: Final[tuple[Step, ...]] = (
    *("planned", "sent", "delivered", "read", "clicked", "replied", "failed"),
    *("suppressed", "held_out"),
)
_FAR: Final = (1 << len(Progress._fields)) - 1
"""The bits that say how far a message came."""
_NOT_OF_ONE: Final = frozenset({"segment_id", "send_hour", "send_weekday"})
_COUNTS: Final = ("recipients", "sent", "delivered", "read", "clicked", "replied")
MESSAGES: Final = (
    *(Column(n) for n in ("message_id", "contact", "campaign_id", "trigger_id", "journey_id")),
    *(Column(n) for n in ("journey_step", "template", "variant", "language", "number", "market")),
    *(Column(n) for n in ("category", "stage", "zone", "device", "outcome", "gate")),
    Column("error_code", "integer"),
    *(Column(f"{step}_time", "time") for step in _STEPS),
    Column("cost", "number"),
    Column("currency"),
    Column("pricing_type"),
    Column("propensity", "number"),
    Column("control_group"),
    Column("opted_out", "integer"),
    Column("conversions", "integer"),
    Column("revenue", "number"),
    Column("revenue_currency"),
)


class Content(NamedTuple):
    """Rows of a file, and how many there will be, so far as is known."""

    columns: Sequence[Column]
    total: int
    batches: AsyncIterator[Rows]


class Contents:
    """Fetches what files are made of."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        reports: ReportServiceServicer,
        secret: Callable[[], bytes],
    ) -> None:
        """`secret`: a new one, by which people are told apart in one file and in no other."""
        self._pool = pool
        self._ledger = ledger
        self._reports = reports
        self._secret = secret

    @asynccontextmanager
    async def open(self, spec: ExportSpec) -> AsyncIterator[Content]:
        """The rows of a file, for as long as the block runs. Raises what the contract says."""
        match spec.WhichOneof("content"):
            case "messages":
                async with self._messages(spec) as content:
                    yield content
            case "campaign_id":
                yield _campaign(await self.campaign(spec.campaign_id))
            case _:
                yield await self._query(spec.query)

    async def campaign(self, campaign_id: str) -> CampaignReport:
        """A campaign's figures. Raises `CampaignNotFound`."""
        return await self._ledger.campaign(campaign_id)

    async def expected(self, spec: ExportSpec) -> int:
        """About how many rows there will be. Raises what the contract says."""
        if spec.WhichOneof("content") != "messages":
            return 0
        asked = Query(
            measures=[Measure.MEASURE_PLANNED],
            filters=spec.messages.filters,
            period=spec.messages.period,
        )
        answer = await ask(self._reports.Query, QueryRequest(query=asked))
        return int(answer.rows[0].values[0].value) if answer.rows else 0

    async def _query(self, query: Query) -> Content:
        rows: list[QueryRow] = []
        request = QueryRequest(query=query, page_size=_PAGE)
        while True:
            answer = await ask(self._reports.Query, request)
            rows += answer.rows
            request.page_token = answer.next_page_token
            if not request.page_token:
                break
        return Content(_columns(query), len(rows), _in_batches(query, rows))

    @asynccontextmanager
    async def _messages(self, spec: ExportSpec) -> AsyncIterator[Content]:
        """All at one instant: what changes meanwhile is in no row twice, and in none half."""
        total = await self.expected(spec)
        statement, values = _statement(spec.messages)
        secret = None if spec.unmasked else self._secret()
        async with (
            self._pool.acquire(timeout=10) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            cursor = await connection.cursor(statement, *values)

            async def batches() -> AsyncIterator[Rows]:
                while rows := await cursor.fetch(_BATCH):
                    yield [_message(row, secret) for row in rows]

            yield Content(MESSAGES, total, batches())


def _statement(asked: MessageFacts) -> tuple[str, list[Any]]:
    values: list[Any] = [
        asked.period.start_time.ToDatetime(UTC),
        asked.period.end_time.ToDatetime(UTC),
    ]
    chosen: list[str] = []
    for n, one in enumerate(filters(asked.filters, "spec.messages.filters")):
        if one.column in _NOT_OF_ONE:
            raise QueryUnsupported(
                f"spec.messages.filters[{n}]: rows of messages are not chosen by this",
                dimension=one.column,
            )
        values.append(list(one.values))
        test = f"cubes.{one.column} = ANY(${len(values)})"
        chosen.append(f"NOT {test}" if one.exclude else test)
    cubes = f"(SELECT cube_id FROM cubes WHERE {' AND '.join(chosen)})"  # noqa: S608 - names are constants, values are bound
    return (
        f"SELECT progress, {messages.READ} FROM message_facts"  # noqa: S608 - as above
        " WHERE counted_time >= $1 AND counted_time < $2"
        f"{f' AND cube_id IN {cubes}' if chosen else ''} ORDER BY counted_time",
        values,
    )


def _message(row: Any, secret: bytes | None) -> Sequence[Cell]:
    progress, *columns = row
    fact, context = messages.read(columns)
    rank, micros, currency = fact.cost or (0, 0, "")
    sale = context.sales[0] if context.sales else None
    return (
        fact.message_id,
        _who(fact, secret),
        fact.campaign_id,
        context.trigger_id,
        context.journey_id,
        context.journey_step,
        fact.template,
        fact.variant,
        fact.language,
        fact.phone_number_id,
        fact.market,
        fact.category[1] if fact.category else "",
        context.stage,
        context.zone,
        fact.device[1] if fact.device else context.device,
        _outcome(progress & _FAR),
        fact.gate[1] if fact.gate else "",
        fact.failure[1] if fact.failure else None,
        *(_time(fact.times.get(step)) for step in _STEPS),
        micros / _MICROS if rank else None,
        currency,
        fact.pricing[1] if fact.pricing else "",
        fact.propensity or None,
        fact.control,
        int(context.opted_out),
        sum(one.conversions for one in context.sales),
        sale.revenue_micros / _MICROS if sale else None,
        sale.currency if sale else "",
    )


@lru_cache(maxsize=_FAR + 1)
def _outcome(progress: int) -> str:
    return outcome(Progress(*(bool(progress >> n & 1) for n in range(len(Progress._fields)))))


def _who(fact: MessageFact, secret: bytes | None) -> str:
    """Who it was for: without a scope for people only whether it is the same person."""
    if secret is None or not fact.contact_id:
        return fact.contact_id
    return hmac.new(secret, fact.contact_id.encode(), hashlib.sha256).hexdigest()[:20]


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else moment_of(milliseconds)


def _columns(query: Query) -> list[Column]:
    found = [Column("time", "time")] if query.grain != Grain.GRAIN_UNSPECIFIED else []
    for dimension in query.dimensions:
        name = Dimension.Name(dimension).removeprefix("DIMENSION_").lower()
        found += [Column(name), Column(f"{name}_label")]
    found.append(Column("currency"))
    for measure in query.measures:
        name = Measure.Name(measure).removeprefix("MEASURE_").lower()
        found.append(Column(name, "number"))
        if query.compare_previous:
            found.append(Column(f"{name}_before", "number"))
        if name.endswith("_rate"):
            found += [Column(f"{name}_{bound}", "number") for bound in ("lower", "upper")]
            found.append(Column(f"{name}_of", "integer"))
    return found


async def _in_batches(query: Query, rows: Sequence[QueryRow]) -> AsyncIterator[Rows]:
    for first in range(0, len(rows), _BATCH):
        yield [_row(query, row) for row in rows[first : first + _BATCH]]


def _row(query: Query, row: QueryRow) -> list[Cell]:
    cells: list[Cell] = []
    if query.grain != Grain.GRAIN_UNSPECIFIED:
        cells.append(row.bucket_time.ToDatetime(UTC))
    for dimension in row.dimensions:
        cells += [dimension.value, dimension.label]
    cells.append(row.currency_code)
    for value in row.values:
        cells.append(value.value if value.HasField("value") else None)
        if query.compare_previous:
            cells.append(value.previous_value if value.HasField("previous_value") else None)
        if Measure.Name(value.measure).endswith("_RATE"):
            cells.append(value.lower if value.HasField("lower") else None)
            cells.append(value.upper if value.HasField("upper") else None)
            cells.append(value.sample_size)
    return cells


def _campaign(report: CampaignReport) -> Content:
    columns = [Column("campaign_id"), Column("campaign"), Column("variant"), Column("template")]
    columns += [Column(name, "integer") for name in (*_COUNTS, "failed", "suppressed", "held_out")]
    columns += [Column(name, "integer") for name in ("converted", "orders", "opted_out")]
    columns += [Column("cost", "number"), Column("currency")]
    columns += [Column("revenue", "number"), Column("revenue_currency")]

    async def batches() -> AsyncIterator[Rows]:
        rows: list[list[Cell]] = []
        for one in report.variants:
            tally = one.tally
            cost, revenue = _largest(tally.costs), _largest(tally.revenues)
            rows.append(
                [
                    *(report.state.campaign_id, report.state.name, one.variant, one.template),
                    *(getattr(tally, name) for name in _COUNTS),
                    *(tally.outcomes[o] for o in ("failed", "suppressed", "held_out")),
                    *(tally.converted, tally.orders, tally.opted_out),
                    *cost,
                    *revenue,
                ]
            )
        yield rows

    return Content(columns, len(report.variants), batches())


def _largest(amounts: dict[str, int]) -> tuple[float | None, str]:
    if not amounts:
        return None, ""
    currency = max(amounts, key=lambda one: (amounts[one], one))
    return amounts[currency] / _MICROS, currency
