"""Reports: events folded a second, questions over millions of facts, how fresh answers are.

One process of reports with Postgres and Redis, all of them real processes on this machine. Facts
of a year are put into the store as the service would have left them; what is asked of them goes
over gRPC, while events go on coming. Baselines: the same questions as a plain count over the
facts; folding with one bare insert per batch.
"""

import argparse
import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

import asyncpg
import uvloop

from bench.people import caught_up, log_of
from bench.result import Figure, percentile, tell
from bench.running import note, suite
from bench.work import Cost
from chassis.streams import EventLog, Record, event_log
from merhaba.event.v1 import Event, MessageRef
from merhaba.reports.v1 import (
    Dimension,
    Filter,
    GetCampaignReportRequest,
    GetCostReportRequest,
    GetFunnelRequest,
    GetHeatMapRequest,
    GetOverviewRequest,
    Grain,
    Measure,
    Period,
    Query,
    QueryRequest,
    ReportServiceStub,
)
from services.reports import base, messages
from services.reports.model import Context, Counts, MessageFact, Progress
from services.reports.rollups import CUTS, Cube, Summary, part

_PER_CAMPAIGN: Final = 5_000
_DAYS: Final = 365
_BLOCK: Final = 500_000
_MARKETS: Final = ("TR", "DE", "NL")
_KINDS: Final = ("ok", "ok", "ok", "ok", "failed", "suppressed")
_SEGMENTS: Final = 10
_SLOTS: Final = 2 * len(_MARKETS) * len(_KINDS)
_EACH: Final = 25
_START: Final = datetime(2025, 11, 22, tzinfo=UTC)


