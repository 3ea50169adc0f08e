"""Each kind of alert: it begins when it should, and is over when it should be."""

from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace

import pytest

from chassis.app import serving
from chassis.ids import fresh_id
from chassis.rpc import channel, server
from merhaba.event.v1 import TemplateQualityChanged, TemplateStatusChanged
from merhaba.reports.v1 import Alert, AlertRule, Dimension, Filter, Measure
from merhaba.sender.v1 import (
    Campaign,
    CampaignProgress,
    CampaignServiceServicer,
    GetCampaignResponse,
    ListCampaignsResponse,
    add_CampaignServiceServicer_to_server,
)
from services.reports.alerts.budgets import SenderBudgets
from services.reports.alerts.defaults import built_in
from services.reports.alerts.looking import Looker, Spending
from services.reports.alerts.model import Rule
from services.reports.answers.cutting import Row
from services.reports.answers.question import Question
from services.reports.answers.sums import rows
from services.reports.model import CampaignNotFound
from services.reports.tests.alerting import alerting, checked, failures, found, made, messages
from services.reports.tests.events import DAY, HOUR, NOON, event, outcome, ref, withdrew
from services.reports.tests.test_api import TOKEN
from services.reports.tests.test_experiment_service import settings

YEARS = 3_650
"""Days after the other tests, in which nothing is sent but what a test of the whole base sends."""


@pytest.fixture
async def ready(pool, manual_clock) -> AsyncIterator[SimpleNamespace]:
    async with alerting(pool, manual_clock) as made_ready:
        yield made_ready


async def shipped(ready, alert_rule_id: str) -> Rule:
    """A rule as it comes with the installation, under a name of its own."""
    (rule,) = [one for one in built_in() if one.alert_rule_id == alert_rule_id]
    rule.alert_rule_id = fresh_id("rule")
    await ready.store.add([rule], ready.clock.now())
    return rule


async def states(ready, rule: Rule | AlertRule, looks: int) -> list[str]:
    """Of its alerts, latest first, after so many looks."""
    await checked(ready, rule, looks)
    return [Alert.State.Name(one.state).removeprefix("STATE_") for one in await found(ready, rule)]


async def reads(feed, template: str, at: int, n: int, read: int) -> None:
    events = []
    for number in range(n):
        about = ref(fresh_id("m"), template=template)
        events.append(outcome("delivered", at, fresh_id("p"), about))
        if number < read:
            events.append(outcome("read", at, fresh_id("p"), about))
    await feed("message", events)


# --- the rules of an installation -------------------------------------------------------------


async def test_a_read_rate_that_falls_is_told_until_it_is_as_before(ready, feed) -> None:
    rule, template = await shipped(ready, "read_rate_falls"), fresh_id("t")
    for week in range(1, 4):
        await reads(feed, template, NOON - DAY - HOUR - 7 * week * DAY, 500, 300)
    await reads(feed, template, NOON - DAY - HOUR, 500, 150)
    await checked(ready, rule, 2)
    (alert,) = await found(ready, rule)
    assert (list(alert.subjects), alert.value.value) == ([template], 0.3)
    assert alert.expected.value == pytest.approx(0.6, abs=0.02)
    await ready.clock.advance(timedelta(days=1))
    await reads(feed, template, NOON - HOUR, 500, 290)
    assert await states(ready, rule, 3) == ["RESOLVED"]


