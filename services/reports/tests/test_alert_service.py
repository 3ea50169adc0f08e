"""Alerts over gRPC: rules, what they find in the facts, and who is told, by a real web server."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import orjson
import pytest

from chassis.ids import fresh_id
from chassis.outbound import outbound
from chassis.testing import wait_until
from chassis.webhooks import SIGNATURE, signature
from merhaba.reports.v1 import (
    AcknowledgeAlertRequest,
    Alert,
    AlertRoute,
    AlertRule,
    CreateAlertRuleRequest,
    DeleteAlertRuleRequest,
    Dimension,
    GetAlertRuleRequest,
    ListAlertRulesRequest,
    ListAlertsRequest,
    Measure,
    UpdateAlertRuleRequest,
)
from services.reports.alerts.defaults import built_in
from services.reports.alerts.deliveries import CONNECTIONS, DELIVERY, TIMEOUT, Deliveries
from services.reports.alerts.model import Look
from services.reports.statistics import Interval
from services.reports.tests.alerting import (
    SECRET,
    alerting,
    checked,
    failures,
    found,
    made,
    messages,
    refusal,
    settled,
    span,
)
from services.reports.tests.events import DAY, HOUR, NOON


@pytest.fixture
async def ready(pool, manual_clock) -> AsyncIterator[SimpleNamespace]:
    async with alerting(pool, manual_clock) as made_ready:
        yield made_ready


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
        ({"measure": Measure.MEASURE_RECEIVED}, "QUERY_UNSUPPORTED"),
        (
            {
                "measure": Measure.MEASURE_CONTACTS,
                "filters": [],
                "dimensions": [Dimension.DIMENSION_TEMPLATE],
            },
            "QUERY_UNSUPPORTED",
        ),
        ({"dimensions": [Dimension.DIMENSION_MARKET] * 2}, "FIELD_INVALID"),
        ({"measure": Measure.MEASURE_COST, "minimum_sample_size": 10}, "FIELD_INVALID"),
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


async def test_there_is_an_end_to_how_many_rules_there_are(ready, monkeypatch) -> None:
    request = CreateAlertRuleRequest(request_id=str(uuid4()), alert_rule=failures(ready, "c"))
    await ready.stub.CreateAlertRule(request)
    monkeypatch.setattr("services.reports.alerts.api.MOST_RULES", 1)
    await ready.stub.CreateAlertRule(request)  # a repeat is no further one
    assert await refusal(made(ready, failures(ready, "c"))) == "FIELD_INVALID"


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


async def test_what_begins_and_ends_again_and_again_is_told_once_in_each_silence(
    ready, feed
) -> None:
    campaign = fresh_id("c")
    rule = await made(ready, failures(ready, campaign, silence_duration=span(DAY)))
    own = await ready.store.rule(rule.alert_rule_id)
    look = Look((), True, Interval(0.4, 0.3, 0.5), 20, None, 0.2, "too many")
    told = []
    for _ in range(6):  # every 20 hours
        for looks in ([look], [look], [], [], []):
            await ready.store.settle(own, looks, ready.clock.now())
            await ready.clock.advance(timedelta(minutes=1))
        await settled(ready)
        told.append(len(ready.pager.calls))
        await ready.clock.advance(timedelta(hours=20))
    # Begun and over: of the first, of none within a day of it, of the third, …
    assert told == [2, 2, 4, 4, 6, 6]


async def test_what_began_in_the_silence_and_still_stands_after_it_is_told(ready, feed) -> None:
    campaign = fresh_id("c")
    rule = await made(ready, failures(ready, campaign, silence_duration=span(DAY)))
    own = await ready.store.rule(rule.alert_rule_id)
    look = Look((), True, Interval(0.4, 0.3, 0.5), 20, None, 0.2, "too many")
    for looks in ([look], [look], [], [], [], [look], [look]):
        await ready.clock.advance(timedelta(minutes=1))
        await ready.store.settle(own, looks, ready.clock.now())
    await settled(ready)
    assert len(ready.pager.calls) == 2
    await ready.clock.advance(timedelta(days=1))
    for _ in range(3):
        await ready.store.settle(own, [look], ready.clock.now())
    await settled(ready)
    states = [orjson.loads(body)["state"] for _, body in ready.pager.calls]
    assert states == ["open", "resolved", "open"]


async def test_alerts_that_began_together_are_all_listed_page_by_page(ready) -> None:
    await ready.clock.advance(timedelta(microseconds=437))
    rule = await made(ready, failures(ready, fresh_id("c")))
    own = await ready.store.rule(rule.alert_rule_id)
    looks = [
        Look((str(n),), True, Interval(0.4, 0.3, 0.5), 20, None, 0.2, "too many") for n in range(5)
    ]
    for _ in range(2):
        await ready.store.settle(own, looks, ready.clock.now())
    request = ListAlertsRequest(alert_rule_id=rule.alert_rule_id, page_size=2)
    subjects: list[str] = []
    while page := await ready.stub.ListAlerts(request):
        subjects += [one.subjects[0] for one in page.alerts]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert sorted(subjects) == ["0", "1", "2", "3", "4"]


async def test_a_rule_with_very_many_subjects_floods_nobody(ready, monkeypatch) -> None:
    monkeypatch.setattr("services.reports.alerts.store.MOST_STANDING", 2)
    rule = await made(ready, failures(ready, fresh_id("c")))
    own = await ready.store.rule(rule.alert_rule_id)
    looks = [
        Look((str(n),), True, Interval(0.4, 0.3, 0.5), 20, None, 0.2, "too many") for n in range(5)
    ]
    for _ in range(3):
        await ready.store.settle(own, looks, ready.clock.now())
    assert {alert.subjects[0] for alert in await found(ready, rule)} == {"0", "1"}
    for _ in range(3):
        await ready.clock.advance(timedelta(minutes=1))
        await ready.store.settle(own, looks[2:], ready.clock.now())
    await ready.store.settle(own, looks[2:], ready.clock.now())
    open_now = [a for a in await found(ready, rule) if a.state == Alert.STATE_OPEN]
    assert {alert.subjects[0] for alert in open_now} == {"2", "3"}


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


async def test_that_it_is_over_is_told_only_behind_that_it_began(ready, feed) -> None:
    campaign = fresh_id("c")
    rule = await made(ready, failures(ready, campaign))
    await messages(feed, campaign, 20, 8, NOON - HOUR // 2)
    await checked(ready, rule, 2)
    ready.pager.status = 503
    await settled(ready)
    await ready.clock.advance(timedelta(seconds=1))
    own = await ready.store.rule(rule.alert_rule_id)
    for _ in range(3):
        await ready.store.settle(own, [], ready.clock.now())
    ready.pager.status = 200
    ready.pager.calls.clear()
    await settled(ready)
    await ready.clock.advance(timedelta(seconds=31))
    await settled(ready)
    states = [orjson.loads(body)["state"] for _, body in ready.pager.calls]
    assert states == ["open", "resolved"]


async def test_whoever_is_to_be_told_no_longer_is_not_told_what_was_still_due(ready, feed) -> None:
    campaign = fresh_id("c")
    rule = await made(ready, failures(ready, campaign))
    await messages(feed, campaign, 20, 8, NOON - HOUR // 2)
    await checked(ready, rule, 2)
    request = UpdateAlertRuleRequest(alert_rule=AlertRule(alert_rule_id=rule.alert_rule_id))
    request.update_mask.paths.append("routes")
    await ready.stub.UpdateAlertRule(request)
    await settled(ready)
    assert ready.pager.calls == []


async def test_who_does_not_answer_keeps_nobody_else_waiting(ready, feed) -> None:
    campaign = fresh_id("c")
    routes = [
        AlertRoute(url=f"{ready.url}/never", secret_name="pager"),
        AlertRoute(url=ready.url, secret_name="pager"),
    ]
    rule = await made(ready, failures(ready, campaign, routes=routes))
    await messages(feed, campaign, 20, 8, NOON - HOUR // 2)
    await checked(ready, rule, 2)
    telling = asyncio.create_task(ready.deliveries.deliver())
    await wait_until(lambda: bool(ready.pager.calls))
    assert not telling.done()
    ready.pager.answers.set()
    await telling


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
