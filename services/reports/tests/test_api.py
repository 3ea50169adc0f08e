"""The gRPC door, on a real server."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chassis.answers import Answers as Firsts
from chassis.app import serving
from chassis.callers import Caller, Callers
from chassis.failures import FieldInvalid
from chassis.ids import fresh_id
from chassis.policy import read_policy
from chassis.rpc import channel, server
from chassis.testing import KnownKeys
from merhaba.reports.v1 import (
    Attribution,
    Dimension,
    ErrorReason,
    Filter,
    GetCampaignReportRequest,
    GetContactTimelineRequest,
    GetFunnelRequest,
    GetOverviewRequest,
    Insight,
    Measure,
    Period,
    ReportServiceStub,
    add_ConversionServiceServicer_to_server,
    add_ReportServiceServicer_to_server,
)
from services import POLICY
from services.reports import model
from services.reports.answers.lift import lifts
from services.reports.api import ReportApi
from services.reports.chronicle.api import timeline_reads
from services.reports.config import ReportsSettings
from services.reports.conversions.api import ConversionApi
from services.reports.conversions.definitions import Definitions
from services.reports.conversions.store import ConversionStore
from services.reports.experiments.recipients import Recipients
from services.reports.reconciling.asking import Asking
from services.reports.reconciling.graph import analytics
from services.reports.reconciling.snapshots import Snapshots
from services.reports.tests.events import (
    DAY,
    HOUR,
    NOON,
    campaign,
    created,
    granted,
    ordered,
    outcome,
    received,
    ref,
    withdrew,
)

TOKEN = "a token for tests"
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
async def asking(pool, manual_clock) -> AsyncIterator[Asking]:
    """Asks nobody: neither Meta nor the sender is there."""
    async with (
        analytics("http://127.0.0.1:1", "v26.0", "token") as graph,
        channel("127.0.0.1:1", TOKEN) as sender,
    ):
        yield Asking(graph, Snapshots(pool), sender, manual_clock)


@pytest.fixture
async def stub_port(ledger, answers, kept, pool, manual_clock, asking) -> AsyncIterator[int]:
    settings = ReportsSettings(
        redis_url="redis://unused",
        database_url="postgresql://unused",
        api_token=TOKEN,
        dashboard_token="a token of the dashboard",
        sender_target="unused",
        profile_target="unused",
        grpc_host="127.0.0.1",
        grpc_port=0,
    )
    own = server("reports", TOKEN)
    definitions = Definitions(ConversionStore(pool), manual_clock, timedelta(days=7))
    brought = partial(lifts, Recipients(pool, ledger.fold_time, definitions.window))
    add_ConversionServiceServicer_to_server(
        ConversionApi(definitions, Firsts(pool, manual_clock)), own
    )
    add_ReportServiceServicer_to_server(
        ReportApi(
            *(ledger, answers, kept, pool, manual_clock, asking, brought),
            timeline_reads(pool, manual_clock, timedelta(days=1)),
        ),
        own,
    )
    async with serving(own, settings, ["merhaba.reports.v1.ReportService"]) as port:
        yield port


@pytest.fixture
async def stub(stub_port) -> AsyncIterator[ReportServiceStub]:
    async with channel(f"127.0.0.1:{stub_port}", TOKEN, purpose="tests") as opened:
        yield ReportServiceStub(opened)


def reason(error: grpc.aio.AioRpcError) -> tuple[str, dict[str, str]]:
    info = error_details_pb2.ErrorInfo()
    rpc_status.from_call(error).details[0].Unpack(info)
    return info.reason, dict(info.metadata)


async def played(feed, own: str) -> None:
    """Ten recipients: six of variant a, four of b; nine outcomes."""
    histories = {
        0: ("a", ["planned", "sent", "delivered", "read", "clicked", "replied"]),
        1: ("a", ["planned", "sent", "read"]),
        2: ("a", ["planned", "sent", "delivered", "clicked"]),
        3: ("a", ["planned", "sent", "failed"]),
        4: ("a", ["planned", "suppressed"]),
        5: ("a", ["planned"]),
        6: ("b", ["planned", "sent", "delivered"]),
        7: ("b", ["planned", "unknown"]),
        8: ("b", ["planned", "held_out"]),
        9: ("b", ["planned", "sent"]),
    }
    events = [
        outcome(
            *(kind, NOON - HOUR + step, f"{own}/{n}", ref(f"{own}/{n}", own, variant)),
            **({"cost": 10_000, "priced": True} if kind == "sent" else {}),
        )
        for n, (variant, kinds) in histories.items()
        for step, kind in enumerate(kinds)
    ]
    await feed("message", [campaign(NOON - DAY, own, "running", "Summer", 10), *events[::-1]])
    await feed(
        "contact",
        [ordered(NOON, f"{own}/0", "o1", 250.5), withdrew(NOON - HOUR // 2, f"{own}/6")],
    )


async def test_a_campaign_report_counts_every_recipient_once(stub, feed) -> None:
    own = fresh_id("c")
    await played(feed, own)
    answer = await stub.GetCampaignReport(GetCampaignReportRequest(campaign_id=own))
    report = answer.report
    o, f = report.outcome, report.funnel
    assert (report.name, report.state, report.recipients) == ("Summer", "running", 10)
    assert report.launch_time.ToMilliseconds() == NOON - DAY
    assert not report.HasField("end_time")
    assert dict(o.suppressed_gates) == {"consent": 1}
    assert dict(o.failed_codes) == {131049: 1}
    assert (o.read, o.delivered, o.sent, o.pending, o.unknown, o.held_out) == (2, 2, 1, 1, 1, 1)
    assert (f.planned, f.sent, f.delivered, f.read, f.clicked, f.replied) == (10, 6, 4, 2, 2, 1)
    assert (f.converted, f.opted_out) == (1, 1)
    assert [(m.amount_micros, m.currency_code) for m in report.costs] == [(50_000, "USD")]
    assert [(m.amount_micros, m.currency_code) for m in report.revenues] == [(250_500_000, "TRY")]
    assert [(v.variant, v.recipients) for v in report.variants] == [("a", 6), ("b", 4)]
    read_rate = next(r for r in report.variants[0].rates if r.measure == Measure.MEASURE_READ_RATE)
    assert read_rate.value == pytest.approx(2 / 3)
    assert read_rate.lower < read_rate.value < read_rate.upper
    assert read_rate.sample_size == 3
    assert report.freshness.HasField("fold_time")
    assert report.freshness.cost_final


async def test_a_campaign_nobody_heard_of_is_not_found(stub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetCampaignReport(GetCampaignReportRequest(campaign_id="nowhere"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert reason(caught.value) == ("CAMPAIGN_NOT_FOUND", {"campaign_id": "nowhere"})


async def test_an_overview_compares_with_the_period_before(stub, feed) -> None:
    own = fresh_id("c")
    await played(feed, own)
    earlier = [outcome("sent", NOON - 3 * DAY, "c", ref(f"{own}/{n}", own)) for n in "xyz"]
    await feed("message", earlier)
    period = Period()
    period.start_time.FromDatetime(NOW - timedelta(days=2))
    answer = await stub.GetOverview(
        GetOverviewRequest(
            period=period,
            filters=[Filter(dimension=Dimension.DIMENSION_CAMPAIGN, values=[own])],
        )
    )
    totals = {v.measure: v for v in answer.totals}
    sent = totals[Measure.MEASURE_SENT]
    assert (sent.value, sent.previous_value) == (6, 3)
    assert totals[Measure.MEASURE_RECIPIENTS].value == 10
    assert totals[Measure.MEASURE_DELIVERY_RATE].value == pytest.approx(4 / 6)
    assert totals[Measure.MEASURE_DELIVERY_RATE].previous_value == 0
    assert [d.bucket_time.ToDatetime(UTC) for d in answer.days] == [
        datetime(2026, 11, 21, 21, tzinfo=UTC)  # midnight in Istanbul
    ]
    (row,) = answer.campaigns
    assert (row.dimensions[0].value, row.dimensions[0].label) == (own, "Summer")
    assert answer.freshness.HasField("lag_duration")


async def test_a_funnel_counts_people_who_came_through_every_step(stub, feed) -> None:
    own = fresh_id("c")
    await played(feed, own)
    only = [Filter(dimension=Dimension.DIMENSION_CAMPAIGN, values=[own])]
    answer = await stub.GetFunnel(GetFunnelRequest(filters=only))
    assert [s.contacts for s in answer.steps] == [10, 6, 4, 2, 1, 1, 1]
    assert answer.steps[1].step_rate.value == pytest.approx(0.6)
    assert answer.steps[3].overall_rate.value == pytest.approx(0.2)
    steps = [Measure.MEASURE_DELIVERED, Measure.MEASURE_CLICKED]
    chosen = await stub.GetFunnel(GetFunnelRequest(filters=only, steps=steps))
    assert [s.contacts for s in chosen.steps] == [4, 2]


@pytest.mark.parametrize(
    ("request_of", "field"),
    [
        (lambda: GetOverviewRequest(period=Period(zone="Mars/Base")), "period.zone"),
        (lambda: GetOverviewRequest(filters=[Filter(values=["x"])]), "filters[0].dimension"),
        (lambda: GetOverviewRequest(period=backwards()), "period.start_time"),
        (lambda: GetOverviewRequest(period=beyond_time()), "period.end_time"),
    ],
)
async def test_a_wrong_field_is_named(stub, request_of, field) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetOverview(request_of())
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(caught.value)[0] == "FIELD_INVALID"
    assert reason(caught.value)[1]["field"] == field


def backwards() -> Period:
    period = Period()
    period.start_time.FromDatetime(NOW)
    period.end_time.FromDatetime(NOW)
    return period


def beyond_time() -> Period:
    period = Period()
    period.end_time.seconds = 10**15
    return period


async def test_too_long_a_period_says_how_long_it_may_be(stub) -> None:
    period = Period()
    period.start_time.FromDatetime(NOW - timedelta(days=3000))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetOverview(GetOverviewRequest(period=period))
    expected = ("QUERY_TOO_LARGE", {"limit": "800 days", "estimate": "3000 days"})
    assert reason(caught.value) == expected


async def test_an_overview_tells_the_base_money_and_open_alerts(stub, feed, pool) -> None:
    own = fresh_id("c")

    async def looked() -> tuple[dict[int, float], int]:
        answer = await stub.GetOverview(GetOverviewRequest(period=period))
        return {one.measure: one.value for one in answer.totals}, answer.open_alerts

    period = Period()
    period.start_time.FromMilliseconds(NOON - HOUR)
    period.end_time.FromMilliseconds(NOON + HOUR)
    before, alerts = await looked()
    await feed("contact", [created(NOON, own), granted(NOON, own), received(NOON, own)])
    await pool.execute(
        "INSERT INTO alerts (alert_id, alert_rule_id, subjects, state, open_time, alert)"
        " VALUES ($1, $1, '{}', 'open', now(), '')",
        own,
    )
    after, more = await looked()
    for name in ("CONTACTS", "CONTACT_GROWTH", "CONSENTED", "CONSENT_GROWTH", "RECEIVED"):
        measure = Measure.Value(f"MEASURE_{name}")
        assert after[measure] - before[measure] == 1, name
    assert more - alerts == 1
    await pool.execute("DELETE FROM alerts WHERE alert_id = $1", own)

    await feed("message", [outcome("sent", NOON, own, ref(f"{own}/m", own), cost=1_500_000)])
    mine = Filter(dimension=Dimension.DIMENSION_CAMPAIGN, values=[own])
    answer = await stub.GetOverview(GetOverviewRequest(period=period, filters=[mine]))
    (money,) = answer.amounts
    assert (money.currency_code, money.values[0].value) == ("USD", 1.5)
    assert Measure.MEASURE_CONTACTS not in {one.measure for one in answer.totals}


async def test_an_overview_tells_from_which_message_in_a_week_on_people_tire(stub, feed) -> None:
    own, monday = fresh_id("c"), NOON + 400 * 7 * DAY + DAY  # when nothing else happens
    events = []
    for n in range(200):
        for place, reads in enumerate((8, 8, 1)):
            about = ref(f"{own}/{n}/{place}", own)
            events.append(outcome("delivered", monday + place * DAY, f"{own}{n}", about))
            if n % 10 < reads:
                events.append(outcome("read", monday + place * DAY + 1, f"{own}{n}", about))
    await feed("message", events)
    asked = GetOverviewRequest()
    asked.period.start_time.FromMilliseconds(monday - DAY)
    asked.period.end_time.FromMilliseconds(monday + 5 * DAY)
    insights = (await stub.GetOverview(asked)).insights
    (tired,) = [one for one in insights if one.kind == Insight.KIND_FATIGUED_CONTACTS]
    assert tired.subject == "3"
    assert (tired.value.value, tired.baseline.value) == (0.1, 0.8)


async def test_a_role_calls_what_is_its_own(
    ledger, answers, kept, pool, manual_clock, asking
) -> None:
    """Marketing sees figures and nobody's life."""
    token = "of marketing"
    keys = KnownKeys({token: Caller("desk", "marketing")})
    own = server("reports", Callers(TOKEN, keys, read_policy(POLICY)))
    brought = partial(lifts, None)
    reporting = ReportApi(
        *(ledger, answers, kept, pool, manual_clock, asking, brought),
        timeline_reads(pool, manual_clock, timedelta(days=1)),
    )
    add_ReportServiceServicer_to_server(reporting, own)
    port = own.add_insecure_port("127.0.0.1:0")
    await own.start()
    async with channel(f"127.0.0.1:{port}", token, purpose="curiosity") as opened:
        role = ReportServiceStub(opened)
        await role.GetOverview(GetOverviewRequest())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await role.GetContactTimeline(GetContactTimelineRequest(contact_id="p"))
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    await own.stop(None)