async def test_failures_of_a_code_are_told_of_who_sends_at_another_hour_every_day(
    ready, feed
) -> None:
    await ready.clock.advance(timedelta(days=YEARS))
    now, rule = NOON + YEARS * DAY, await shipped(ready, "failures_rise")
    for days, hours in ((3, 2), (9, 5), (16, 7)):
        await messages(feed, "", 200, 2, now - days * DAY - hours * HOUR)
    await messages(feed, "", 200, 40, now - HOUR // 2, 131042)
    await checked(ready, rule, 2)
    (alert,) = await found(ready, rule)
    assert (list(alert.subjects), alert.value.value) == (["131042"], 0.2)
    await ready.clock.advance(timedelta(hours=1))
    await messages(feed, "", 200, 2, now + HOUR // 2)
    assert await states(ready, rule, 3) == ["RESOLVED"]


async def test_a_first_campaign_that_fails_is_told_without_any_past(ready, feed) -> None:
    await ready.clock.advance(timedelta(days=2 * YEARS))
    now, rule = NOON + 2 * YEARS * DAY, await shipped(ready, "failures_many")
    await messages(feed, "", 60, 40, now - HOUR // 2)
    assert await states(ready, rule, 2) == ["OPEN"]
    await messages(feed, "", 60, 0, now - HOUR // 2)
    assert await states(ready, rule, 3) == ["RESOLVED"]


async def test_opt_outs_above_normal_are_told_until_they_are_normal(ready, feed) -> None:
    await ready.clock.advance(timedelta(days=3 * YEARS))
    now, rule = NOON + 3 * YEARS * DAY, await shipped(ready, "opt_outs_rise")

    async def opted_out(at: int, of_thousand: int) -> None:
        people = [fresh_id("p") for _ in range(1_000)]
        await feed("message", [outcome("delivered", at, p, ref(fresh_id("m"))) for p in people])
        await feed("contact", [withdrew(at + 1, p) for p in people[:of_thousand]])

    for week in range(1, 4):
        await opted_out(now - HOUR - 7 * week * DAY, 10)
    await opted_out(now - HOUR, 50)
    assert await states(ready, rule, 2) == ["OPEN"]
    await ready.clock.advance(timedelta(days=1))
    await opted_out(now + DAY - HOUR, 11)
    assert await states(ready, rule, 3) == ["RESOLVED"]


async def test_a_budget_that_will_not_last_is_told_until_it_is_raised(ready) -> None:
    rule, money = await shipped(ready, "budget_burns"), 1_000_000
    ready.budgets.campaigns = [
        Spending("c1", "Summer", "USD", 10 * money, 5 * money, 100, 200),
        Spending("c2", "Winter", "USD", 20 * money, 5 * money, 100, 200),
        Spending("c3", "Spring", "USD", 20 * money, 0, 0, 200),
    ]
    await checked(ready, rule, 2)
    (alert,) = await found(ready, rule)
    assert (list(alert.subjects), alert.value.value, alert.threshold) == (["c1"], 15, 10)
    ready.budgets.campaigns = [Spending("c1", "Summer", "USD", 20 * money, 5 * money, 100, 200)]
    assert await states(ready, rule, 3) == ["RESOLVED"]


class Campaigns(CampaignServiceServicer):
    """Three running campaigns, a page of each; the second has no budget, the third was deleted."""

    async def ListCampaigns(self, request, context):  # noqa: N802 - the contract's name
        place = int(request.page_token or 0)
        one = Campaign(campaign_id=f"c{place}", name="Summer")
        if place != 1:
            one.budget.amount_micros, one.budget.currency_code = 7, "USD"
        return ListCampaignsResponse(
            campaigns=[one], next_page_token=str(place + 1) if place < 2 else ""
        )

    async def GetCampaign(self, request, context):  # noqa: N802 - the contract's name
        if request.campaign_id == "c2":
            raise CampaignNotFound("deleted", campaign_id="c2")
        states = {"delivered": 2, "read": 1, "failed": 5, "held": 3, "planned": 4}
        progress = CampaignProgress(cost_micros=5, states=states)
        return GetCampaignResponse(progress=progress)


async def test_budgets_are_asked_of_all_campaigns_that_run(ready) -> None:
    theirs = server("sender", TOKEN)
    add_CampaignServiceServicer_to_server(Campaigns(), theirs)
    async with (
        serving(theirs, settings(), []) as port,
        channel(f"127.0.0.1:{port}", TOKEN) as opened,
    ):
        assert await SenderBudgets(opened).spending() == [
            Spending("c0", "Summer", "USD", 7, 5, sent=3, waiting=7)
        ]


async def test_facts_that_are_old_are_told_until_they_are_fresh(ready) -> None:
    rule, now = await shipped(ready, "facts_lag"), ready.clock.now()
    assert await states(ready, rule, 2) == []
    ready.fold.time = lambda: now - timedelta(minutes=5)
    await checked(ready, rule, 2)
    (alert,) = await found(ready, rule)
    assert alert.value.value == 300
    ready.fold.time = lambda: now - timedelta(seconds=90)  # hovers below the limit: not over yet
    assert await states(ready, rule, 3) == ["OPEN"]
    ready.fold.time = lambda: now
    assert await states(ready, rule, 3) == ["RESOLVED"]


def scored(at: int, name: str, score: str) -> bytes:
    body = TemplateQualityChanged(waba_id="w", name=name, language="tr", score=score)
    return event(at, "", template_quality_changed=body).SerializeToString()


async def of_template(ready, rule: Rule, name: str) -> dict[str, str]:
    """What Meta says of it → whether that stands."""
    await checked(ready, rule)
    return {
        one.subjects[1]: Alert.State.Name(one.state).removeprefix("STATE_")
        for one in await found(ready, rule)
        if name in one.subjects[0]
    }


async def test_quality_that_drops_further_is_told_again(ready) -> None:
    rule, name = await shipped(ready, "quality_drops"), fresh_id("t")
    await ready.qualities.handle([scored(NOON, name, "YELLOW")])
    assert await of_template(ready, rule, name) == {"YELLOW": "OPEN"}
    await ready.qualities.handle([scored(NOON + 1, name, "RED")])
    assert await of_template(ready, rule, name) == {"YELLOW": "RESOLVED", "RED": "OPEN"}
    await ready.qualities.handle([scored(NOON + 2, name, "GREEN")])
    assert await of_template(ready, rule, name) == {"YELLOW": "RESOLVED", "RED": "RESOLVED"}


async def test_the_quality_of_a_template_that_is_deleted_concerns_nobody(ready) -> None:
    rule, name = await shipped(ready, "quality_drops"), fresh_id("t")

    def status(at: int, word: str) -> bytes:
        body = TemplateStatusChanged(waba_id="w", name=name, language="tr", status=word)
        return event(at, "", template_status_changed=body).SerializeToString()

    await ready.qualities.handle([scored(NOON, name, "RED")])
    assert await of_template(ready, rule, name) == {"RED": "OPEN"}
    await ready.qualities.handle([status(NOON + 1, "PENDING_DELETION")])
    assert await of_template(ready, rule, name) == {"RED": "RESOLVED"}
    await ready.qualities.handle([status(NOON + 2, "APPROVED")])
    assert await of_template(ready, rule, name) == {"RED": "RESOLVED"}, "made anew"


# --- rates ------------------------------------------------------------------------------------


async def test_messages_that_fail_between_two_reads_break_nothing(ready, feed) -> None:
    """All fail, and more of them while the rule is looked at."""
    campaign = fresh_id("c")
    rule = await made(
        ready,
        failures(
            ready, campaign, dimensions=[Dimension.DIMENSION_ERROR_CODE], minimum_sample_size=1
        ),
    )
    await messages(feed, campaign, 20, 20, NOON - HOUR // 2)

    async def changing(question: Question) -> list[Row]:
        found_now = await rows(ready.pool, question)
        await messages(feed, campaign, 5, 5, NOON - HOUR // 2)
        return found_now

    clock = ready.clock
    looker = Looker(changing, ready.qualities, ready.budgets, clock.now, clock, "UTC")
    own = await ready.store.rule(rule.alert_rule_id)
    (look,) = await looker.look(own)
    assert look.value.value <= 1


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
    template = fresh_id("t")
    for week in range(5):
        await reads(feed, template, NOON - DAY - week * 7 * DAY - HOUR // 2, 100, 60)
    await reads(feed, template, NOON - HOUR // 2, 100, 5)  # just sent: nobody had time
    rule = await made(
        ready,
        failures(
            ready,
            "",
            filters=[Filter(dimension=Dimension.DIMENSION_TEMPLATE, values=[template])],
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
        await reads(feed, template, NOON - week * 7 * DAY - HOUR // 2, 100, 60)
    for _ in range(2):
        await ready.watcher.check(rule_of_weekdays)
    (alert,) = await found(ready, rule)
    assert alert.value.value == 0.05


async def test_quality_is_what_meta_said_last_whatever_came_first(ready) -> None:
    name = fresh_id("t")
    rule = await made(ready, AlertRule(name=fresh_id("r"), kind=AlertRule.KIND_QUALITY))
    await ready.qualities.handle([scored(NOON, name, "RED"), scored(NOON - HOUR, name, "GREEN")])
    await ready.qualities.handle([scored(NOON - 2 * HOUR, name, "GREEN")])
    await checked(ready, rule)
    mine = [a for a in await found(ready, rule) if name in a.subjects[0]]
    assert [a.state for a in mine] == [Alert.STATE_OPEN]
    assert f"{name} (tr)" in mine[0].explanation
    await ready.qualities.handle([scored(NOON + 1, name, "GREEN")])
    await checked(ready, rule)
    mine = [a for a in await found(ready, rule) if name in a.subjects[0]]
    assert [a.state for a in mine] == [Alert.STATE_RESOLVED]
