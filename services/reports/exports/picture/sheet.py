"""Where everything of a campaign's report stands on a page of A4. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

from chassis.fonts import covered
from services.reports.funnel import rate
from services.reports.ledger import CampaignReport
from services.reports.words import Speech

WIDTH: Final = 595.0
"""Points; as is the height."""
HEIGHT: Final = 842.0
_LEFT: Final = 48.0
_RIGHT: Final = WIDTH - 48.0
_BOTTOM: Final = HEIGHT - 60.0
_LINE: Final = 18.0
_MOST_ROWS: Final = 12

Colour = tuple[int, int, int]
INK: Final[Colour] = (22, 33, 29)
_SOFT: Final[Colour] = (85, 100, 94)
_FILL: Final[Colour] = (20, 163, 122)
_TRACK: Final[Colour] = (228, 235, 232)


class Text(NamedTuple):
    """Words; `y` is where their letters stand."""

    x: float
    y: float
    words: str
    size: float = 10
    bold: bool = False
    colour: Colour = INK
    align: Literal["left", "right"] = "left"
    width: float = 0
    """What does not fit into it is cut; 0: as wide as it is."""


class Box(NamedTuple):
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: Colour


class Sheet(NamedTuple):
    """A page."""

    title: str
    language: str
    marks: list[Text | Box]


def sheet(report: CampaignReport, say: Speech, now: datetime) -> Sheet:
    """Head, funnel, variants, and why messages did not arrive."""
    state, tally = report.state, report.total.tally
    title = _legible(state.name) or state.campaign_id
    marks: list[Text | Box] = [
        Text(_LEFT, 64, title, 20, bold=True, width=_RIGHT - _LEFT),
        Text(_LEFT, 84, _subtitle(report, say), 9, colour=_SOFT),
    ]
    about = [
        (say("recipients"), say.number(tally.recipients)),
        (say("measure.cost"), say.amounts(tally.costs)),
        (say("orders"), say.number(tally.orders)),
        (say("measure.revenue"), say.amounts(tally.revenues)),
    ]
    each = (_RIGHT - _LEFT) / len(about)
    for place, (name, value) in enumerate(about):
        x = _LEFT + place * each
        marks.append(Text(x, 112, name, 9, colour=_SOFT))
        marks.append(Text(x, 130, value, 14, bold=True, width=each - 8))
    y = 164.0
    for part in (_funnel(report, say), _variants(report, say), _reasons(report, say)):
        if part and y + 3 * _LINE < _BOTTOM:
            drawn = list(_placed(part, y))
            marks += drawn
            y = max(m.y for m in drawn) + 2 * _LINE
    marks.append(Text(_LEFT, HEIGHT - 36, f"Merhaba · {say.moment(now)}", 8, colour=_SOFT))
    return Sheet(
        title,
        say.language,
        [m._replace(words=_legible(m.words)) if isinstance(m, Text) else m for m in marks],
    )


def _legible(words: str) -> str:
    """Words without what the page's letters cannot show, as emoji in a campaign's name."""
    return " ".join("".join(c for c in words if ord(c) in covered("Roboto-Regular")).split())


def _placed(part: Sequence[Text | Box], y: float) -> Iterator[Text | Box]:
    """A part moved down to `y`, as far as the page goes."""
    for mark in part:
        if mark.y + y <= _BOTTOM:
            yield mark._replace(y=mark.y + y)


def _subtitle(report: CampaignReport, say: Speech) -> str:
    launch = say.moment(report.state.launch_time)
    fold = say.moment(report.fold_time)
    return f"{say.state(report.state.state)} · {say('launched')}: {launch} · {fold}"


def _funnel(report: CampaignReport, say: Speech) -> list[Text | Box]:
    tally = report.total.tally
    steps = [
        ("planned", tally.recipients),
        ("sent", tally.sent),
        ("delivered", tally.delivered),
        ("read", tally.read),
        ("clicked", tally.clicked),
        ("replied", tally.replied),
        ("converted", tally.converted),
        ("opted_out", tally.opted_out),
    ]
    marks: list[Text | Box] = [Text(_LEFT, 0, say("funnel"), 13, bold=True)]
    for place, (key, count) in enumerate(steps, 1):
        y = place * _LINE + 4
        share = count / tally.recipients if tally.recipients else 0.0
        found = rate(count, tally.recipients)
        marks.append(Text(_LEFT, y, say(f"measure.{key}")))
        marks.append(Box(_LEFT + 120, y - 9, 240, 10, _TRACK))
        marks.append(Box(_LEFT + 120, y - 9, 240 * min(share, 1), 10, _FILL))
        marks.append(Text(_LEFT + 430, y, say.number(count), bold=True, align="right"))
        percent = say.percent(found.value if found else None)
        marks.append(Text(_RIGHT, y, percent, colour=_SOFT, align="right"))
    return marks


def _variants(report: CampaignReport, say: Speech) -> list[Text | Box]:
    keys = ("sent", "delivered", "read", "clicked", "replied", "converted")
    marks: list[Text | Box] = [
        Text(_LEFT, 0, say("variants"), 13, bold=True),
        Text(_LEFT, _LINE + 2, say("variant"), 8, colour=_SOFT),
    ]
    step = 62.0
    first = _RIGHT - step * (len(keys) - 1)
    for place, key in enumerate(keys):
        x = first + place * step
        marks.append(Text(x, _LINE + 2, say(f"measure.{key}"), 8, colour=_SOFT, align="right"))
    for row, one in enumerate(report.variants[:_MOST_ROWS], 2):
        y = row * _LINE + 2
        name = " · ".join(filter(None, (one.variant or say("no_variant"), one.template)))
        marks.append(Text(_LEFT, y, name, 9, width=first - _LEFT - step))
        for place, key in enumerate(keys):
            part: int = getattr(one.tally, key)
            whole = one.tally.sent if key == "delivered" else one.tally.delivered
            found = rate(part, whole) if key != "sent" else None
            words = say.number(part) + (f" ({say.percent(found.value)})" if found else "")
            marks.append(Text(first + place * step, y, words, 8, align="right", width=step + 4))
    return marks


def _reasons(report: CampaignReport, say: Speech) -> list[Text | Box]:
    tally = report.total.tally
    found = [(say.gate(name), n) for name, n in tally.gates.items()]
    found += [(say.code(code), n) for code, n in tally.codes.items()]
    if not found:
        return []
    marks: list[Text | Box] = [Text(_LEFT, 0, say("gates"), 13, bold=True)]
    for row, (words, count) in enumerate(sorted(found, key=lambda r: -r[1])[:_MOST_ROWS], 1):
        y = row * _LINE + 2
        marks.append(Text(_LEFT, y, words, 9, width=_RIGHT - _LEFT - 90))
        marks.append(Text(_RIGHT, y, say.number(count), 9, bold=True, align="right"))
    return marks
