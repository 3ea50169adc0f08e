"""Files that are made and delivered again and again. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import quote

from services.reports.dashboard import parts
from services.reports.dashboard.look import Look
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.dashboard.pages.exports import CONTENTS, FORMATS, choice, sections
from services.reports.words import Speech

PATH: Final = "/exports/schedules"
EVERY: Final = {"day": "* * *", "monday": "* * 1", "first": "1 * *"}
"""How often: day of month, month and weekday as cron has them."""
PERIODS: Final = ("1", "7", "28", "90")
"""Days that a file covers."""
_KINDS: Final = ("folder", "bucket", "webhook")


class Plan(NamedTuple):
    """A schedule."""

    schedule_id: str
    name: str
    cron: str
    zone: str
    days: float
    """How far back its files reach."""
    format: str
    kind: str
    """`folder`, `bucket` or `webhook`."""
    where: str
    disabled: bool
    next_run: datetime | None
    last_export_id: str
    failure: str


def schedules(
    say: Speech,
    look: Look,
    found: Sequence[Plan],
    onward: str,
    manager: bool,
    fold_time: datetime,
    now: datetime,
) -> Safe:
    """Those there are, and a form for another."""
    keys = ("name", "how_often", "covers", "destination", "next_run", "last_file")
    heads: list[Child] = [*(say(k) for k in keys), *([say("actions")] if manager else [])]
    rows: list[list[Child]] = [_row(say, one, manager) for one in found]
    return join(
        tag("h1", say("schedules")),
        parts.fresh(say, fold_time, now),
        sections(say, PATH),
        parts.or_nothing(say, say("schedules"), heads, rows, numbers=99, nothing="nothing_planned"),
        parts.pager(say, look.address(PATH) if look.place else "", onward),
        parts.section(say("new_schedule"), _form(say))
        if manager
        else tag("p", say("exports_viewer"), class_="hint"),
    )


def _row(say: Speech, one: Plan, manager: bool) -> list[Child]:
    state = "paused" if one.disabled else "failed" if one.failure else "running"
    last: Child = "–"
    if one.last_export_id:
        last = tag("a", say("file"), href=f"/exports/{quote(one.last_export_id, safe='')}")
    cells: list[Child] = [
        join(
            *(one.name, " "),
            tag("span", say(f"schedule.{state}"), class_=f"state {_STYLES[state]}".strip()),
            tag("small", one.format),
        ),
        join(_when(say, one.cron), tag("small", one.zone)),
        say("days", count=say.decimal(one.days)),
        join(say(f"to.{one.kind}"), tag("small", one.where)),
        say.moment(one.next_run),
        join(last if manager else "", tag("small", one.failure) if one.failure else ""),
    ]
    return [*cells, _actions(say, one)] if manager else cells


_STYLES: Final = {"paused": "", "failed": "failed", "running": "running"}


def _when(say: Speech, cron: str) -> str:
    """A rhythm in words where it is one that the form knows, else as it is written."""
    minute, hour, rest = ([*cron.split(" ", 2), "", "", ""])[:3]
    for name, days in EVERY.items():
        if rest == days and minute.isdecimal() and hour.isdecimal():
            return say(f"every.{name}.at", time=f"{int(hour):02}:{int(minute):02}")
    return cron


def _actions(say: Speech, one: Plan) -> Safe:
    actions = ("resume" if one.disabled else "pause", "delete")
    buttons = [
        tag(
            "button",
            say(f"schedule.{action}"),
            name="action",
            value=action,
            aria_label=say("action_on", action=say(f"schedule.{action}"), name=one.name),
        )
        for action in actions
    ]
    address = f"{PATH}/{quote(one.schedule_id, safe='')}"
    return tag("form", *buttons, method="post", action=address, class_="files")


def _form(say: Speech) -> Safe:
    text = {"required": True, "maxlength": 200}
    fields: list[tuple[str, Safe]] = [
        ("name", tag("input", id="name", name="name", **text)),
        ("what", choice("what", [(one, say(f"export_of.{one}")) for one in CONTENTS])),
        ("format", choice("format", [(one, one.upper()) for one in FORMATS])),
        ("every", choice("every", [(one, say(f"every.{one}")) for one in EVERY])),
        ("time", tag("input", type="time", id="time", name="time", value="08:00", required=True)),
        ("covers", choice("covers", [(one, say("days", count=one)) for one in PERIODS], "7")),
        ("to_kind", choice("to_kind", [(one, say(f"to.{one}")) for one in _KINDS])),
        ("where", tag("input", id="where", name="where", maxlength=2000, aria_describedby="how")),
        ("key", tag("input", id="key", name="key", maxlength=200, aria_describedby="how")),
    ]
    return join(
        tag("p", say("schedule_hint"), id="how", class_="hint"),
        tag(
            "form",
            *(tag("div", tag("label", say(name), for_=name), control) for name, control in fields),
            tag("button", say("make_schedule")),
            method="post",
            action=PATH,
            class_="chooser card",
            aria_label=say("new_schedule"),
        ),
    )
