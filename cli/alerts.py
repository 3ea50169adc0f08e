"""`merhaba alerts`: what somebody should know."""

from functools import partial
from typing import Annotated

import typer
import uvloop
from google.protobuf.field_mask_pb2 import FieldMask
from rich.table import Table
from rich.text import Text

from cli.calling import calling
from cli.terminal import Console, echo
from cli.told import time_told
from merhaba.reports.v1 import (
    AcknowledgeAlertRequest,
    Alert,
    AlertRoute,
    AlertRule,
    AlertServiceStub,
    GetAlertRuleRequest,
    ListAlertRulesRequest,
    ListAlertsRequest,
    UpdateAlertRuleRequest,
)

app = typer.Typer(help="What somebody should know.", no_args_is_help=True)
_alerts = partial(calling, "reports", AlertServiceStub, "operations")


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
        echo(f"{answer.alert.alert_id} {_state(answer.alert)}")

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


@app.command("set")
def change(
    alert_rule_id: str,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Whether it is watched.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="The limit, in the measure's unit; of a lag seconds.")
    ] = None,
    sensitivity: Annotated[
        float | None, typer.Option(help="Standard deviations from what is normal.")
    ] = None,
) -> None:
    """Change a rule."""
    wanted = AlertRule(alert_rule_id=alert_rule_id)
    paths = []
    if on is not None:
        wanted.disabled = not on
        paths.append("disabled")
    if threshold is not None:
        wanted.threshold = threshold
        paths.append("threshold")
    if sensitivity is not None:
        wanted.sensitivity = sensitivity
        paths.append("sensitivity")
    if not paths:
        raise typer.BadParameter("say what to change: --on, --off, --threshold or --sensitivity")
    uvloop.run(_change(wanted, paths))


@app.command()
def route(
    alert_rule_id: str,
    url: Annotated[str, typer.Argument(help="Whom to tell: an HTTPS address.")],
    secret: Annotated[
        str, typer.Option(help="The name under which WEBHOOK_SECRETS of reports has the secret.")
    ] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Tell it no longer.")] = False,
) -> None:
    """Have an address told when alerts of a rule begin and are over, signed."""
    if not (secret or remove):
        raise typer.BadParameter("name the secret to sign with: --secret", param_hint="--secret")

    async def ask() -> None:
        async with _alerts() as service:
            found = await service.GetAlertRule(GetAlertRuleRequest(alert_rule_id=alert_rule_id))
        known = found.alert_rule
        routes = [one for one in known.routes if one.url != url]
        if remove and len(routes) == len(known.routes):
            raise typer.BadParameter(
                f"{url} is not told; `merhaba alerts rules` shows how many are"
            )
        if not remove:
            routes.append(AlertRoute(url=url, secret_name=secret))
        # The etag: whoever adds another one meanwhile is not written over
        wanted = AlertRule(alert_rule_id=alert_rule_id, etag=known.etag, routes=routes)
        await _change(wanted, ["routes"])

    uvloop.run(ask())


async def _change(wanted: AlertRule, paths: list[str]) -> None:
    async with _alerts() as service:
        request = UpdateAlertRuleRequest(alert_rule=wanted, update_mask=FieldMask(paths=paths))
        rule = (await service.UpdateAlertRule(request)).alert_rule
    state = "off" if rule.disabled else "on"
    echo(f"{rule.alert_rule_id} {state}, {len(rule.routes)} told")


def _state(one: Alert) -> str:
    return Alert.State.Name(one.state).removeprefix("STATE_").lower()
