"""What somebody should know. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

from services.reports.dashboard import parts
from services.reports.dashboard.figures import Figure
from services.reports.dashboard.look import Look
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.words import Speech


class Alarm(NamedTuple):
    """An alert."""

    alert_id: str
    rule: str
    state: str
    """`open`, `acknowledged`, `resolved`."""
    subjects: Sequence[str]
    measure: str
    """Empty where it is about none."""
    value: Figure
    expected: Figure
    explanation: str
    open_time: datetime
    resolve_time: datetime | None
    acknowledger: str
    note: str


def alerts(
    say: Speech,
    look: Look,
    found: Sequence[Alarm],
    onward: str,
    manager: bool,
    fold_time: datetime,
    now: datetime,
) -> Safe:
    """A page of them, the latest first."""
    links = [(say("all"), look.address("/alerts", by="all"), look.by == "all")]
    links.insert(0, (say("alerts_now"), look.address("/alerts", by=""), not look.by))
    rows: list[list[Child]] = [
        [
            join(one.rule, tag("small", ", ".join(filter(None, one.subjects)))),
            tag("span", say(f"alert.{one.state}"), class_=f"state {one.state}"),
            one.explanation,
            join(
                _figure(say, one, one.value),
                tag("small", say("expected", value=_figure(say, one, one.expected)))
                if one.expected.value is not None
                else "",
            ),
            join(
                say.moment(one.open_time),
                tag("small", say("until", time=say.moment(one.resolve_time)))
                if one.resolve_time
                else "",
            ),
            _care(say, one, manager),
        ]
        for one in found
    ]
    nothing = "nothing" if look.by else "nothing_open"
    keys = ("alert", "state", "explanation", "value", "since", "care")
    return join(
        tag("h1", say("alerts")),
        parts.fresh(say, fold_time, now),
        parts.tabs(links, say("alerts")),
        parts.or_nothing(
            say, say("alerts"), [say(k) for k in keys], rows, numbers=99, nothing=nothing
        ),
        parts.pager(say, look.address("/alerts") if look.place else "", onward),
    )


def _figure(say: Speech, one: Alarm, found: Figure) -> str:
    return say.measure(one.measure, found.value) if one.measure else say.decimal(found.value)


def _care(say: Speech, one: Alarm, manager: bool) -> Child:
    if one.state != "open":
        return join(one.acknowledger, tag("small", one.note) if one.note else "") or "–"
    if not manager:
        return "–"
    field = f"note-{one.alert_id}"
    return tag(
        "form",
        tag("label", say("note"), for_=field, class_="spoken"),
        tag("input", id=field, name="note", maxlength=200, placeholder=say("note")),
        tag("button", say("acknowledge")),
        method="post",
        action=f"/alerts/{quote(one.alert_id, safe='')}",
        class_="inline",
    )