class Year:
    """Facts of a year: campaigns of two variants, one after the other."""

    def __init__(self, database: "asyncpg.Connection[asyncpg.Record]", facts: int) -> None:
        self._database = database
        self._facts = facts
        self.campaigns = facts // _PER_CAMPAIGN

    async def make(self) -> None:
        """Put the facts into the store as the service would have left them."""
        await self._database.execute("SET synchronous_commit = off")
        indexes = await self._database.fetch(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'reports'"
            " AND tablename = 'message_facts' AND indexname NOT LIKE '%_pkey'"
        )
        for index in indexes:
            await self._database.execute(f"DROP INDEX {index['indexname']}")
        await self._cubes()
        for first in range(0, self._facts, _BLOCK):
            await self._some(first, min(first + _BLOCK, self._facts))
            note(f"  {min(first + _BLOCK, self._facts):,} facts")
        await self._sums()
        await self._sample()
        await self._segments()
        await self._summaries()
        await self._people()
        for index in indexes:
            await self._database.execute(index["indexdef"], timeout=600)
        await self._database.execute(
            "VACUUM (ANALYZE) message_facts, sampled_facts, rollups, rollup_days, cubes,"
            " segment_rollups, summaries, summary_hours, summary_days, base_changes, letters",
            timeout=600,
        )
        await self._database.execute("CHECKPOINT", timeout=600)

    async def _cubes(self) -> None:
        cubes = [
            (number, slot, _cube(number, slot))
            for number in range(self.campaigns)
            for slot in range(_SLOTS)
        ]
        await self._database.copy_records_to_table(
            "cubes", records={(c.cube_id, *c) for _, _, c in cubes}, timeout=600
        )
        await self._database.execute(
            "CREATE TEMP TABLE slots (campaign int, slot int, cube_id bigint)"
        )
        await self._database.copy_records_to_table(
            "slots", records=[(n, slot, c.cube_id) for n, slot, c in cubes], timeout=600
        )
        await self._database.execute("CREATE INDEX ON slots (campaign, slot); ANALYZE slots")
        await self._database.executemany(
            "INSERT INTO campaign_facts (campaign_id, change_time, state_rank, state, name)"
            " VALUES ($1, $2, 4, 'completed', $1)",
            [(f"cmp{n}", _START) for n in range(self.campaigns)],
        )

    async def _some(self, first: int, last: int) -> None:
        known = messages.Known(
            MessageFact("m", "c", times={"sent": 1, "delivered": 2}), Context(stage="loyalty")
        )
        document = messages._row(*known, part(*known))[-1]
        step = timedelta(days=_DAYS) / self.campaigns
        ok, reads = (1 << Progress._fields.index(n) for n in ("sent", "read"))
        reached = 1 << Progress._fields.index("reached")
        failed, held = (1 << Progress._fields.index(n) for n in ("failed", "suppressed"))
        await self._database.execute(
            "INSERT INTO message_facts SELECT 'm' || g, 'c' || (g::bigint * 7919) % 1000000,"  # noqa: S608 - numbers
            " 'cmp' || campaign, '', at, CASE WHEN kind < 4 THEN at + interval '3 s' END,"
            f" NULL, CASE WHEN kind = 4 THEN {ok | failed} WHEN kind = 5 THEN {held}"
            f" WHEN g % 5 < 3 THEN {ok | reached | reads} ELSE {ok | reached} END, cube_id, $4"
            " FROM (SELECT g, g / $3 AS campaign, g % $5 AS slot, (g % $5) / 6 AS kind,"
            " $6::timestamptz + (g / $3) * $7::interval + (g % $3) * interval '1.44 s' AS at"
            " FROM generate_series($1::int, $2::int - 1) AS g) AS made"
            " JOIN slots USING (campaign, slot)",
            *(first, last, _PER_CAMPAIGN, document, _SLOTS, _START, step),
            timeout=600,
        )

    async def _sums(self) -> None:
        sent, reached, read = (1 << Progress._fields.index(n) for n in ("sent", "reached", "read"))
        failed, held = (1 << Progress._fields.index(n) for n in ("failed", "suppressed"))
        counted = {
            "planned": "count(*)",
            "sent": f"count(*) FILTER (WHERE progress & {sent} <> 0)",
            "delivered": f"count(*) FILTER (WHERE progress & {reached} <> 0)",
            "read": f"count(*) FILTER (WHERE progress & {read} <> 0)",
            "failed": f"count(*) FILTER (WHERE progress & {failed} <> 0)",
            "suppressed": f"count(*) FILTER (WHERE progress & {held} <> 0)",
            "decided": f"count(*) FILTER (WHERE progress & {sent | failed} <> 0)",
            "cost_micros": f"50000 * count(*) FILTER (WHERE progress & {reached} <> 0)",
        }
        sums = ", ".join(counted.get(name, "0") for name in Counts._fields)
        await self._database.execute(
            "INSERT INTO rollups SELECT date_bin('15 minutes', counted_time, 'epoch'), cube_id,"  # noqa: S608 - names are constants
            f" {sums} FROM message_facts WHERE message_id LIKE 'm%' GROUP BY 1, 2",
            timeout=600,
        )

    async def _sample(self) -> None:
        await self._database.execute(
            "INSERT INTO sampled_facts SELECT message_id, contact_id, f.campaign_id, counted_time,"
            " reached_time, response_ms, progress, cube_id, c.template, c.market,"
            " c.phone_number_id, c.category FROM message_facts f JOIN cubes c USING (cube_id)"
            " WHERE get_byte(sha256(convert_to(contact_id, 'UTF8')), 0) % 64 = 0"
            " ON CONFLICT DO NOTHING",
            timeout=600,
        )

    async def _segments(self) -> None:
        """Every message counts in a third of the segments."""
        sums = ", ".join(f"sum({name}) / 3" for name in Counts._fields)
        await self._database.execute(
            "CREATE TEMP TABLE within AS SELECT c.campaign_id, c.currency, s.id AS segment_id,"  # noqa: S608 - a number
            " hashtextextended(c.campaign_id || c.currency || s.id, 0) AS cube_id"
            " FROM (SELECT DISTINCT campaign_id, currency FROM cubes) c"
            f" CROSS JOIN (SELECT 'segment' || n AS id FROM generate_series(1, {_SEGMENTS}) n) s",
            timeout=600,
        )
        others = ", ".join("''" for _ in Cube._fields[2:-1])
        await self._database.execute(
            f"INSERT INTO cubes SELECT cube_id, segment_id, campaign_id, {others}, currency"  # noqa: S608 - constants
            " FROM within",
            timeout=600,
        )
        await self._database.execute(
            f"INSERT INTO segment_rollups SELECT r.bucket, w.cube_id, {sums} FROM rollups r"  # noqa: S608 - constants
            " JOIN cubes c USING (cube_id) JOIN within w USING (campaign_id, currency)"
            " WHERE c.segment_id = '' GROUP BY 1, 2",
            timeout=600,
        )

    async def _summaries(self) -> None:
        await self._database.execute("TRUNCATE summaries, summary_hours")
        sums = ", ".join(f"sum({name})" for name in Counts._fields)
        for cut, by in enumerate(CUTS):
            dimensions = ", ".join(
                f"c.{name}" if name in by else "''" for name in Summary._fields[2:-1]
            )
            table = "segment_rollups" if "segment_id" in by else "rollups"
            await self._database.execute(
                f"INSERT INTO summaries SELECT {cut}, bucket, {dimensions}, c.currency, {sums}"  # noqa: S608 - constants
                f" FROM {table} JOIN cubes c USING (cube_id)"
                f" GROUP BY bucket, {', '.join(['c.currency', *(f'c.{name}' for name in by)])}",
                timeout=600,
            )
        dimensions = ", ".join(Summary._fields[2:])
        await self._database.execute(
            f"INSERT INTO summary_hours SELECT cut, date_bin('1 hour', bucket, 'epoch'),"  # noqa: S608 - constants
            f" {dimensions}, {sums} FROM summaries GROUP BY cut, 2, {dimensions}",
            timeout=600,
        )
        await self._database.execute("TRUNCATE rollup_days, summary_days")
        for statement in messages._ANEW:
            await self._database.execute(statement, "Europe/Istanbul", timeout=600)

    async def _people(self) -> None:
        """A million people who came in the course of the year, agreed, and wrote now and then."""
        quarters = "generate_series($1::timestamptz, $1 + interval '365 days', interval '15 min') q"
        await self._database.execute(
            "INSERT INTO base_changes SELECT name, q, many"  # noqa: S608 - constants
            f" FROM {quarters}, (VALUES ('contacts', 28), ('consented', 20), ('received', 10))"
            " AS v (name, many)"
            " ON CONFLICT (name, bucket) DO UPDATE SET added = excluded.added",
            _START,
            timeout=600,
        )
        await self._database.execute("TRUNCATE base_days")
        await self._database.execute(base._ANEW, "Europe/Istanbul", timeout=600)
        await self._database.execute(
            "INSERT INTO letters SELECT"  # noqa: S608 - constants
            " 'c' || (extract(epoch FROM q)::bigint / 90 + n) * 7919 % 1000000,"
            " 'l' || q || '/' || n,"
            f" q + n * interval '1 min', '1', n % 10 = 9 FROM {quarters}, generate_series(1, 10) n",
            _START,
            timeout=600,
        )


