"""`merhaba experiments` and `merhaba alerts`, against a running service."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from chassis.addresses import checked
from chassis.answers import Answers
from chassis.app import serving
from chassis.clock import milliseconds_of
from chassis.ids import fresh_id
from chassis.rpc import server
from merhaba.reports.v1 import (
    add_AlertServiceServicer_to_server,
    add_ExperimentServiceServicer_to_server,
)
from services.reports.alerts.api import AlertApi
from services.reports.alerts.defaults import built_in
from services.reports.alerts.model import Look
from services.reports.alerts.store import AlertStore
from services.reports.answers.sums import rows
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
from services.reports.tests.test_experiment_service import Sender, sent, settings

MERHABA = Path(sys.executable).parent / "merhaba"


@pytest.fixture
async def reports(pool, manual_clock) -> AsyncIterator[SimpleNamespace]:  # noqa: F811 - a fixture
    own = server("reports", TOKEN)
    experiments, alerts = ExperimentStore(pool), AlertStore(pool)
    await alerts.add(built_in(), manual_clock.now())
    answers = Answers(pool, manual_clock)

    async def week(_conversion_id: str) -> timedelta:
        return timedelta(days=7)

    facts = Recipients(pool, manual_clock.now, week)
    desk = Desk(experiments, facts, Sender(), manual_clock)
    pace = Pace(partial(rows, pool), manual_clock)
    api = ExperimentApi(desk, pace, answers, manual_clock)
    add_ExperimentServiceServicer_to_server(api, own)
    add_AlertServiceServicer_to_server(AlertApi(alerts, checked, {}, answers, manual_clock), own)
    async with serving(own, settings(), []) as port:
        target = f"127.0.0.1:{port}"
        yield SimpleNamespace(
            target=target, experiments=experiments, alerts=alerts, clock=manual_clock
        )


async def run(reports, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command."""
    program = await asyncio.create_subprocess_exec(
        *(MERHABA, *arguments),
        env={"REPORTS_TARGET": reports.target, "API_TOKEN": TOKEN, "COLUMNS": "220"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await program.communicate()
    return program.returncode or 0, output.decode(), errors.decode()


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
    (alert,) = await reports.alerts.settle(rule, [look], reports.clock.now())
    code, output, errors = await run(reports, "alerts", "list")
    assert (code, errors) == (0, "")
    assert "Meta says RED." in output
    code, output, _ = await run(reports, "alerts", "ack", alert.alert_id, "--note", "on it")
    assert (code, output) == (0, f"{alert.alert_id} acknowledged\n")
    code, _, errors = await run(reports, "alerts", "ack", "alert_x")
    assert code == 2
    assert "no such alert" in errors
