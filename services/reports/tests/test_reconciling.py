"""Our figures beside Meta's, as a simulated Meta tells them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta

import grpc
import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from chassis.clock import SystemClock
from chassis.ids import fresh_id
from chassis.rpc import channel, server
from merhaba.reports.v1 import (
    Dimension,
    Grain,
    Measure,
    ReconcileWithMetaRequest,
)
from merhaba.sender.v1 import (
    BusinessNumber,
    ListNumbersResponse,
    NumberServiceServicer,
    add_NumberServiceServicer_to_server,
)
from services.reports.failures import PlatformUnavailable
from services.reports.reconciling.asking import Asking
from services.reports.reconciling.figures import Beside, Figure, sources, summed
from services.reports.reconciling.graph import Analytics, analytics
from services.reports.reconciling.snapshots import Snapshots
from services.reports.tests.events import outcome, ref
from services.reports.tests.test_api import TOKEN, reason, stub, stub_port
from simulator.tests.conftest import ACCESS, WABA, simulated

__all__ = ["simulated", "stub", "stub_port"]


class Numbers(NumberServiceServicer):
    """The sender's numbers."""

    def __init__(self) -> None:
        self.phone_number_id = fresh_id("number")

    async def ListNumbers(self, request, _context) -> ListNumbersResponse:  # noqa: N802 - gRPC's name
        if request.waba_id not in ("", WABA):
            return ListNumbersResponse()
        own = BusinessNumber(
            phone_number_id=self.phone_number_id,
            waba_id=WABA,
            display_phone_number="+90 212 111 22 33",
        )
        return ListNumbersResponse(numbers=[own])


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture
async def meta(simulated, pool) -> AsyncIterator:
    await pool.execute("DELETE FROM meta_figures")  # of other worlds with the same account
    async with simulated() as caller:
        yield caller


@pytest.fixture
async def asking(pool, meta, numbers) -> AsyncIterator[Asking]:
    own = server("sender", TOKEN)
    add_NumberServiceServicer_to_server(numbers, own)
    port = own.add_insecure_port("127.0.0.1:0")
    await own.start()
    async with (
        channel(f"127.0.0.1:{port}", TOKEN) as sender,
        analytics(meta.url, "v26.0", ACCESS) as graph,
    ):
        yield Asking(graph, Snapshots(pool), sender, SystemClock())
    await own.stop(None)


def today() -> ReconcileWithMetaRequest:
    now = datetime.now(UTC)
    asked = ReconcileWithMetaRequest(waba_id=WABA)
    asked.period.start_time.FromDatetime(now.replace(hour=0, minute=0, second=0, microsecond=0))
    asked.period.end_time.FromDatetime(now + timedelta(minutes=1))
    asked.period.zone = "UTC"
    return asked


async def sent(meta, feed, numbers, many: int, known: int) -> None:
    """Messages that Meta accepted, of which we know some."""
    for n in range(many):
        await meta.send(to=f"9053211122{n:02}")
    await meta.drained()
    now = int(datetime.now(UTC).timestamp() * 1000)
    own = fresh_id("c")
    events = []
    for n in range(known):
        about = ref(f"{own}/{n}", own, template="offer")
        about.phone_number_id = numbers.phone_number_id
        about.market = "TR"
        told = {"cost": 10_900, "currency": "USD", "priced": True}
        events.append(outcome("sent", now, f"{own}{n}", about, **told))
    await feed("message", events)


async def lines(stub, asked, **more) -> list:
    asked.MergeFrom(ReconcileWithMetaRequest(**more))
    found = []
    while True:
        page = await stub.ReconcileWithMeta(asked)
        found += page.lines
        asked.page_token = page.next_page_token
        if not asked.page_token:
            return found


async def test_what_we_sent_stands_beside_what_meta_says(stub, meta, feed, numbers) -> None:
    await sent(meta, feed, numbers, many=4, known=4)
    for dimensions, values in (
        ([], []),
        ([Dimension.DIMENSION_NUMBER], [numbers.phone_number_id]),
        ([Dimension.DIMENSION_TEMPLATE], ["offer"]),
    ):
        found = await lines(stub, today(), dimensions=dimensions)
        (line,) = [one for one in found if one.measure == Measure.MEASURE_SENT]
        assert (line.our_value, line.meta_value, line.difference) == (4, 4, 0)
        assert [one.value for one in line.dimensions] == values
        assert not line.reason


async def test_what_others_sent_on_the_number_is_told(stub, meta, feed, numbers) -> None:
    await sent(meta, feed, numbers, many=5, known=2)
    (line,) = [one for one in await lines(stub, today()) if one.measure == Measure.MEASURE_SENT]
    assert (line.our_value, line.meta_value, line.difference) == (2, 5, -3)
    assert line.reason == "other_sender"


async def test_cost_stands_in_the_accounts_currency(stub, meta, feed, numbers) -> None:
    await sent(meta, feed, numbers, many=2, known=2)
    found = await lines(stub, today(), dimensions=[Dimension.DIMENSION_MARKET], page_size=1)
    by_measure = {Measure.Name(line.measure): line for line in found}
    cost = by_measure["MEASURE_COST"]
    assert (cost.currency_code, cost.dimensions[0].value) == ("USD", "TR")
    assert cost.our_value == pytest.approx(2 * 0.0109)
    assert by_measure["MEASURE_BILLABLE"].our_value == 2


