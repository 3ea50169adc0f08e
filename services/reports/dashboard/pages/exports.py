"""Files: asked for, made, fetched. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import quote

from services.reports.dashboard import parts
from services.reports.dashboard.charts import bar
from services.reports.dashboard.look import Look
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.words import Speech

CONTENTS: Final = ("days", "campaigns", "messages")
FORMATS: Final = ("xlsx", "csv", "parquet")


class File(NamedTuple):
    """A file that is being made, or was."""

    export_id: str
    filename: str
    content: str
    """`query`, `campaign_id` or `messages`."""
    start: datetime | None
    """Of its period, as is `end`; None for all of a campaign."""
    end: datetime | None
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
            join(_name(one, manager), tag("small", _what(say, one))),
            join(
                tag("span", say(f"export.{one.state}"), class_=f"state {one.state}"),
                _cancel(say, one) if manager and one.state in ("waiting", "running") else "",
            ),
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
        sections(say, "/exports"),
        _order(say, look) if manager else tag("p", say("exports_viewer"), class_="hint"),
        parts.or_nothing(
            say, say("exports"), [say(k) for k in keys], rows, numbers=99, nothing="nothing_made"
        ),
        parts.pager(say, look.address("/exports") if look.place else "", onward),
    )


def sections(say: Speech, here: str) -> Safe:
    """The pages of files."""
    pages = (("/exports", "files_made"), ("/exports/schedules", "schedules"))
    return parts.tabs([(say(key), path, path == here) for path, key in pages], say("exports"))


def _name(one: File, manager: bool) -> Child:
    if one.state != "completed" or not manager:
        return one.filename
    address = f"/exports/{quote(one.export_id, safe='')}"
    return tag("a", one.filename, href=address, download=True)


def _what(say: Speech, one: File) -> str:
    said = say(f"export_content.{one.content}")
    if one.start is None or one.end is None:
        return said
    last = one.end - timedelta(microseconds=1)
    return f"{said}, {say.day(one.start)} – {say.day(last)}"


def _cancel(say: Speech, one: File) -> Safe:
    return tag(
        "form",
        tag(
            "button",
            say("cancel"),
            aria_label=say("action_on", action=say("cancel"), name=one.filename),
        ),
        method="post",
        action=f"/exports/{quote(one.export_id, safe='')}/cancel",
        class_="files",
    )


def _how_far(say: Speech, one: File) -> Child:
    if one.state == "failed":
        return one.failure
    words = say("rows_of", rows=say.number(one.rows), total=say.number(max(one.total, one.rows)))
    if one.state != "running":
        return say("rows", rows=say.number(one.rows)) if one.rows else "–"
    return join(bar(one.rows / one.total if one.total else 0), tag("small", words))


def _order(say: Speech, look: Look) -> Safe:
    last = look.period.end
    fields = [
        ("what", choice("what", [(one, say(f"export_of.{one}")) for one in CONTENTS])),
        ("format", choice("format", [(one, one.upper()) for one in FORMATS])),
        ("from", _day("from", look.period.start.date().isoformat())),
        ("to", _day("to", last.date().isoformat())),
    ]
    return join(
        tag("p", say("format_hint"), class_="hint"),
        tag(
            "form",
            *(tag("div", tag("label", say(name), for_=name), control) for name, control in fields),
            tag("button", say("make_file")),
            method="post",
            action="/exports",
            class_="chooser",
            aria_label=say("make_file"),
        ),
    )


def choice(name: str, options: Sequence[tuple[str, str]], usual: str = "") -> Safe:
    """A field that offers values, each with its words."""
    offered = [
        tag("option", words, value=value, selected=value == usual) for value, words in options
    ]
    return tag("select", *offered, id=name, name=name)


def _day(name: str, value: str) -> Safe:
    return tag("input", type="date", id=name, name=name, value=value, required=True)
