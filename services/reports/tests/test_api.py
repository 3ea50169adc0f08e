"""The gRPC door, on a real server."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chassis.app import serving
from chassis.failures import FieldInvalid
from chassis.ids import fresh_id
from chassis.rpc import channel, server
from merhaba.reports.v1 import (
    Attribution,
    Dimension,
    ErrorReason,
    Filter,
    GetCampaignReportRequest,
    GetCohortsRequest,
    GetFunnelRequest,
    GetOverviewRequest,
    Measure,
    Period,
    ReportServiceStub,
    add_ReportServiceServicer_to_server,
)
from services.reports import model
from services.reports.api import ReportApi
from services.reports.config import ReportsSettings
from services.reports.tests.events import (
    DAY,
    HOUR,
    NOON,
    campaign,
    ordered,
    outcome,
    ref,
    withdrew,
)

TOKEN = "a token for tests"
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
async def stub(ledger) -> AsyncIterator[ReportServiceStub]:
    settings = ReportsSettings(
        redis_url="redis://unused",
        database_url="postgresql://unused",
        api_token=TOKEN,
        dashboard_token="a token of the dashboard",
        grpc_host="127.0.0.1",
        grpc_port=0,
    )
    own = server("reports", TOKEN)
    add_ReportServiceServicer_to_server(ReportApi(ledger), own)
    async with (
        serving(own, settings, ["merhaba.reports.v1.ReportService"]) as port,
        channel(f"127.0.0.1:{port}", TOKEN) as opened,
    ):
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


async def test_what_does_not_exist_yet_says_so(stub) -> None:
    incremental = Attribution.ATTRIBUTION_INCREMENTAL
    for call in (
        stub.GetCohorts(GetCohortsRequest()),
        stub.GetCampaignReport(GetCampaignReportRequest(attribution=incremental)),
        stub.GetFunnel(GetFunnelRequest(steps=[Measure.MEASURE_OPTED_OUT])),
        stub.GetFunnel(GetFunnelRequest(filters=[Filter(dimension=Dimension.DIMENSION_STAGE)])),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_every_failure_is_a_reason_of_the_contract() -> None:
    failures = FieldInvalid("", ""), model.QueryTooLarge(""), model.CampaignNotFound("")
    for failure in failures:
        assert f"ERROR_REASON_{failure.reason}" in ErrorReason.keys()  # noqa: SIM118 - an enum wrapper