async def test_meta_is_asked_once_for_all_pages(stub, meta, feed, numbers) -> None:
    await sent(meta, feed, numbers, many=2, known=2)
    asked = today()
    asked.page_size = 1
    first = await stub.ReconcileWithMeta(asked)
    await meta.control("POST", "faults", json={"expired_token": True})
    asked.page_token = first.next_page_token
    second = await stub.ReconcileWithMeta(asked)
    assert second.lines[0].measure != first.lines[0].measure


async def test_what_meta_told_is_kept(asking, meta, pool) -> None:
    await meta.send()
    await meta.drained()
    day = datetime.now(UTC).date()
    found = await asking.figures(WABA, "template", day, day + timedelta(days=1))
    assert Figure(day, "template", ("offer",), "sent", 1) in found
    await Snapshots(pool).keep(
        WABA,
        [Figure(day, "template", ("offer",), name, 0) for name in ("read", "sent")]
        + [Figure(day, "template", ("kept",), "read", 7)],
        datetime.now(UTC),
    )
    await Snapshots(pool).keep(
        WABA, [Figure(day, "template", ("kept",), "read", 0)], datetime.now(UTC)
    )
    known = {
        (one.subjects, one.measure): one.value
        for one in await Snapshots(pool).read(WABA, "template", day, day + timedelta(days=1))
    }
    assert known[("kept",), "read"] == 7
    assert known[("offer",), "sent"] == 0


async def test_metas_refusal_is_told(stub, pool, numbers, meta) -> None:
    await meta.control("POST", "faults", json={"expired_token": True})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ReconcileWithMeta(today())
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert reason(caught.value)[0] == "PLATFORM_REFUSED"


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (ReconcileWithMetaRequest(), "FIELD_INVALID"),
        (ReconcileWithMetaRequest(waba_id="1", grain=Grain.GRAIN_HOUR), "FIELD_INVALID"),
        (ReconcileWithMetaRequest(waba_id="no number of ours"), "FIELD_INVALID"),
        (
            ReconcileWithMetaRequest(
                waba_id="1", dimensions=[Dimension.DIMENSION_TEMPLATE, Dimension.DIMENSION_MARKET]
            ),
            "QUERY_UNSUPPORTED",
        ),
    ],
)
async def test_what_cannot_be_compared_is_refused(stub, request_, why) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ReconcileWithMeta(request_)
    assert reason(caught.value)[0] == why


@given(
    st.lists(
        st.tuples(
            st.integers(1, 28), st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 9)
        )
    )
)
def test_sums_lose_and_add_nothing(points) -> None:
    figures = [
        Figure(date(2026, 11, day), "pricing", (market, "n", category, "regular"), "cost", value)
        for day, market, category, value in points
    ]
    total = sum(value for *_, value in points)
    for dimensions in ([], ["market"], ["category", "market"]):
        for grain in ("day", "month"):
            assert sum(summed(figures, dimensions, ["cost"], grain).values()) == total


def test_each_measure_is_asked_of_one_source() -> None:
    for dimensions in ([], ["template"], ["market"], ["phone_number_id"], ["category", "market"]):
        named = [name for many in sources(dimensions).values() for name in many]
        assert len(named) == len(set(named)) > 0
    assert sources(["template", "market"]) == {}


def test_a_difference_has_its_reason() -> None:
    def why(measure: str, ours: float, metas: float | None) -> str:
        return Beside(datetime.now(UTC), (), measure, ours, metas, "").reason

    assert why("sent", 5, 5) == ""
    assert why("sent", 5, None) == "not_told"
    assert why("sent", 1, 5) == "other_sender"
    assert why("sent", 999, 1000) == "approximate"
    assert why("read", 9, 3) == "read_window"
    assert why("cost", 9, 3) == "rate_card"


# --- what Meta answers ------------------------------------------------------------------------


@asynccontextmanager
async def answering(data: list) -> AsyncIterator[Analytics]:
    """Meta with one template, whose figures are these, sent in pieces."""

    async def names(_request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "1", "name": "offer"}]})

    async def figures(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        raw = orjson.dumps({"data": data})
        for at in range(0, len(raw), 50_000):
            await response.write(raw[at : at + 50_000])
            await asyncio.sleep(0)
        return response

    app = web.Application()
    app.router.add_get("/v26.0/w/message_templates", names)
    app.router.add_get("/v26.0/w/template_analytics", figures)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with analytics(f"http://127.0.0.1:{runner.addresses[0][1]}", "v26.0", "t") as graph:
            yield graph
    finally:
        await runner.cleanup()


async def test_a_long_answer_is_read_to_its_end() -> None:
    points = [{"template_id": "1", "start": n * 86_400, "sent": n} for n in range(20_000)]
    async with answering([{"data_points": points}]) as graph:
        assert await graph.templates("w", ["1"], 0, 1) == points


async def test_an_answer_of_another_shape_is_an_error_of_its_own(pool) -> None:
    async with (
        answering([{"data_points": [{"sent": 1}]}]) as graph,
        channel("127.0.0.1:1", TOKEN) as sender,
    ):
        asking = Asking(graph, Snapshots(pool), sender, SystemClock())
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        with pytest.raises(PlatformUnavailable):
            await asking.figures("w", "template", yesterday, yesterday + timedelta(days=1))
