"""Alerts with everything around them, for tests: a pager, a clock, campaigns that spend."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import grpc
import pytest
from aiohttp import web
from google.protobuf.duration_pb2 import Duration

from chassis.answers import Answers
from chassis.app import serving
from chassis.clock import ManualClock
from chassis.ids import fresh_id
from chassis.outbound import outbound
from chassis.postgres import Pool
from chassis.rpc import channel, server
from merhaba.reports.v1 import (
    Alert,
    AlertRoute,
    AlertRule,
    AlertServiceStub,
    CreateAlertRuleRequest,
    Dimension,
    Filter,
    ListAlertsRequest,
    Measure,
    add_AlertServiceServicer_to_server,
)
from services.reports.alerts.api import AlertApi
from services.reports.alerts.deliveries import CONNECTIONS, TIMEOUT, Deliveries
from services.reports.alerts.looking import Looker, Spending
from services.reports.alerts.quality import Qualities
from services.reports.alerts.store import AlertStore
from services.reports.alerts.watcher import Watcher
from services.reports.answers.sums import rows
from services.reports.tests.events import HOUR, outcome, ref
from services.reports.tests.test_api import TOKEN, reason
from services.reports.tests.test_experiment_service import settings

SECRET = "a secret of the pager"


class Pager:
    """A web server that is told of alerts, and answers as it is set."""

    def __init__(self) -> None:
        self.status = 200
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.answers = asyncio.Event()

    async def told(self, request: web.Request) -> web.Response:
        self.calls.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status)

    async def never(self, _request: web.Request) -> web.Response:
        """Answers once it is told to."""
        await self.answers.wait()
        return web.Response()


class Budgets:
    """What campaigns spend."""

    def __init__(self) -> None:
        self.campaigns: list[Spending] = []

    async def spending(self) -> list[Spending]:
        return self.campaigns


@asynccontextmanager
async def alerting(pool: Pool, clock: ManualClock) -> AsyncIterator[SimpleNamespace]:
    """Rules over gRPC, what looks and tells, and whoever is told."""
    pager, budgets = Pager(), Budgets()
    app = web.Application()
    app.router.add_post("/told", pager.told)
    app.router.add_post("/told/never", pager.never)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/told"
    store, qualities = AlertStore(pool), Qualities(pool)
    fold = SimpleNamespace(time=clock.now)

    def fold_time() -> datetime:
        return fold.time()

    looker = Looker(partial(rows, pool), qualities, budgets, fold_time, clock, "Europe/Istanbul")
    own = server("reports", TOKEN)
    async with outbound(TIMEOUT, CONNECTIONS, inside=True) as calls:
        api = AlertApi(store, calls.check, {"pager": SECRET}, Answers(pool, clock), clock)
        add_AlertServiceServicer_to_server(api, own)
        async with (
            serving(own, settings(), []) as port,
            channel(f"127.0.0.1:{port}", TOKEN) as opened,
        ):
            yield SimpleNamespace(
                stub=AlertServiceStub(opened),
                pool=pool,
                store=store,
                watcher=Watcher(store, looker, clock),
                deliveries=Deliveries(pool, calls, {"pager": SECRET}, clock),
                qualities=qualities,
                budgets=budgets,
                pager=pager,
                url=url,
                fold=fold,
                clock=clock,
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
