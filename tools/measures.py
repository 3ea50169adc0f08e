"""Writes docs/measures.md: every measure and dimension once, as the contract and the code have it.

What it means is the comment in `measure.proto`; how it is computed is the table of
`services/reports/answers/measures.py`. A test compares the page with both.
"""

import re
import sys
from pathlib import Path
from typing import Final

from merhaba.reports.v1 import Attribution, Dimension, Measure
from services.reports.answers.measures import ADS, BASE, PEOPLE, SALES, Column, Made, made
from services.reports.answers.question import COLUMNS, CREDITED

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "measures.md"
_CONTRACT: Final = ROOT / "protos/merhaba/reports/v1/measure.proto"
_HEAD: Final = """\
# Measures

What each figure means, how it is computed and where from. `python -m tools.measures` writes this
page from the contract (`protos/merhaba/reports/v1/measure.proto`) and the code
(`services/reports/answers/measures.py`).

{intro}

Rates have a 95 % interval (Wilson's) and the size of the sample beside them. Without a denominator
there is no rate. Amounts of different currencies never share a row.

A period is widened to whole quarters of an hour, of which all sums are made: it begins with the
quarter in which it is asked to begin, and ends with the one in which it is asked to end. By hour,
day, week or month, the first and the last row hold of their bucket what lies in the period.

A conversion is an order (`order_completed`) unless a question names definitions of the business
(`conversion_id`, `merhaba report … --conversion`), each with its own window and its own word of
what a person has to have done with a message: got it, read it or tapped on it. Events count from
when a definition was made. Of several definitions a message converts once, and what it brought is
added up.
"""
_UNITS: Final = {
    "count": "count",
    "rate": "share, 0 to 1",
    "money": "amount",
    "unit_cost": "amount",
    "return": "times",
    "frequency": "per person and week",
    "median": "seconds",
}
_FROM: Final[dict[Column, str]] = {
    "received": "events (`base_changes`)",
    "contacts": "events (`base_changes`)",
    "contact_growth": "events (`base_changes`)",
    "consented": "what was said of people (`consents`, `base_changes`)",
    "consent_growth": "what was said of people (`consents`, `base_changes`)",
    "our_response": "messages of both sides (`letters`, `message_facts`)",
}
_GOALS: Final = "messages that brought something (`message_conversions`)"
_ARRIVALS: Final = "people who came by ads (`arrivals`)"
_SUMS: Final = "sums of messages (`rollups`, `summaries`)"
_FACTS: Final = "messages and their people (`message_facts`, `sampled_facts`)"


def page() -> str:
    """The page."""
    enums = _comments(_CONTRACT.read_text())
    measures, dimensions = enums["Measure"], enums["Dimension"]
    lines = [
        _HEAD.format(intro=measures[""]),
        "| measure | what it is | computed | from | unit |",
        "|---|---|---|---|---|",
    ]
    for name, number in Measure.items():
        found = _made(number)
        if found is not None:
            short = name.removeprefix("MEASURE_")
            lines.append(
                f"| `{short}` | {measures[name]} | {_formula(number, found)} | {_source(found)}"
                f" | {_UNITS[found.kind]} |"
            )
    lines += (
        ["", "## By what", "", dimensions[""], ""] if dimensions[""] else ["", "## By what", ""]
    )
    lines += ["| dimension | what it is | column |", "|---|---|---|"]
    for name, value in Dimension.items():
        if value:
            short, told = name.removeprefix("DIMENSION_"), dimensions[name]
            where = (COLUMNS | CREDITED)[value]
            lines.append(f"| `{short}` | {told or _plain(short)} | `{where}` |")
    lines += ["", "## To which message a conversion belongs", ""]
    lines += ["| attribution | what it is |", "|---|---|"]
    for name, attribution in Attribution.items():
        if attribution:
            short = name.removeprefix("ATTRIBUTION_")
            lines.append(f"| `{short}` | {enums['Attribution'][name]} |")
    return "\n".join([*lines, ""])


def _comments(contract: str) -> dict[str, dict[str, str]]:
    """Comments of enums and their values, in one line each; of the enum itself under ``."""
    found: dict[str, dict[str, str]] = {}
    comment: list[str] = []
    enum = ""
    for line in contract.splitlines():
        text = line.strip()
        if text.startswith("//"):
            comment.append(text.removeprefix("//").strip())
            continue
        if opened := re.fullmatch(r"enum (\w+) \{", text):
            enum = opened[1]
            found[enum] = {"": " ".join(comment)}
        elif value := re.match(r"(\w+) = \d+;", text):
            found[enum][value[1]] = " ".join(comment)
        comment = []
    return found


def _made(number: int) -> Made | None:
    """As it is unless something else is asked for."""
    return made(number, Attribution.ATTRIBUTION_LAST_TOUCH) or made(
        number, Attribution.ATTRIBUTION_FIRST_TOUCH_AD
    )


def _formula(number: int, found: Made) -> str:
    told = _of(found)
    for words, attribution in (
        ("by any touch", Attribution.ATTRIBUTION_ANY_TOUCH),
        ("by ad", Attribution.ATTRIBUTION_FIRST_TOUCH_AD),
    ):
        other = made(number, attribution)
        if other is not None and other != found:
            told += f"; {words} {_of(other)}"
    return told


def _of(found: Made) -> str:
    part = f"`{found.part}`"
    if found.kind == "median":
        return f"median of {part}"
    if found.kind == "frequency":
        return f"{part} ÷ `{found.whole}` ÷ weeks"
    return part if found.whole is None else f"{part} ÷ `{found.whole}`"


def _source(found: Made) -> str:
    if found.part in BASE:
        return _FROM[found.part]
    if found.part in ADS:
        return _ARRIVALS
    if PEOPLE & set(found.columns):
        return _FACTS
    return f"{_SUMS}; by other definitions {_GOALS}" if SALES & set(found.columns) else _SUMS


def _plain(name: str) -> str:
    return f"The {name.lower().replace('_', ' ')}."


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} written\n")
