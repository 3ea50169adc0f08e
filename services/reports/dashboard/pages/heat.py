"""A measure by weekday and hour of send: a table whose cells have shades. Pure."""

from collections.abc import Mapping
from typing import Final

from services.reports.dashboard.charts import legend, shade
from services.reports.dashboard.figures import Figure
from services.reports.dashboard.markup import Safe, join, tag
from services.reports.words import Speech

_FEWEST: Final = 10
"""A share of fewer messages is a whim: it is written, and not shaded."""


def heat_map(say: Speech, measure: str, cells: Mapping[tuple[int, int], Figure]) -> Safe:
    """Weekdays by hours; each cell says in words how much of how many."""
    known = [f for f in cells.values() if f.value is not None and f.of >= _FEWEST]
    if not any(f.of for f in cells.values()):
        return tag("p", say("nothing"), class_="hint")
    lowest = min((f.value or 0 for f in known), default=0)
    highest = max((f.value or 0 for f in known), default=0)
    head = tag(
        "tr",
        tag("th", say("weekday"), scope="col"),
        *(tag("th", f"{hour:02}", scope="col") for hour in range(24)),
    )
    rows = [
        tag(
            "tr",
            tag("th", say.weekday(day), scope="row"),
            *(
                _cell(say, measure, cells.get((day, hour), Figure()), lowest, highest)
                for hour in range(24)
            ),
        )
        for day in range(1, 8)
    ]
    title = say("heat_title", measure=say(f"measure.{measure}"))
    whole = tag("table", tag("caption", title), tag("thead", head), tag("tbody", *rows))
    scale = legend(say.measure(measure, lowest), say.measure(measure, highest)) if known else ""
    return join(
        tag("div", whole, class_="scroll heat", role="region", aria_label=title, tabindex=0),
        tag("div", scale, class_="legend"),
    )


def _cell(say: Speech, measure: str, found: Figure, lowest: float, highest: float) -> Safe:
    if found.value is None or not found.of:
        return tag("td")
    words = say("of_count", value=say.measure(measure, found.value), count=say.number(found.of))
    level = shade(found.value, lowest, highest) if found.of >= _FEWEST else 0
    shown = say.whole_percent(found.value)
    return tag(
        "td",
        tag("span", shown, aria_hidden="true"),
        tag("span", words, class_="spoken"),
        class_=f"heat-{level}",
        title=words,
    )
