"""`merhaba experiments`, `conversions` and `alerts`, against a running service."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from chassis.addresses import checked
from chassis.answers import Answers
from chassis.app import serving
from chassis.clock import milliseconds_of
from chassis.ids import fresh_id
from chassis.rpc import server
from cli.commands import app
from merhaba.reports.v1 import (
    add_AlertServiceServicer_to_server,
    add_ConversionServiceServicer_to_server,
    add_ExperimentServiceServicer_to_server,
)
from services.reports.alerts.api import AlertApi
from services.reports.alerts.defaults import built_in
from services.reports.alerts.model import Look, Rule
from services.reports.alerts.store import AlertStore
from services.reports.answers.sums import rows
from services.reports.conversions.api import ConversionApi
from services.reports.conversions.definitions import Definitions
from services.reports.conversions.store import ConversionStore
from services.reports.experiments.api import ExperimentApi
from services.reports.experiments.desk import Desk
from services.reports.experiments.model import Experiment, Guard
from services.reports.experiments.recipients import Recipients
from services.reports.experiments.store import ExperimentStore
from services.reports.pace import Pace
from services.reports.statistics import Interval
from services.reports.tests.conftest import (  # noqa: F401 - fixtures
    feed,
    held,
    ledger,
    pool,
    reports_url,
    settled,
    store,
)
from services.reports.tests.events import DAY, NOON
from services.reports.tests.test_api import TOKEN
from services.reports.tests.test_experiment_service import sent, settings


class Steered:
    """A sender whose campaigns have two variants, and do as they are told."""

    async def variants(self, _campaign_id: str) -> dict[str, float]:
        return {"kısa": 1.0, "uzun": 1.0}

    async def weigh(self, _campaign_id: str, _request_id: str, _weights: object) -> bool:
        return True


@pytest.fixture
async def reports(pool, manual_clock) -> AsyncIterator[SimpleNamespace]:  # noqa: F811 - a fixture
    own = server("reports", TOKEN)
    experiments, alerts = ExperimentStore(pool), AlertStore(pool)
    await alerts.add(built_in(), manual_clock.now())
    answers = Answers(pool, manual_clock)

    async def week(_conversion_id: str) -> timedelta:
        return timedelta(days=7)

    facts = Recipients(pool, manual_clock.now, week)
    desk = Desk(experiments, facts, Steered(), manual_clock)
    pace = Pace(partial(rows, pool), manual_clock)
    api = ExperimentApi(desk, pace, answers, manual_clock)
    add_ExperimentServiceServicer_to_server(api, own)
    secrets = {"pager": "a long enough secret"}
    add_AlertServiceServicer_to_server(
        AlertApi(alerts, checked, secrets, answers, manual_clock), own
    )
    definitions = Definitions(ConversionStore(pool), manual_clock, timedelta(days=7))
    add_ConversionServiceServicer_to_server(ConversionApi(definitions, answers), own)
    async with serving(own, settings(), []) as port:
        target = f"127.0.0.1:{port}"
        yield SimpleNamespace(
            target=target, experiments=experiments, alerts=alerts, clock=manual_clock
        )


async def run(reports, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command."""
    env = {"REPORTS_TARGET": reports.target, "API_TOKEN": TOKEN, "COLUMNS": "220"}
    done = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=env)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


