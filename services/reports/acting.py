"""Experiments, definitions of success and alerts: what acts on the facts, put together."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

import grpc

from chassis.answers import Answers
from chassis.app import Platform
from chassis.outbound import outbound
from chassis.streams import Consumer
from chassis.webhooks import secrets_of
from merhaba.reports.v1 import (
    AlertServiceServicer,
    ExperimentServiceServicer,
    add_AlertServiceServicer_to_server,
    add_ConversionServiceServicer_to_server,
    add_ExperimentServiceServicer_to_server,
)
from services.reports.alerts.api import AlertApi
from services.reports.alerts.budgets import SenderBudgets
from services.reports.alerts.defaults import built_in
from services.reports.alerts.deliveries import CONNECTIONS, TIMEOUT, Deliveries
from services.reports.alerts.looking import Looker
from services.reports.alerts.quality import GROUP, Qualities
from services.reports.alerts.store import AlertStore
from services.reports.alerts.watcher import Watcher
from services.reports.answers.sums import rows
from services.reports.config import ReportsSettings
from services.reports.conversions.api import ConversionApi
from services.reports.conversions.definitions import Definitions
from services.reports.conversions.store import ConversionStore
from services.reports.experiments.api import ExperimentApi
from services.reports.experiments.desk import Desk
from services.reports.experiments.gathering import Gathering
from services.reports.experiments.judge import Judge
from services.reports.experiments.recipients import Recipients
from services.reports.experiments.steering import Steering
from services.reports.experiments.store import ExperimentStore
from services.reports.pace import Pace

SERVICES: Final = ("ExperimentService", "ConversionService", "AlertService")


class Acting(NamedTuple):
    """What acts on the facts."""

    definitions: Definitions
    recipients: Gathering
    desk: Desk
    alerts: AlertStore
    experiment_api: ExperimentServiceServicer
    alert_api: AlertServiceServicer
    runners: list[Callable[[], Awaitable[None]]]
    """What has to run in the background."""


@asynccontextmanager
async def acting(
    base: Platform,
    settings: ReportsSettings,
    fold_time: Callable[[], datetime],
    own: grpc.aio.Server,
) -> AsyncIterator[Acting]:
    """Experiments, definitions and alerts, served by `own`. `fold_time`: until when everything is
    known."""
    clock, pool = base.clock, base.pool
    answers = Answers(pool, clock)
    sums = partial(rows, pool)
    secrets = secrets_of(settings.webhook_secrets.get_secret_value())
    definitions = Definitions(
        ConversionStore(pool), clock, timedelta(days=settings.attribution_days)
    )
    await definitions.refresh()
    experiments, alerts = ExperimentStore(pool), AlertStore(pool)
    await alerts.add(built_in(), clock.now())
    recipients = Recipients(pool, fold_time, definitions.window)
    facts = Gathering(recipients, clock)
    qualities = Qualities(pool)
    async with (
        base.mesh.channel(
            "sender", settings.sender_target, purpose="judging experiments"
        ) as sender,
        outbound(TIMEOUT, CONNECTIONS, inside=settings.webhook_inside) as calls,
    ):
        steering = Steering(sender)
        desk = Desk(experiments, facts, steering, clock)
        budgets = SenderBudgets(sender)
        looker = Looker(sums, qualities, budgets, fold_time, clock, settings.report_zone)
        add_ConversionServiceServicer_to_server(ConversionApi(definitions, answers), own)
        experiment_api = ExperimentApi(desk, Pace(sums, clock), answers, clock)
        add_ExperimentServiceServicer_to_server(experiment_api, own)
        alert_api = AlertApi(alerts, calls.check, secrets, answers, clock)
        add_AlertServiceServicer_to_server(alert_api, own)
        yield Acting(
            definitions,
            facts,
            desk,
            alerts,
            experiment_api,
            alert_api,
            [
                answers.run,
                definitions.run,
                facts.run,
                Judge(desk, experiments, steering, recipients, clock).run,
                Watcher(alerts, looker, clock).run,
                Deliveries(pool, calls, secrets, clock).run,
                Consumer(base.log, GROUP, ["inbound.message"], qualities.handle, hurry=False).run,
            ],
        )