def _cube(number: int, slot: int) -> Cube:
    kind = _KINDS[slot // 6]
    return Cube(
        campaign_id=f"cmp{number}",
        template=f"template{number % 40}",
        variant="ab"[slot % 2],
        language="tr",
        market=_MARKETS[slot // 2 % 3],
        phone_number_id=str(number % 3),
        category="marketing",
        stage="loyalty",
        zone="Europe/Istanbul",
        error_code="131026" if kind == "failed" else "",
        gate="consent" if kind == "suppressed" else "",
        currency="USD" if kind == "ok" else "",
    )


def _period(chance: random.Random, days: int) -> Period:
    start = _START + timedelta(days=chance.randrange(max(_DAYS - days, 1)))
    asked = Period(zone="Europe/Istanbul")
    asked.start_time.FromDatetime(start)
    asked.end_time.FromDatetime(start + timedelta(days=days))
    return asked


def _questions(
    stub: ReportServiceStub, campaigns: int, chance: random.Random
) -> dict[str, Callable[[], Awaitable[object]]]:
    """What the pages of the dashboard ask."""

    def campaign() -> str:
        return f"cmp{chance.randrange(campaigns)}"

    def mine() -> list[Filter]:
        return [Filter(dimension=Dimension.DIMENSION_CAMPAIGN, values=[campaign()])]

    def market() -> list[Filter]:
        return [Filter(dimension=Dimension.DIMENSION_MARKET, values=[chance.choice(_MARKETS)])]

    main = [
        *(Measure.MEASURE_SENT, Measure.MEASURE_DELIVERY_RATE, Measure.MEASURE_READ_RATE),
        *(Measure.MEASURE_FAILED, Measure.MEASURE_SUPPRESSED),
    ]

    def query(days: int, dimension: list[int], grain: int) -> Awaitable[object]:
        return stub.Query(
            QueryRequest(
                query=Query(
                    measures=main,
                    dimensions=dimension,  # type: ignore[arg-type]  # enum values are ints at run time
                    period=_period(chance, days),
                    grain=grain,  # type: ignore[arg-type]  # as above
                    compare_previous=days < _DAYS,
                )
            )
        )

    return {
        "overview": lambda: stub.GetOverview(GetOverviewRequest(period=_period(chance, 30))),
        "year": lambda: stub.GetOverview(GetOverviewRequest(period=_period(chance, _DAYS))),
        "of_market": lambda: stub.GetOverview(
            GetOverviewRequest(period=_period(chance, 30), filters=market())
        ),
        "campaign": lambda: stub.GetCampaignReport(
            GetCampaignReportRequest(campaign_id=campaign())
        ),
        "funnel": lambda: stub.GetFunnel(
            GetFunnelRequest(filters=mine(), period=_period(chance, _DAYS))
        ),
        "hours": lambda: stub.GetHeatMap(GetHeatMapRequest(period=_period(chance, 90))),
        "market_hours": lambda: stub.GetHeatMap(
            GetHeatMapRequest(period=_period(chance, 90), filters=market())
        ),
        "segments": lambda: query(90, [Dimension.DIMENSION_SEGMENT], Grain.GRAIN_UNSPECIFIED),
        "costs": lambda: stub.GetCostReport(GetCostReportRequest(period=_period(chance, 90))),
        "days": lambda: query(30, [], Grain.GRAIN_DAY),
        "months": lambda: query(_DAYS, [Dimension.DIMENSION_MARKET], Grain.GRAIN_MONTH),
        "templates": lambda: query(30, [Dimension.DIMENSION_TEMPLATE], Grain.GRAIN_UNSPECIFIED),
        "codes": lambda: query(30, [Dimension.DIMENSION_ERROR_CODE], Grain.GRAIN_UNSPECIFIED),
    }


async def _asked(stub: ReportServiceStub, campaigns: int) -> dict[str, list[float]]:
    chance = random.Random(11)
    seconds: dict[str, list[float]] = {}
    for name, ask in _questions(stub, campaigns, chance).items():
        await ask()  # what is read once, for all, is not the answer's time
        for _ in range(_EACH):
            started = time.perf_counter()
            await ask()
            seconds.setdefault(name, []).append(time.perf_counter() - started)
        note(f"  {name}: median {percentile(seconds[name], 0.5) * 1000:.0f} ms")
    return seconds


async def _counted(database: "asyncpg.Connection[asyncpg.Record]") -> float:
    """The baseline: days of a month counted over the facts themselves, in seconds."""
    started = time.perf_counter()
    await database.fetch(
        "SELECT date_trunc('day', counted_time), count(*), count(*) FILTER (WHERE progress & 4 > 0)"
        " FROM message_facts WHERE counted_time >= $1 AND counted_time < $2 GROUP BY 1",
        _START + timedelta(days=100),
        _START + timedelta(days=130),
        timeout=600,
    )
    return time.perf_counter() - started


def _events(numbers: range, now_ms: int) -> Iterator[Record]:
    """What becomes of messages, as the sender tells it: planned, sent, delivered, mostly read."""
    kinds = ("message_planned", "message_sent", "message_delivered", "message_read")
    waiting: list[tuple[int, int, str]] = []
    for number in numbers:
        for place, kind in enumerate(kinds[: 4 if number % 5 < 3 else 3]):
            waiting.append((number + place * 2_000, number, kind))
    waiting.sort()
    for at, number, kind in waiting:
        ref = MessageRef(
            message_id=f"bench/{number}",
            campaign_id=f"bench{number // _PER_CAMPAIGN}",
            template_name="template",
            language="tr",
            variant="ab"[number % 2],
            category="marketing",
            market=_MARKETS[number % 3],
            phone_number_id="1",
            propensity=0.5,
        )
        event = Event(event_id=f"bench/{number}/{kind}", contact_id=f"bench/{number % 100_000}")
        event.event_time.FromMilliseconds(now_ms + at)
        event.received_time.FromMilliseconds(now_ms)
        getattr(event, kind).message.CopyFrom(ref)
        yield Record("message", event.contact_id, event.SerializeToString())


async def _folded(log: EventLog, batch: list[Record]) -> float:
    started = time.perf_counter()
    for first in range(0, len(batch), 2_000):
        await log.append(batch[first : first + 2_000])
    await caught_up(log, "reports", "message")
    return time.perf_counter() - started


async def _fresh(
    log: EventLog, database: "asyncpg.Connection[asyncpg.Record]", rate: int, seconds: float
) -> list[float]:
    """How long from the log until the sums count a message, while `rate` events come a second."""
    batch = list(_events(range(5_000_000, 5_000_000 + int(rate * seconds / 3)), 0))
    late: list[float] = []
    watched: asyncio.Queue[tuple[str, float]] = asyncio.Queue()

    async def watch() -> None:
        while True:
            message, since = await watched.get()
            while not await database.fetchval(
                "SELECT EXISTS (SELECT FROM message_facts WHERE message_id = $1)", message
            ):
                await asyncio.sleep(0.005)
            late.append(time.perf_counter() - since)

    watching = asyncio.create_task(watch())
    begun = time.perf_counter()
    for n, first in enumerate(range(0, min(len(batch), int(rate * seconds)), rate // 20)):
        await asyncio.sleep(max(0.0, begun + n / 20 - time.perf_counter()))
        marker = next(_events(range(6_000_000 + n, 6_000_001 + n), 0))
        await log.append([*batch[first : first + rate // 20], marker])
        watched.put_nowait((f"bench/{6_000_000 + n}", time.perf_counter()))
    while not watched.empty():
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    watching.cancel()
    return late


@asynccontextmanager
async def _lively(log: EventLog) -> AsyncIterator[None]:
    """Events come all the while, as they do where somebody looks: some 200 a second."""

    async def write() -> None:
        for first in count(20_000_000, 50):
            await log.append(list(_events(range(first, first + 50), int(time.time() * 1000))))
            await asyncio.sleep(0.9)

    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing


async def main(facts: int, events: int) -> None:
    """Measure everything and tell it."""
    async with AsyncExitStack() as exits:
        running = await exits.enter_async_context(suite(("reports",)))
        addresses = running.addresses()
        log = await exits.enter_async_context(event_log(log_of(addresses.redis_url)))
        opened = await exits.enter_async_context(addresses.channel("reports", purpose="benchmark"))
        database = await asyncpg.connect(
            addresses.database_url,
            server_settings={"search_path": "reports"},
            statement_cache_size=0,
        )
        exits.push_async_callback(database.close)
        now_ms = int(time.time() * 1000)
        note("events")
        await _folded(log, list(_events(range(9_000_000, 9_005_000), now_ms)))
        batch = list(_events(range(events // 3), now_ms))
        cost = Cost(running, "reports")
        folded = await _folded(log, batch)
        own, postgres = (spent / len(batch) * 1e6 for spent in cost.spent())
        note("freshness")
        late = await _fresh(log, database, 1_000, 15)
        note(f"{facts:,} facts")
        year = Year(database, facts)
        await year.make()
        async with _lively(log):
            seconds = await _asked(ReportServiceStub(opened), year.campaigns)
        together = [one for many in seconds.values() for one in many]
        counted = await _counted(database)
        tell(
            "reports",
            [
                Figure("events_per_s", len(batch) / folded, "1/s"),
                Figure("reports_us_per_event", own, "us"),
                Figure("postgres_us_per_event", postgres, "us"),
                Figure("freshness_p99_ms", percentile(late, 0.99) * 1000, "ms"),
                Figure("query_p50_ms", percentile(together, 0.5) * 1000, "ms"),
                Figure("query_p95_ms", percentile(together, 0.95) * 1000, "ms", counted * 1000),
                *(
                    Figure(f"{name}_p95_ms", percentile(many, 0.95) * 1000, "ms")
                    for name, many in seconds.items()
                ),
            ],
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=10_000_000)
    parser.add_argument("--events", type=int, default=200_000)
    arguments = parser.parse_args()
    uvloop.run(main(arguments.facts, arguments.events))
