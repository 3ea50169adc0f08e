"""What pages are made of: figures, funnels, tables, choices, and how fresh all that is. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from services.reports.dashboard.charts import Bar, axis, bar, columns
from services.reports.dashboard.figures import Figure, Line
from services.reports.dashboard.look import DAYS, FILTERS, Look
from services.reports.dashboard.markup import Child, Safe, join, table, tag
from services.reports.funnel import rate
from services.reports.words import Speech
from services.reports.words.kinds import is_bad

_LONG: Final = 9
"""Characters of a figure that fit side by side on a phone."""
_STILL: Final = 0.001
"""A change smaller than this is none."""


def fresh(say: Speech, fold_time: datetime, now: datetime) -> Safe:
    """Until when everything is counted."""
    lag = max((now - fold_time).total_seconds(), 0)
    words = say("fresh", time=say.clock(fold_time), lag=say.number(round(lag)))
    return tag("p", tag("time", words, datetime=fold_time.isoformat()), class_="fresh")


def figure(name: str, value: Child, note: Child = "") -> Safe:
    """A number with its name, and a note below."""
    long = "long" if not isinstance(value, Safe) and len(str(value)) > _LONG else None
    return tag(
        "div", tag("dt", name), tag("dd", value, tag("small", note) if note else "", class_=long)
    )


def figures(*each: Safe, about: bool = False) -> Safe:
    """Numbers side by side."""
    return tag("dl", *each, class_="figures about" if about else "figures")


def measured(say: Speech, key: str, line: Line, note: str = "") -> Safe:
    """A measure, and how it changed."""
    found = line[key]
    shown = say.measure(key, found.value, line.currency)
    return figure(
        say(f"measure.{key}"),
        shown,
        join(note, " " if note else "", change(say, key, found, line.currency)),
    )


def change(say: Speech, key: str, found: Figure, currency: str = "") -> Safe:
    """How a figure changed; nothing where nothing is known of before."""
    if found.change is None:
        return Safe()
    before = say.measure(key, found.previous, currency)
    if abs(found.change) < _STILL:
        return tag("span", say("same_as_before", before=before), class_="change")
    rose = found.change > 0
    better = rose != is_bad(key)
    word = say("up" if rose else "down", share=say.percent(abs(found.change)), before=before)
    kind = (
        "change" if key in ("cost", "sent", "planned") else f"change {'good' if better else 'bad'}"
    )
    arrow = tag("span", "▲" if rose else "▼", aria_hidden="true")
    return tag("span", arrow, " ", word, class_=kind)


def rated(say: Speech, part: int, whole: int) -> Safe:
    """A number with the share it is."""
    return join(say.number(part), tag("small", percent(say, part, whole)))


def share(say: Speech, part: int, whole: int) -> Safe:
    """A share as a bar."""
    return join(bar(part / whole if whole else 0), tag("small", percent(say, part, whole)))


def percent(say: Speech, part: int, whole: int) -> str:
    """A share; a dash of nothing."""
    found = rate(part, whole)
    return say.percent(found.value if found else None)


def likely(say: Speech, found: Figure) -> Safe:
    """A rate with where it lies with 95 % certainty."""
    if found.value is None or found.lower is None or found.upper is None:
        return tag("span", "–")
    words = say("between", lower=say.percent(found.lower), upper=say.percent(found.upper))
    return join(say.percent(found.value), tag("small", words))


def or_nothing(
    say: Speech,
    caption: str,
    heads: list[Child],
    rows: list[list[Child]],
    numbers: int = 1,
    sorts: list[str] | None = None,
    nothing: str = "nothing",
) -> Safe:
    """A table, or that there is nothing. `nothing`: the key of the words for that."""
    if not rows:
        return tag("p", say(nothing), class_="hint")
    return table(caption, heads, rows, numbers, sorts)


def section(title: str, *children: Child, hint: str = "") -> Safe:
    """A part of a page under a heading."""
    return join(tag("h2", title), tag("p", hint, class_="hint") if hint else "", *children)


def day_chart(say: Speech, look: Look, key: str, lines: Sequence[Line]) -> Safe:
    """A measure over the period as columns, with the period before and a table of the numbers."""
    starts = list(buckets(look))
    known: Mapping[datetime | None, Line] = {one.start: one for one in lines}
    rows: list[list[Child]] = []
    bars: list[Bar] = []
    for start in starts:
        found = known[start][key] if start in known else Figure()
        label = say.bucket(start, look.grain)
        value = say.measure(key, found.value or 0)
        bars.append(
            Bar(
                f"{label}: {value}",
                found.value or 0,
                (found.previous or 0) if look.compare else None,
            )
        )
        row: list[Child] = [label, value]
        rows.append([*row, say.measure(key, found.previous or 0)] if look.compare else row)
    title = say(f"measure.{key}")
    total = sum(one.value for one in bars)
    says = say("chart_desc", count=say.number(len(bars)), total=say.measure(key, total))
    heads: list[Child] = [say("time"), title, *([say("before")] if look.compare else [])]
    return tag(
        "figure",
        tag("figcaption", title, tag("strong", say.measure(key, total))),
        columns(f"chart-{key}", title, says, bars),
        axis(
            say.bucket(starts[0], look.grain),
            say("highest", value=say.measure(key, max(one.value for one in bars))),
            say.bucket(starts[-1], look.grain),
        ),
        as_table(say, title, heads, rows),
        class_="card",
    )


def as_table(say: Speech, caption: str, heads: list[Child], rows: list[list[Child]]) -> Safe:
    """The numbers of a chart, to be opened."""
    return tag("details", tag("summary", say("as_table")), table(caption, heads, rows))


def buckets(look: Look) -> Iterable[datetime]:
    """Where the hours, days, weeks or months of a look begin."""
    zone = ZoneInfo(look.period.zone)
    local = look.period.start.astimezone(zone).replace(
        minute=0, second=0, microsecond=0, tzinfo=None
    )
    if look.grain != "hour":
        local = local.replace(hour=0)
    if look.grain == "week":
        local -= timedelta(days=local.weekday())
    if look.grain == "month":
        local = local.replace(day=1)
    steps = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
    while (moment := local.replace(tzinfo=zone)) < look.period.end:
        yield moment
        local += steps.get(look.grain, timedelta(days=32))
        if look.grain == "month":
            local = local.replace(day=1)


def goal_chooser(say: Speech, look: Look, path: str) -> Safe:
    """What counts as success, as a form of its own; nothing where there are orders alone."""
    if not look.goals:
        return Safe()
    field, button = _goal(say, look), tag("button", say("show"))
    named = say("goal")
    form = tag("form", field, button, method="get", action=path, class_="chooser", aria_label=named)
    return join(form, _goal_note(say, look))


def _goal_note(say: Speech, look: Look) -> Safe:
    """What is counted where pages tell of orders."""
    name = dict(look.goals).get(look.goal)
    return tag("p", say("goal_note", what=name), class_="hint") if name else Safe()


def _goal(say: Speech, look: Look) -> Safe:
    options = [
        tag("option", name, value=value, selected=value == look.goal)
        for value, name in (("", say("orders")), *look.goals)
    ]
    return _field(say("goal"), "goal", tag("select", *options, id="goal", name="goal"))


def chooser(
    say: Speech, look: Look, path: str, *, filters: bool = True, goals: bool = False
) -> Safe:
    """Period, comparison and filters, as a form that works without a script. `goals`: also what
    counts as success, where there is more than orders."""
    last = look.period.end - timedelta(microseconds=1)
    zone = ZoneInfo(look.period.zone)
    moments = (("from", look.period.start), ("to", last))
    days = [(name, moment.astimezone(zone).date().isoformat()) for name, moment in moments]
    period = tag(
        "select",
        *(
            tag("option", say(f"period.{one}"), value=one, selected=one == look.preset)
            for one in (*DAYS, "custom")
        ),
        id="period",
        name="period",
    )
    fields = [
        *(
            _field(
                say(name),
                name,
                tag(
                    "input",
                    type="date",
                    id=name,
                    name=name,
                    value=day,
                ),
            )
            for name, day in days
        ),
    ]
    if filters:
        options = [tag("option", say("filter_none"), value="")]
        options += [tag("option", say(f"by.{one}"), value=one) for one in FILTERS]
        fields += [
            _field(say("filter"), "filter", tag("select", *options, id="filter", name="filter")),
            _field(say("value"), "value", tag("input", id="value", name="value", maxlength=200)),
        ]
    compare = tag(
        "select",
        tag("option", say("compare_yes"), value="yes", selected=look.compare),
        tag("option", say("compare_no"), value="no", selected=not look.compare),
        id="compare",
        name="compare",
    )
    kept = [
        tag("input", type="hidden", name=name, value=value)
        for name, values in (
            *look.filters,
            *((n, (getattr(look, n),)) for n in ("search", "sort", "by")),
            *([] if goals and look.goals else [("goal", (look.goal,))]),
        )
        for value in values
        if value
    ]
    kept.append(tag("input", type="hidden", name="shown", value="/".join(day for _, day in days)))
    unusual = look.preset == "custom" or look.filters or not look.compare
    more = tag(
        "details",
        tag("summary", say("more")),
        tag("div", *fields, _field(say("compare"), "compare", compare)),
        class_="more",
        open=bool(unusual),
        data_open=bool(unusual),
    )
    form = tag(
        "form",
        _field(say("period"), "period", period),
        _goal(say, look) if goals and look.goals else "",
        more,
        *kept,
        tag("button", say("show")),
        method="get",
        action=path,
        class_="chooser",
        aria_label=say("what_to_show"),
    )
    note = _goal_note(say, look) if goals else ""
    return join(form, note, _chosen(say, look, path))


def _chosen(say: Speech, look: Look, path: str) -> Safe:
    """The filters that hold, each to be taken away."""
    chosen = [
        tag(
            "li",
            tag(
                "a",
                f"{said} ",
                tag("span", "×", aria_hidden="true"),
                href=look.address(path, filters=look.without(name, value)),
                aria_label=say("take_away", what=said),
            ),
        )
        for name, values in look.filters
        for value in values
        for said in (f"{say(f'by.{name}')}: {_called(say, look, name, value)}",)
    ]
    return tag("ul", *chosen, class_="chips", aria_label=say("filters")) if chosen else Safe()


def _called(say: Speech, look: Look, name: str, value: str) -> str:
    words = {"market": say.market, "category": say.category}.get(name)
    return words(value) if words else look.names.get((name, value), value)


def _field(label: str, name: str, control: Safe) -> Safe:
    return tag("div", tag("label", label, for_=name), control)


def tabs(links: Sequence[tuple[str, str, bool]], label: str) -> Safe:
    """Views of the same thing: name, address, whether it is this one."""
    return tag(
        "nav",
        tag(
            "ul",
            *(
                tag("li", tag("a", name, href=address, aria_current="page" if here else None))
                for name, address, here in links
            ),
            class_="tabs",
        ),
        aria_label=label,
    )


def pager(say: Speech, back: str, onward: str) -> Safe:
    """Where the list begins, and where it goes on."""
    if not back and not onward:
        return Safe()
    return tag(
        "nav",
        tag("a", say("first_page"), href=back) if back else "",
        tag("a", say("next_page"), href=onward, rel="next") if onward else "",
        class_="pager",
        aria_label=say("pages"),
    )


def sortable(
    look: Look, path: str, keys: Sequence[tuple[str, str]], usual: str
) -> tuple[list[Child], list[str]]:
    """Heads of columns by which a list is ordered: (key, words); the key empty where it is not."""
    heads: list[Child] = []
    sorts: list[str] = []
    now = look.sort or usual
    for key, words in keys:
        turned = now.removeprefix("-") == key
        if not key:
            heads.append(words)
            sorts.append("")
            continue
        address = look.address(path, sort=key if now == f"-{key}" else f"-{key}")
        arrow = " ▼" if now == f"-{key}" else " ▲"
        heads.append(
            tag("a", words, tag("span", arrow, aria_hidden="true") if turned else "", href=address)
        )
        sorts.append(("descending" if now[0] == "-" else "ascending") if turned else "")
    return heads, sorts
