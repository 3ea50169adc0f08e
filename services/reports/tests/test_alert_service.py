"""Alerts over gRPC: rules, what they find in the facts, and who is told, by a real web server."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import grpc
import orjson
import pytest
from aiohttp import web
from google.protobuf.duration_pb2 import Duration

from chassis.answers import Answers
from chassis.app import serving
from chassis.ids import fresh_id
from chassis.outbound import outbound
from chassis.rpc import channel, server
from chassis.webhooks import SIGNATURE, signature
from merhaba.event.v1 import TemplateQualityChanged
from merhaba.reports.v1 import (
    AcknowledgeAlertRequest,
    Alert,
    AlertRoute,
    AlertRule,
    AlertServiceStub,
    CreateAlertRuleRequest,
    DeleteAlertRuleRequest,
    Dimension,
    Filter,
    GetAlertRuleRequest,
    ListAlertRulesRequest,
    ListAlertsRequest,
    Measure,
    UpdateAlertRuleRequest,
    add_AlertServiceServicer_to_server,
)
from services.reports.alerts.api import AlertApi
from services.reports.alerts.defaults import built_in
from services.reports.alerts.deliveries import CONNECTIONS, DELIVERY, TIMEOUT, Deliveries
from services.reports.alerts.looking import Looker, Spending
from services.reports.alerts.quality import Qualities
from services.reports.alerts.store import AlertStore
from services.reports.alerts.watcher import Watcher
from services.reports.answers.sums import rows
from services.reports.tests.events import DAY, HOUR, NOON, event, outcome, ref
from services.reports.tests.test_api import TOKEN, reason
from services.reports.tests.test_experiment_service import settings

SECRET = "a secret of the pager"


class Pager:
    """A web server that is told of alerts, and answers as it is set."""

    def __init__(self) -> None:
        self.status = 200
        self.calls: list[tuple[dict[str, str], bytes]] = []

    async def told(self, request: web.Request) -> web.Response:
        self.calls.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status)


class Budgets:
    """What campaigns spend."""

    def __init__(self) -> None:
        self.campaigns: list[Spending] = []

    async def spending(self) -> list[Spending]:
        return self.campaigns


@pytest.fixture
async def ready(pool, manual_clock) -> AsyncIterator[SimpleNamespace]:
    pager, budgets = Pager(), Budgets()
    app = web.Application()
    app.router.add_post("/told", pager.told)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/told"
    store, qualities = AlertStore(pool), Qualities(pool)
    fold = SimpleNamespace(time=manual_clock.now)

    def fold_time() -> datetime:
        return fold.time()

    looker = Looker(partial(rows, pool), qualities, budgets, fold_time, manual_clock)
    own = server("reports", TOKEN)
    async with outbound(TIMEOUT, CONNECTIONS, inside=True) as calls:
        api = AlertApi(
            store, calls.check, {"pager": SECRET}, Answers(pool, manual_clock), manual_clock
        )
        add_AlertServiceServicer_to_server(api, own)
        async with (
            serving(own, settings(), []) as port,
            channel(f"127.0.0.1:{port}", TOKEN) as opened,
        ):
            yield SimpleNamespace(
                stub=AlertServiceStub(opened),
                store=store,
                watcher=Watcher(store, looker, manual_clock),
                deliveries=Deliveries(pool, calls, {"pager": SECRET}, manual_clock),
                qualities=qualities,
                budgets=budgets,
                pager=pager,
                url=url,
                fold=fold,
                clock=manual_clock,
            )
    await runner.cleanup()


def span(milliseconds: int) -> Duration:
    found = Duration()
    found.FromMilliseconds(milliseconds)
    return found


def failures(ready, campaign: str, **more: Any) -> AlertRule:
    """Watches the failures of a campaign of its own."""
    return AlertRule(
        **{
            "name": fresh_id("rule"),
            "kind": AlertRule.KIND_THRESHOLD,
            "measure": Measure.MEASURE_FAILURE_RATE,
            "filters": [Filter(dimension=Dimension.DIMENSION_CAMPAIGN, values=[campaign])],
            "threshold": 0.2,
            "window_duration": span(HOUR),
            "minimum_sample_size": 10,
            "routes": [AlertRoute(url=ready.url, secret_name="pager")],
            **more,
        }
    )


async def made(ready, rule: AlertRule) -> AlertRule:
    request = CreateAlertRuleRequest(request_id=str(uuid4()), alert_rule=rule)
    return (await ready.stub.CreateAlertRule(request)).alert_rule


async def checked(ready, rule: AlertRule, times: int = 1) -> None:
    for _ in range(times):
        own = await ready.store.rule(rule.alert_rule_id)
        await ready.watcher.check(own)


async def found(ready, rule: AlertRule) -> list[Alert]:
    request = ListAlertsRequest(alert_rule_id=rule.alert_rule_id)
    return list((await ready.stub.ListAlerts(request)).alerts)


async def refusal(call) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason(caught.value)[0]


async def messages(feed, campaign: str, n: int, failed: int, at: int, code: int = 131026) -> None:
    events = []
    for number in range(n):
        about = ref(fresh_id("m"), campaign)
        kind = "failed" if number < failed else "delivered"
        events += [
            outcome("sent", at, fresh_id("p"), about),
            outcome(kind, at + 1, fresh_id("p"), about, code=code),
        ]
    await feed("message", events)


async def settled(ready) -> None:
    while await ready.deliveries.deliver():
        pass


# --- rules ------------------------------------------------------------------------------------


async def test_a_rule_is_kept_changed_and_deleted(ready) -> None:
    request = CreateAlertRuleRequest(request_id=str(uuid4()), alert_rule=failures(ready, "c"))
    one = (await ready.stub.CreateAlertRule(request)).alert_rule
    assert (await ready.stub.CreateAlertRule(request)).alert_rule == one
    wanted = AlertRule(alert_rule_id=one.alert_rule_id, etag=one.etag, threshold=0.5)
    changed = (
        await ready.stub.UpdateAlertRule(UpdateAlertRuleRequest(alert_rule=wanted))
    ).alert_rule
    assert (changed.threshold, changed.name, changed.etag) == (0.5, one.name, "2")
    stale = ready.stub.UpdateAlertRule(UpdateAlertRuleRequest(alert_rule=wanted))
    assert await refusal(stale) == "ETAG_MISMATCH"
    get = GetAlertRuleRequest(alert_rule_id=one.alert_rule_id)
    assert (await ready.stub.GetAlertRule(get)).alert_rule == changed
    await ready.stub.DeleteAlertRule(DeleteAlertRuleRequest(alert_rule_id=one.alert_rule_id))
    assert await refusal(ready.stub.GetAlertRule(get)) == "ALERT_RULE_NOT_FOUND"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"name": ""}, "FIELD_INVALID"),
        ({"kind": AlertRule.KIND_UNSPECIFIED}, "FIELD_INVALID"),
        ({"kind": AlertRule.KIND_LAG}, "FIELD_INVALID"),
        ({"measure": Measure.MEASURE_RECIPIENTS}, "QUERY_UNSUPPORTED"),
        ({"measure": 9_999}, "QUERY_UNSUPPORTED"),
        (
            {"measure": Measure.MEASURE_SENT, "kind": AlertRule.KIND_ANOMALY},
            "QUERY_UNSUPPORTED",
        ),
        ({"dimensions": [Dimension.DIMENSION_SEGMENT]}, "QUERY_UNSUPPORTED"),
        ({"threshold": float("nan")}, "FIELD_INVALID"),
        ({"window_duration": span(1_000)}, "FIELD_INVALID"),
        ({"routes": [AlertRoute(url="ftp://x", secret_name="pager")]}, "URL_REFUSED"),
        (
            {"routes": [AlertRoute(url="https://x.example", secret_name="z")]},
            "DESTINATION_UNUSABLE",
        ),
    ],
)
async def test_what_cannot_be_watched_is_refused(ready, more, expected) -> None:
    assert await refusal(made(ready, failures(ready, "c", **more))) == expected


async def test_built_in_rules_do_not_come_back_once_deleted(ready) -> None:
    await ready.store.add(built_in(), ready.clock.now())
    page = await ready.stub.ListAlertRules(ListAlertRulesRequest(page_size=1_000))
    assert {one.alert_rule_id for one in built_in()} <= {
        one.alert_rule_id for one in page.alert_rules if one.built_in
    }
    await ready.stub.DeleteAlertRule(DeleteAlertRuleRequest(alert_rule_id="opt_outs_rise"))
    await ready.store.add(built_in(), ready.clock.now())
    assert await ready.store.rule("opt_outs_rise") is None


# --- finding ----------------------------------------------------------------------------------


async def test_what_crosses_its_limit_twice_is_told_once_until_it_is_over(ready, feed) -> None:
    campaign = fresh_id("c")
    rule = await made(ready, failures(ready, campaign))
    await messages(feed, campaign, 20, 8, NOON - HOUR // 2)
    await checked(ready, rule)
    assert await found(ready, rule) == []
    await checked(ready, rule, 3)
    (alert,) = await found(ready, rule)
    assert alert.state == Alert.STATE_OPEN
    assert (alert.value.value, alert.value.sample_size, alert.threshold) == (0.4, 20, 0.2)
    assert alert.value.lower < 0.4 < alert.value.upper
    await settled(ready)
    ((headers, body),) = ready.pager.calls
    stamp = int(headers[SIGNATURE].split(",")[0].removeprefix("t="))
    assert headers[SIGNATURE] == signature(SECRET, stamp, body)
    assert orjson.loads(body)["alert_id"] == alert.alert_id
    await messages(feed, campaign, 80, 0, NOON - HOUR // 2)
    await checked(ready, rule, 3)
    (alert,) = await found(ready, rule)
    assert alert.state == Alert.STATE_RESOLVED
    await settled(ready)
    assert [orjson.loads(b)["state"] for _, b in ready.pager.calls] == ["open", "resolved"]


async def test_whoever_takes_care_is_named_and_doing_so_again_changes_nothing(ready, feed) -> None:
    campaign = fresh_id("c")
    rule = await made(ready, failures(ready, campaign))
    await messages(feed, campaign, 20, 8, NOON - HOUR // 2)
    await checked(ready, rule, 2)
    (alert,) = await found(ready, rule)
    ask = AcknowledgeAlertRequest(alert_id=alert.alert_id, note="on it")
    taken = (await ready.stub.AcknowledgeAlert(ask)).alert
    assert (taken.state, taken.acknowledger, taken.note) == (
        Alert.STATE_ACKNOWLEDGED,
        "internal",
        "on it",
    )
    ask.note = "again"
    assert (await ready.stub.AcknowledgeAlert(ask)).alert == taken
    await checked(ready, rule, 2)
    assert len(await found(ready, rule)) == 1
    ask.alert_id = "alert_x"
    assert await refusal(ready.stub.AcknowledgeAlert(ask)) == "ALERT_NOT_FOUND"
    await ready.stub.DeleteAlertRule(DeleteAlertRuleRequest(alert_rule_id=rule.alert_rule_id))
    (alert,) = await found(ready, rule)
    assert alert.state == Alert.STATE_RESOLVED


async def test_within_the_silence_an_alert_stands_and_nobody_is_told(ready, feed) -> None:
    campaign = fresh_id("c")
    rule = await made(ready, failures(ready, campaign, silence_duration=span(DAY)))
    await messages(feed, campaign, 20, 8, NOON - HOUR // 2)
    await checked(ready, rule, 2)
    own = await ready.store.rule(rule.alert_rule_id)
    await ready.clock.advance(timedelta(minutes=1))
    for _ in range(3):
        await ready.store.settle(own, [], ready.clock.now())
    await checked(ready, rule, 2)
    states = [alert.state for alert in await found(ready, rule)]
    assert states == [Alert.STATE_OPEN, Alert.STATE_RESOLVED]
    await settled(ready)
    assert [orjson.loads(b)["state"] for _, b in ready.pager.calls] == ["open", "resolved"]


async def test_failures_of_a_code_are_compared_with_the_weeks_before(ready, feed) -> None:
    campaign = fresh_id("c")
    for week in range(1, 5):
        await messages(feed, campaign, 100, 5, NOON - week * 7 * DAY - HOUR // 2, 131026)
    await messages(feed, campaign, 100, 5, NOON - HOUR // 2, 131026)
    await messages(feed, campaign, 100, 40, NOON - HOUR // 2, 131049)
    rule = await made(
        ready,
        failures(
            ready,
            campaign,
            kind=AlertRule.KIND_ANOMALY,
            direction=AlertRule.DIRECTION_ABOVE,
            dimensions=[Dimension.DIMENSION_ERROR_CODE],
            minimum_sample_size=50,
            threshold=0,
        ),
    )
    await checked(ready, rule, 2)
    (alert,) = await found(ready, rule)
    assert list(alert.subjects) == ["131049"]
    assert (alert.value.value, alert.value.sample_size) == (0.2, 200)
    assert alert.expected.value < alert.threshold < 0.2


async def test_a_fall_is_looked_for_when_nearly_all_has_come(ready, feed) -> None:
    campaign = fresh_id("c")

    async def reads(at: int, n: int, read: int) -> None:
        events = []
        for number in range(n):
            about = ref(fresh_id("m"), campaign, template=campaign)
            events.append(outcome("delivered", at, fresh_id("p"), about))
            if number < read:
                events.append(outcome("read", at, fresh_id("p"), about))
        await feed("message", events)

    for week in range(5):
        await reads(NOON - DAY - week * 7 * DAY - HOUR // 2, 100, 60)
    await reads(NOON - HOUR // 2, 100, 5)  # just sent: nobody had time
    rule = await made(
        ready,
        failures(
            ready,
            campaign,
            kind=AlertRule.KIND_ANOMALY,
            measure=Measure.MEASURE_READ_RATE,
            direction=AlertRule.DIRECTION_BELOW,
            threshold=0,
        ),
    )
    await checked(ready, rule, 2)
    assert await found(ready, rule) == []
    await ready.clock.advance(timedelta(days=1))
    rule_of_weekdays = await ready.store.rule(rule.alert_rule_id)
    for week in range(1, 5):
        await reads(NOON - week * 7 * DAY - HOUR // 2, 100, 60)
    for _ in range(2):
        await ready.watcher.check(rule_of_weekdays)
    (alert,) = await found(ready, rule)
    assert alert.value.value == 0.05


async def test_quality_is_what_meta_said_last_whatever_came_first(ready) -> None:
    name = fresh_id("t")

    def scored(at: int, score: str) -> bytes:
        body = TemplateQualityChanged(waba_id="w", name=name, language="tr", score=score)
        return event(at, "", template_quality_changed=body).SerializeToString()

    rule = await made(ready, AlertRule(name=fresh_id("r"), kind=AlertRule.KIND_QUALITY))
    await ready.qualities.handle([scored(NOON, "RED"), scored(NOON - HOUR, "GREEN")])
    await ready.qualities.handle([scored(NOON - 2 * HOUR, "GREEN")])
    await checked(ready, rule)
    mine = [a for a in await found(ready, rule) if name in a.subjects[0]]
    assert [a.state for a in mine] == [Alert.STATE_OPEN]
    assert f"{name} (tr)" in mine[0].explanation
    await ready.qualities.handle([scored(NOON + 1, "GREEN")])
    await checked(ready, rule)
    mine = [a for a in await found(ready, rule) if name in a.subjects[0]]
    assert [a.state for a in mine] == [Alert.STATE_RESOLVED]


async def test_a_budget_that_will_not_last_and_facts_that_are_old_are_told(ready) -> None:
    rule = await made(ready, AlertRule(name=fresh_id("r"), kind=AlertRule.KIND_BUDGET_BURN))
    money = 1_000_000
    ready.budgets.campaigns = [
        Spending("c1", "Summer", "USD", 10 * money, 5 * money, 100, 200),
        Spending("c2", "Winter", "USD", 20 * money, 5 * money, 100, 200),
        Spending("c3", "Spring", "USD", 20 * money, 0, 0, 200),
    ]
    await checked(ready, rule, 2)
    (alert,) = await found(ready, rule)
    assert (list(alert.subjects), alert.value.value, alert.threshold) == (["c1"], 15, 10)
    lag = await made(ready, AlertRule(name=fresh_id("r"), kind=AlertRule.KIND_LAG, threshold=120))
    await checked(ready, lag, 2)
    assert await found(ready, lag) == []
    now = ready.clock.now()
    ready.fold.time = lambda: now - timedelta(minutes=5)
    await checked(ready, lag, 2)
    (alert,) = await found(ready, lag)
    assert alert.value.value == 300


# --- telling ----------------------------------------------------------------------------------


async def test_whoever_does_not_answer_is_told_again_for_a_day(ready, feed) -> None:
    campaign = fresh_id("c")
    rule = await made(ready, failures(ready, campaign))
    await messages(feed, campaign, 20, 8, NOON - HOUR // 2)
    await checked(ready, rule, 2)
    ready.pager.status = 503
    await settled(ready)
    assert len(ready.pager.calls) == 1
    await settled(ready)
    assert len(ready.pager.calls) == 1
    await ready.clock.advance(timedelta(seconds=31))
    await settled(ready)
    (alert,) = await found(ready, rule)
    assert alert.failed_deliveries == len(ready.pager.calls) == 2
    ids = {headers[DELIVERY] for headers, _ in ready.pager.calls}
    assert len(ids) == 1
    for _ in range(30):
        await ready.clock.advance(timedelta(hours=1))
        await settled(ready)
    tried = len(ready.pager.calls)
    assert 20 < tried < 40
    await ready.clock.advance(timedelta(hours=5))
    await settled(ready)
    assert len(ready.pager.calls) == tried


async def test_every_rule_has_its_turn(ready) -> None:
    rule = await made(ready, AlertRule(name=fresh_id("r"), kind=AlertRule.KIND_LAG, threshold=120))
    now = ready.clock.now()
    ready.fold.time = lambda: now - timedelta(hours=1)
    for _ in range(2):
        while await ready.watcher.look():
            pass
        await ready.clock.advance(timedelta(seconds=61))
    assert len(await found(ready, rule)) == 1


async def test_nobody_inside_our_network_is_called(ready, feed, pool) -> None:
    campaign = fresh_id("c")
    rule = await made(ready, failures(ready, campaign))
    await messages(feed, campaign, 20, 8, NOON - HOUR // 2)
    await checked(ready, rule, 2)
    async with outbound(TIMEOUT, CONNECTIONS) as calls:
        deliveries = Deliveries(pool, calls, {"pager": SECRET}, ready.clock)
        while await deliveries.deliver():  # others may be due too
            pass
    (alert,) = await found(ready, rule)
    assert (alert.failed_deliveries, ready.pager.calls) == (1, [])
