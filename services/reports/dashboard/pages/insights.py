"""What stands out, as sentences of numbers. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from services.reports.dashboard import parts
from services.reports.dashboard.figures import Figure
from services.reports.dashboard.markup import Safe, tag
from services.reports.words import Speech


class Insight(NamedTuple):
    """Something that stands out."""

    kind: str
    """`best_hour`, `retiring_template`, …"""
    label: str
    measure: str
    value: Figure
    baseline: Figure
    probability: float
    contacts: int


def insights(say: Speech, found: Sequence[Insight]) -> Safe:
    """What stands out; nothing where nothing does."""
    if not found:
        return Safe()
    items = [
        tag(
            "li",
            say.raised(
                say(
                    f"insight.{one.kind}",
                    subject=_subject(one),
                    measure=say.lowered(say(f"measure.{one.measure}")),
                    value=say.measure(one.measure, one.value.value),
                    baseline=say.measure(one.measure, one.baseline.value),
                    contacts=say.number(one.contacts),
                )
            ),
            tag(
                "small",
                say(
                    "sureness",
                    share=say.percent(one.probability),
                    lower=say.measure(one.measure, one.value.lower),
                    upper=say.measure(one.measure, one.value.upper),
                    count=say.number(one.value.of),
                ),
            ),
        )
        for one in found
    ]
    return parts.section(say("stands_out"), tag("ul", *items, class_="insights card"))


def _subject(one: Insight) -> str:
    if one.kind == "best_hour" and one.label.isdecimal():
        return f"{int(one.label):02}:00"
    return one.label