async def test_an_experiment_is_listed_shown_and_stopped(reports, feed) -> None:  # noqa: F811
    campaign = fresh_id("c")
    one = await reports.experiments.add(
        Experiment(
            experiment_id=fresh_id("exp"),
            campaign_id=campaign,
            name="Yaz",
            variants=("kısa", "uzun"),
            guards=(Guard("failure_rate", maximum=0.01),),
            create_time=milliseconds_of(reports.clock.now()),
        )
    )
    await sent(feed, campaign, "kısa", 300, 90)
    await sent(feed, campaign, "uzun", 300, 170)
    await sent(feed, campaign, "uzun", 5, 0, at=NOON - DAY // 24)
    code, output, errors = await run(reports, "experiments", "list")
    assert (code, errors) == (0, "")
    (row,) = [line for line in output.splitlines() if one.experiment_id in line]
    assert "Yaz" in row
    assert "read_rate" in row
    code, output, errors = await run(reports, "experiments", "show", one.experiment_id)
    assert (code, errors) == (0, "")
    assert "30.0% (" in output
    assert "88.9% (" in output, "the relative difference"
    assert "5 recipients are too young to count yet" in output
    assert (await run(reports, "experiments", "show", campaign))[1] == output
    code, output, _ = await run(reports, "experiments", "stop", one.experiment_id)
    assert (code, output) == (0, f"{one.experiment_id} stopped\n")
    assert (await reports.experiments.get(one.experiment_id)).state == "stopped"


async def test_a_question_is_planned(reports) -> None:
    code, output, errors = await run(
        reports, *("experiments", "plan", "--baseline", "0.2", "--effect", "0.1")
    )
    assert (code, errors) == (0, "")
    assert "show a difference of 10.0%" in output
    code, _, errors = await run(reports, "experiments", "plan", "--baseline", "0.2")
    assert code == 2
    assert "--recipients" in errors


async def test_an_alert_is_listed_and_taken_care_of(reports) -> None:
    code, output, _ = await run(reports, "alerts", "rules")
    assert code == 0
    assert "Read rate falls" in output
    (rule,) = [one for one in built_in() if one.kind == "quality"]
    look = Look((fresh_id("template"),), True, Interval(0, 0, 0), 0, None, 0, "Meta says RED.")
    settled_now = await reports.alerts.settle(rule, [look], reports.clock.now())
    (alert,) = [one for one in settled_now if one.subjects == look.subjects]
    code, output, errors = await run(reports, "alerts", "list")
    assert (code, errors) == (0, "")
    assert "Meta says RED." in output
    code, output, _ = await run(reports, "alerts", "ack", alert.alert_id, "--note", "on it")
    assert (code, output) == (0, f"{alert.alert_id} acknowledged\n")
    code, _, errors = await run(reports, "alerts", "ack", "alert_x")
    assert code == 2
    assert "no such alert" in errors


async def test_an_experiment_is_begun_and_its_winner_declared(reports) -> None:
    campaign = fresh_id("c")
    begin = ("experiments", "begin", campaign, "--bandit", "--guard")
    code, _, errors = await run(reports, *begin, "opt_out_rate")
    assert code == 2
    assert "write opt_out_rate=0.02" in errors
    code, output, _ = await run(reports, *begin, "opt_out_rate=0.02")
    experiment_id, state = output.split()
    assert (code, state) == (0, "running")
    one = await reports.experiments.get(experiment_id)
    assert (one.kind, one.guards) == ("bandit", (Guard("opt_out_rate", maximum=0.02),))
    code, output, _ = await run(reports, "experiments", "declare", experiment_id, "uzun")
    assert (code, output) == (0, f"{experiment_id} decided: uzun\n")
    code, _, errors = await run(reports, "experiments", "declare", experiment_id, "orta")
    assert code == 2
    assert "kısa, uzun" in errors


async def test_what_counts_as_success_is_added_listed_and_deleted(reports) -> None:
    name = fresh_id("trials")
    add = ("conversions", "add", name, "trial_started", "--value", "event.price", "--days", "14")
    code, output, _ = await run(reports, *add)
    assert code == 0
    conversion_id = output.strip()
    code, output, _ = await run(reports, "conversions", "list")
    (row,) = [line for line in output.splitlines() if conversion_id in line]
    assert "trial_started" in row
    assert "14 days" in row
    assert (await run(reports, *add))[0] == 2, "the name is taken"
    code, output, _ = await run(reports, "conversions", "delete", conversion_id)
    assert (code, output) == (0, f"{conversion_id} deleted\n")


async def test_a_rule_is_changed_and_an_address_told(reports) -> None:
    rule = Rule(alert_rule_id=fresh_id("rule"), name="Old", kind="lag", threshold=120)
    await reports.alerts.add([rule], reports.clock.now())
    own = rule.alert_rule_id
    code, output, _ = await run(reports, "alerts", "set", own, "--threshold", "60", "--off")
    assert (code, output) == (0, f"{own} off, 0 told\n")
    found = await reports.alerts.rule(own)
    assert (found.threshold, found.disabled) == (60, True)
    pager = ("https://pager.example/told", "--secret", "pager")
    code, output, _ = await run(reports, "alerts", "route", own, *pager)
    assert (code, output) == (0, f"{own} off, 1 told\n")
    code, _, errors = await run(reports, "alerts", "route", own, pager[0], "--secret", "other")
    assert code == 2
    assert "WEBHOOK_SECRETS" in errors
    code, output, _ = await run(reports, "alerts", "route", own, pager[0], "--remove")
    assert (code, output) == (0, f"{own} off, 0 told\n")
    assert (await run(reports, "alerts", "route", own, pager[0], "--remove"))[0] == 2
