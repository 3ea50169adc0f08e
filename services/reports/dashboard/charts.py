"""Charts as SVG, made on the server. Each says in words what it shows, and stands beside its
numbers: nothing is told by the picture alone."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from services.reports.dashboard.markup import Safe, join, tag

_HEIGHT: Final = 100
_STEPS: Final = 9
"""Shades of a heat map."""


class Bar(NamedTuple):
    """One column of a chart."""

    label: str
    """What it is, and how much: what a pointer over it shows."""
    value: float
    previous: float | None = None


def bar(share: float) -> Safe:
    """A bar of `share` (0 to 1) of the width. For the eye alone: the number stands beside it."""
    width = round(max(0.0, min(share, 1.0)) * 100, 2)
    return tag(
        "svg",
        tag("rect", class_="track", width=100, height=10),
        tag("rect", class_="fill", width=width, height=10),
        class_="bar",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def columns(key: str, title: str, description: str, bars: Sequence[Bar]) -> Safe:
    """Columns side by side, with a step line of what was before. `key`: unique on the page."""
    highest = max([*(b.value for b in bars), *(b.previous or 0 for b in bars)], default=0) or 1
    drawn: list[Safe] = []
    for n, one in enumerate(bars):
        height = round(_HEIGHT * one.value / highest, 2)
        drawn.append(
            tag(
                "g",
                tag("title", one.label),
                # As high as the chart, so that a pointer finds even the smallest
                tag("rect", class_="hover", x=n * 10, y=0, width=10, height=_HEIGHT),
                tag("rect", class_="track", x=n * 10 + 1, y=_HEIGHT - 1, width=8, height=1),
                tag(
                    "rect",
                    class_="fill",
                    x=n * 10 + 1,
                    y=round(_HEIGHT - height, 2),
                    width=8,
                    height=height,
                ),
            )
        )
    if any(one.previous is not None for one in bars):
        path = " ".join(
            f"{'L' if n else 'M'}{n * 10} {y} L{n * 10 + 10} {y}"
            for n, y in enumerate(
                round(_HEIGHT - _HEIGHT * (one.previous or 0) / highest, 2) for one in bars
            )
        )
        drawn.append(tag("path", class_="before", d=path, vector_effect="non-scaling-stroke"))
    return tag(
        "svg",
        tag("title", title, id=f"{key}-title"),
        tag("desc", description, id=f"{key}-desc"),
        *drawn,
        class_="columns",
        viewBox=f"0 0 {max(len(bars), 1) * 10} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_labelledby=f"{key}-title",
        aria_describedby=f"{key}-desc",
    )


def interval(lower: float, value: float, upper: float, most: float) -> Safe:
    """Where a figure lies, and where it may lie, on a scale up to `most`. For the eye alone."""

    def place(share: float) -> float:
        return round(100 * max(0.0, min(share / most, 1.0)), 2)

    return tag(
        "svg",
        tag("rect", class_="track", y=4, width=100, height=2),
        tag("rect", class_="range", x=place(lower), y=3, width=place(upper - lower), height=4),
        tag("rect", class_="point", x=max(place(value) - 0.75, 0), y=0, width=1.5, height=10),
        class_="bar",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def shade(value: float, lowest: float, highest: float) -> int:
    """Which of the shades of a heat map a value has: 1 to 9."""
    if highest <= lowest:
        return 1
    return 1 + round((_STEPS - 1) * (value - lowest) / (highest - lowest))


def legend(low: str, high: str) -> Safe:
    """What the shades of a heat map mean."""
    shades = (tag("span", class_=f"heat-{n}") for n in range(1, _STEPS + 1))
    return tag("p", low, tag("span", *shades, class_="shades", aria_hidden="true"), high)


def axis(*labels: str) -> Safe:
    """What stands below a chart: where it begins, and where it ends."""
    return tag("p", *(join(tag("span", one)) for one in labels), class_="axis", aria_hidden="true")
