"""Files: asked for, made, fetched. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import quote

from services.reports.dashboard import parts
from services.reports.dashboard.charts import bar
from services.reports.dashboard.look import Look
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.words import Speech

FORMATS: Final = ("csv", "xlsx", "parquet")


class File(NamedTuple):
    """A file that is being made, or was."""

    export_id: str
    filename: str
    state: str
    """`waiting`, `running`, `completed`, `failed`, `cancelled`, `expired`."""
    failure: str
    rows: int
    total: int
    size: int
    create_time: datetime
    expire_time: datetime | None


def exports(
    say: Speech,
    look: Look,
    found: Sequence[File],
    onward: str,
    manager: bool,
    fold_time: datetime,
    now: datetime,
) -> Safe:
    """A form that asks for one, and those there are."""
    rows: list[list[Child]] = [
        [
            tag("a", one.filename, href=f"/exports/{quote(one.export_id, safe='')}", download=True)
            if one.state == "completed" and manager
            else one.filename,
            tag("span", say(f"export.{one.state}"), class_=f"state {one.state}"),
            _how_far(say, one),
            say.size(one.size),
            say.moment(one.create_time),
            say.moment(one.expire_time),
        ]
        for one in found
    ]
    keys = ("file", "state", "progress", "size", "begun", "kept_until")
    return join(
        tag("h1", say("exports")),
        parts.fresh(say, fold_time, now),
        _order(say, look) if manager else tag("p", say("exports_viewer"), class_="hint"),
        parts.or_nothing(say, say("exports"), [say(k) for k in keys], rows, numbers=99),
        parts.pager(say, look.address("/exports") if look.place else "", onward),
    )


def _how_far(say: Speech, one: File) -> Child:
    if one.state == "failed":
        return one.failure
    words = say("rows_of", rows=say.number(one.rows), total=say.number(max(one.total, one.rows)))
    if one.state != "running":
        return say("rows", rows=say.number(one.rows)) if one.rows else "–"
    return join(bar(one.rows / one.total if one.total else 0), tag("small", words))


def _order(say: Speech, look: Look) -> Safe:
    formats = [tag("option", one.upper(), value=one) for one in FORMATS]
    last = look.period.end
    fields = [
        ("what", tag("select", *_contents(say), id="what", name="what")),
        ("format", tag("select", *formats, id="format", name="format")),
        ("from", _day("from", look.period.start.date().isoformat())),
        ("to", _day("to", last.date().isoformat())),
    ]
    return tag(
        "form",
        *(tag("div", tag("label", say(name), for_=name), control) for name, control in fields),
        tag("button", say("make_file")),
        method="post",
        action="/exports",
        class_="chooser",
        aria_label=say("make_file"),
    )


def _contents(say: Speech) -> list[Safe]:
    return [
        tag("option", say(f"export_of.{one}"), value=one)
        for one in ("days", "campaigns", "messages")
    ]


def _day(name: str, value: str) -> Safe:
    return tag("input", type="date", id=name, name=name, value=value, required=True)