async def test_a_lift_needs_somebody_held_out(stub, feed) -> None:
    own = fresh_id("c")
    await feed("message", [outcome("sent", NOON, "p", ref(f"{own}/m", own))])
    asked = GetCampaignReportRequest(
        campaign_id=own, attribution=Attribution.ATTRIBUTION_INCREMENTAL
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetCampaignReport(asked)
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert reason(caught.value)[0] == "DATA_INSUFFICIENT"


async def test_a_lift_is_what_recipients_bought_more_than_those_held_out(stub, feed) -> None:
    own = fresh_id("c")
    sends, orders = [], []
    for n in range(400):
        held, who = n % 4 == 0, f"{own}/{n}"
        kind, at = ("held_out" if held else "sent"), NOON - 8 * DAY
        sends.append(outcome(kind, at, who, ref(f"{own}/m/{n}", own, "a")))
        if n % 8 == 0 if held else n % 4 != 3:  # half of those held out, two thirds of the others
            orders.append(ordered(at + HOUR, who, f"o{n}", 10))
    await feed("message", sends)
    await feed("contact", orders)
    report = (await stub.GetCampaignReport(GetCampaignReportRequest(campaign_id=own))).report
    rate, *_ = report.lifts
    assert (rate.measure, rate.sample_size) == (Measure.MEASURE_CONVERSION_RATE, 100)
    assert rate.value == pytest.approx(1 / 3)
    assert rate.lower < 1 / 3 < rate.upper


async def test_a_campaign_tells_orders_by_any_touch_if_asked(stub, feed) -> None:
    own = fresh_id("c")
    await feed(
        "message",
        [
            outcome("delivered", NOON + n * HOUR, own, ref(f"{own}{n}/m", f"{own}{n}"))
            for n in (0, 1)
        ],
    )
    await feed("contact", [ordered(NOON + 2 * HOUR, own, "o", 50)])
    for attribution, count, money in (
        (Attribution.ATTRIBUTION_LAST_TOUCH, 0, []),
        (Attribution.ATTRIBUTION_ANY_TOUCH, 1, [50_000_000]),
    ):
        asked = GetCampaignReportRequest(campaign_id=f"{own}0", attribution=attribution)
        report = (await stub.GetCampaignReport(asked)).report
        assert report.funnel.converted == count
        assert [one.amount_micros for one in report.revenues] == money


async def test_a_campaign_tells_the_variant_and_hour_that_stand_out(stub, feed) -> None:
    own = fresh_id("c")
    events = [campaign(NOON - DAY, own, "running", "Summer")]
    for n in range(600):
        variant, hour = "ab"[n % 2], n % 4 // 2
        about = ref(f"{own}/{n}", own, variant)
        events.append(outcome("delivered", NOON + hour * HOUR, f"{own}{n}", about))
        if n % 20 < (14 if variant == "b" else 3):
            events.append(outcome("read", NOON + hour * HOUR + 1, f"{own}{n}", about))
    await feed("message", events)
    report = (await stub.GetCampaignReport(GetCampaignReportRequest(campaign_id=own))).report
    (best, *_) = report.insights
    assert (best.kind, best.subject) == (Insight.KIND_BEST_VARIANT, "b")
    assert best.value.value > best.baseline.value
    assert best.probability > 0.95


def test_every_failure_is_a_reason_of_the_contract() -> None:
    failures = FieldInvalid("", ""), model.QueryTooLarge(""), model.CampaignNotFound("")
    for failure in failures:
        assert f"ERROR_REASON_{failure.reason}" in ErrorReason.keys()  # noqa: SIM118 - an enum wrapper
