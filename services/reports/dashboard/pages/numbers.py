"""The health of business numbers, and of templates as Meta rates them. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from services.reports.dashboard import parts
from services.reports.dashboard.figures import Spell
from services.reports.dashboard.look import Look
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.dashboard.reading import Health
from services.reports.words import Speech

MEASURES: Final = (
    *("sent", "delivery_rate", "failure_rate", "withheld_rate", "block_rate"),
    *("opt_out_rate", "reply_rate"),
)


def numbers(
    say: Speech,
    look: Look,
    found: Spell,
    codes: Spell,
    qualities: Sequence[Health],
    templates: Sequence[Health],
    now: datetime,
) -> Safe:
    """By number: delivery, failures, blocks; why messages fail; what Meta says of quality."""
    rows: list[list[Child]] = [
        [
            tag("code", line.names[0].label) if line.names[0].value else say("none"),
            *(
                join(
                    parts.likely(say, line[key])
                    if key.endswith("_rate")
                    else say.measure(key, line[key].value),
                    tag("small", parts.change(say, key, line[key])),
                )
                for key in MEASURES
            ),
        ]
        for line in found.lines
    ]
    heads: list[Child] = [say("by.number"), *(say(f"measure.{key}") for key in MEASURES)]
    failed: list[list[Child]] = [
        [
            join(say.code(int(code)), " ", tag("small", tag("code", code))),
            say.measure("failed", line["failed"].value),
            parts.change(say, "failed", line["failed"]) or "–",
        ]
        for line in codes.lines
        if (code := line.names[0].value).isdecimal()
    ]
    code_heads: list[Child] = [say("reason"), say("measure.failed"), say("before")]
    return join(
        tag("h1", say("numbers_title")),
        parts.fresh(say, found.fold_time, now),
        parts.chooser(say, look, "/numbers"),
        parts.section(say("by.number"), parts.or_nothing(say, say("by.number"), heads, rows)),
        parts.section(say("codes"), parts.or_nothing(say, say("codes"), code_heads, failed)),
        parts.section(say("quality"), _quality(say, qualities), hint=say("quality_hint")),
        parts.section(say("templates"), _quality(say, templates)),
    )


def _quality(say: Speech, found: Sequence[Health]) -> Safe:
    rows: list[list[Child]] = [
        [
            one.label,
            tag("span", say.word(one.score.lower()), class_="state bad" if one.bad else "state"),
            say.moment(one.change_time),
        ]
        for one in found
    ]
    heads: list[Child] = [say("name"), say("rating"), say("since")]
    return parts.or_nothing(say, say("quality"), heads, rows, numbers=99)
