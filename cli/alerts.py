"""`merhaba alerts`: what somebody should know."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chassis.rpc import channel
from cli.target import target_of
from cli.told import time_told, told
from merhaba.reports.v1 import (
    AcknowledgeAlertRequest,
    Alert,
    AlertRule,
    AlertServiceStub,
    ListAlertRulesRequest,
    ListAlertsRequest,
)

app = typer.Typer(help="What somebody should know.", no_args_is_help=True)


@app.command("list")
def list_alerts(
    ended: Annotated[bool, typer.Option("--all", help="Resolved ones, too.")] = False,
    most: Annotated[int, typer.Option(help="How many to show.")] = 100,
) -> None:
    """Alerts, latest first."""

    async def ask() -> None:
        table = Table("alert", "rule", "about", "state", "since", "what")
        states = [] if ended else [Alert.STATE_OPEN, Alert.STATE_ACKNOWLEDGED]
        async with _alerts() as service:
            page = await service.ListAlerts(ListAlertsRequest(states=states, page_size=most))
        for one in page.alerts:
            table.add_row(
                one.alert_id,
                one.rule_name,
                ", ".join(one.subjects),
                _state(one),
                time_told(one.open_time),
                Text(one.explanation),
            )
        Console().print(table)

    uvloop.run(ask())


@app.command()
def ack(
    alert_id: str,
    note: Annotated[str, typer.Option(help="For those who come later.")] = "",
) -> None:
    """Say that somebody takes care."""

    async def ask() -> None:
        async with _alerts() as service:
            answer = await service.AcknowledgeAlert(
                AcknowledgeAlertRequest(alert_id=alert_id, note=note)
            )
        typer.echo(f"{answer.alert.alert_id} {_state(answer.alert)}")

    uvloop.run(ask())


@app.command()
def rules() -> None:
    """What is watched."""

    async def ask() -> None:
        table = Table("rule", "name", "what", "told")
        request = ListAlertRulesRequest(page_size=1_000)
        async with _alerts() as service:
            page = await service.ListAlertRules(request)
        for one in page.alert_rules:
            kind = AlertRule.Kind.Name(one.kind).removeprefix("KIND_").lower()
            table.add_row(
                one.alert_rule_id,
                one.name,
                f"{kind}, off" if one.disabled else kind,
                str(len(one.routes)) if one.routes else "nobody",
            )
        Console().print(table)

    uvloop.run(ask())


@asynccontextmanager
async def _alerts() -> AsyncIterator[AlertServiceStub]:
    """The running stack of this folder, or REPORTS_TARGET with API_TOKEN."""
    with told():
        async with channel(*target_of("reports"), purpose="operations") as opened:
            yield AlertServiceStub(opened)


def _state(one: Alert) -> str:
    return Alert.State.Name(one.state).removeprefix("STATE_").lower()
