"""Segments: who belongs to them, and how messages do with them. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from services.reports.dashboard import parts
from services.reports.dashboard.figures import Line
from services.reports.dashboard.look import Look
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.model import SegmentState
from services.reports.words import Speech

MEASURES: Final = (
    *("sent", "read_rate", "reply_rate", "click_rate", "conversion_rate", "opt_out_rate"),
)


def segments(
    say: Speech,
    look: Look,
    states: Sequence[SegmentState],
    lines: Mapping[str, Line],
    fold_time: datetime,
    now: datetime,
) -> Safe:
    """Members now, who came and went, and what came of messages to them. `lines`: by segment."""
    rows: list[list[Child]] = [
        [
            _named(s),
            *(say.number(n) for n in (s.members, s.entered, s.left)),
            *(_figure(say, key, lines.get(s.segment_id)) for key in MEASURES),
        ]
        for s in states
    ]
    heads: list[Child] = [say(k) for k in ("segment", "members", "entered", "left")]
    heads += [say(f"measure.{key}") for key in MEASURES]
    return join(
        tag("h1", say("segments")),
        parts.fresh(say, fold_time, now),
        parts.chooser(say, look, "/segments", filters=False),
        tag("p", say("segments_hint"), class_="hint"),
        parts.or_nothing(say, say("segments"), heads, rows),
    )


def _figure(say: Speech, key: str, line: Line | None) -> Child:
    if line is None:
        return "–"
    if key.endswith("_rate"):
        return parts.likely(say, line[key])
    return say.measure(key, line[key].value)


def _named(segment: SegmentState) -> Safe:
    """What people call it, with its id; the id alone where nobody told."""
    told = tag("code", segment.segment_id)
    return join(segment.name, " ", tag("small", told)) if segment.name else told
