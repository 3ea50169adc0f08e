"""How messages do, by whatever they are counted by: trigger, journey, template, market. Pure."""

from datetime import datetime
from typing import Final

from services.reports.dashboard import parts
from services.reports.dashboard.figures import Line, Named, Spell
from services.reports.dashboard.look import Look
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.dashboard.pages.overview import campaign_address
from services.reports.words import Speech

DIMENSIONS: Final = (
    *("trigger", "journey", "journey_step", "template", "language", "market", "stage"),
    *("category", "device", "campaign"),
)
COUNTS: Final = (
    *("sent", "delivery_rate", "read_rate", "click_rate", "reply_rate", "conversion_rate"),
    *("opt_out_rate", "failure_rate", "converted"),
)
_MOST: Final = 200


def breakdown(say: Speech, look: Look, by: str, found: Spell, heat: Safe, now: datetime) -> Safe:
    """A table by one dimension, and by weekday and hour. `by`: of `DIMENSIONS`."""
    path = "/journeys"
    links = [(say(f"by.{one}"), look.address(path, by=one), one == by) for one in DIMENSIONS]
    lines = [line for line in found.lines if line.names[0].value]
    rest = [line for line in found.lines if not line.names[0].value]
    rows: list[list[Child]] = [
        [_name(say, look, path, by, line.names[0]), *_figures(say, line)] for line in lines[:_MOST]
    ]
    rows += [[say("without", what=say(f"by.{by}")), *_figures(say, line)] for line in rest]
    heads: list[Child] = [say(f"by.{by}"), *(say(f"measure.{key}") for key in COUNTS)]
    return join(
        tag("h1", say("journeys_title")),
        parts.fresh(say, found.fold_time, now),
        parts.chooser(say, look, path, goals=True),
        parts.tabs(links, say("by")),
        parts.or_nothing(say, say(f"by.{by}"), heads, rows),
        tag("p", say("first_lines", count=say.number(_MOST)), class_="hint")
        if len(lines) > _MOST
        else "",
        parts.section(say("heat"), heat, hint=say("heat_hint")),
    )


def _figures(say: Speech, line: Line) -> list[Child]:
    return [
        parts.likely(say, line[key])
        if key.endswith("_rate")
        else join(
            say.measure(key, line[key].value), tag("small", parts.change(say, key, line[key]))
        )
        for key in COUNTS
    ]


def _name(say: Speech, look: Look, path: str, by: str, named: Named) -> Safe:
    if by == "campaign":
        return tag("a", named.label, href=campaign_address(named.value))
    words = {"market": say.market, "category": say.category}.get(by)
    shown = words(named.value) if words else named.label
    return tag(
        "a",
        shown,
        href=look.address(path, filters=look.narrowed(by, named.value)),
        title=say("only_this", what=shown),
    )
