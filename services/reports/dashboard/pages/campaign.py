"""One campaign: what came of it, which variant does best, when, what it cost, why not. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from services.reports.dashboard import parts
from services.reports.dashboard.charts import bar, interval
from services.reports.dashboard.figures import Figure, Line
from services.reports.dashboard.look import Look
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.dashboard.pages.campaigns import state
from services.reports.dashboard.pages.experiment import Judged, comparison
from services.reports.dashboard.pages.heat import heat_map
from services.reports.dashboard.pages.insights import Insight, insights
from services.reports.dashboard.pages.overview import campaign_address
from services.reports.funnel import Outcome, Rate, rate
from services.reports.ledger import CampaignReport, VariantFigures
from services.reports.words import Speech

COSTS: Final = (
    *("sent", "billable", "cost", "cost_per_delivered", "cost_per_read"),
    *("cost_per_reply", "cost_per_click"),
)
_OUTCOMES: Final[tuple[Outcome, ...]] = (
    *("read", "delivered", "sent", "pending", "failed"),
    *("unknown", "suppressed", "held_out", "cancelled"),
)


class Campaign(NamedTuple):
    """What the page shows."""

    report: CampaignReport
    lifts: Sequence[tuple[str, Figure]]
    """By measure, of those held out."""
    insights: Sequence[Insight]
    judged: Judged | None
    """By its experiment, if it has one."""
    heat: Mapping[tuple[int, int], Figure]
    costs: Sequence[Line]


def campaign(say: Speech, look: Look, found: Campaign, manager: bool, now: datetime) -> Safe:
    """Funnel, variants, best hours, cost, and where every recipient stands."""
    report = found.report
    told, tally = report.state, report.total.tally
    about = [
        (say("state"), state(say, told.state)),
        (say("audience"), say.number(told.audience) if told.audience else "–"),
        (say("launched"), say.moment(told.launch_time)),
        (say("measure.cost"), say.amounts(tally.costs)),
        (say("orders"), say.number(tally.orders)),
        (say("measure.cost_per_conversion"), _each(say, tally.costs, tally.orders)),
        (say("measure.revenue"), say.amounts(tally.revenues)),
    ]
    return join(
        tag("h1", told.name or told.campaign_id),
        parts.fresh(say, report.fold_time, now),
        parts.goal_chooser(say, look, campaign_address(told.campaign_id)),
        parts.figures(*(parts.figure(k, v) for k, v in about), about=True),
        _report_files(say, told.campaign_id) if manager else "",
        insights(say, found.insights),
        parts.section(say("funnel"), _funnel(say, report.total), hint=say("funnel_hint")),
        parts.section(say("variants"), _variants(say, report.variants), hint=say("variants_hint")),
        comparison(say, found.judged),
        _lifts(say, found.lifts),
        parts.section(say("heat"), heat_map(say, "read_rate", found.heat), hint=say("heat_hint")),
        parts.section(say("costs"), _costs(say, found.costs)),
        _outcomes(say, report),
        _reasons(say, report),
        parts.section(say("sales"), _sales(say, report.variants), hint=say("sales_hint")),
    )


def _each(say: Speech, amounts: Mapping[str, int], count: int) -> str:
    """What one of so many cost."""
    return (
        say.amounts({currency: round(n / count) for currency, n in amounts.items()})
        if count
        else "–"
    )


def _report_files(say: Speech, campaign_id: str) -> Safe:
    buttons = [
        tag("button", say("as_file", format=format_), name="format", value=format_.lower())
        for format_ in ("PDF", "PNG", "XLSX", "CSV")
    ]
    kept = tag("input", type="hidden", name="campaign", value=campaign_id)
    return tag("form", kept, *buttons, method="post", action="/exports", class_="files")


def _funnel(say: Speech, figures: VariantFigures) -> Safe:
    tally = figures.tally
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
    rows = [
        tag(
            "li",
            tag("span", say(f"measure.{key}"), class_="name"),
            bar(n / tally.recipients if tally.recipients else 0),
            tag("span", say.number(n), class_="value"),
            tag("span", parts.percent(say, n, tally.recipients), class_="rate"),
        )
        for key, n in steps
    ]
    return tag("ol", *rows, class_="funnel card")


def _variants(say: Speech, variants: Sequence[VariantFigures]) -> Safe:
    keys = ("planned", "sent", "delivered", "read", "clicked", "replied", "converted", "failed")
    heads: list[Child] = [say("variant"), say("template")]
    heads += [say("recipients"), *(say(f"measure.{k}") for k in keys[1:]), say("measure.cost")]
    rates: list[list[Rate | None]] = [
        [
            rate(t.delivered, t.sent),
            *(rate(n, t.delivered) for n in (t.read, t.clicked, t.replied, t.converted)),
        ]
        for t in (v.tally for v in variants)
    ]
    most = [max((r.upper for r in column if r), default=1.0) for column in zip(*rates, strict=True)]
    rows: list[list[Child]] = [
        [
            v.variant or say("no_variant"),
            v.template,
            say.number(v.tally.recipients),
            say.number(v.tally.sent),
            *(
                _interval(say, part, found, scale)
                for part, found, scale in zip(
                    (
                        v.tally.delivered,
                        v.tally.read,
                        v.tally.clicked,
                        v.tally.replied,
                        v.tally.converted,
                    ),
                    ours,
                    most,
                    strict=True,
                )
            ),
            say.number(v.tally.outcomes["failed"]),
            say.amounts(v.tally.costs),
        ]
        for v, ours in zip(variants, rates, strict=True)
    ]
    return parts.or_nothing(say, say("variants"), heads, rows, numbers=2)


def _interval(say: Speech, part: int, found: Rate | None, most: float) -> Safe:
    """A number, its rate, and where that lies with 95 % certainty."""
    if found is None:
        return join(say.number(part), tag("small", "–"))
    words = say("between", lower=say.percent(found.lower), upper=say.percent(found.upper))
    return join(
        say.number(part),
        tag("small", f"{say.percent(found.value)} · {words}"),
        interval(found.lower, found.value, found.upper, most or 1),
    )


def _lifts(say: Speech, lifts: Sequence[tuple[str, Figure]]) -> Safe:
    if not lifts:
        return Safe()
    rows: list[list[Child]] = [
        [say(f"measure.{key}"), say.signed(found.value), _range(say, found), say.number(found.of)]
        for key, found in lifts
    ]
    heads: list[Child] = [say("measure"), say("lift"), say("interval"), say("held_out_people")]
    return parts.section(
        say("lifts"), parts.or_nothing(say, say("lifts"), heads, rows), hint=say("lifts_hint")
    )


def _range(say: Speech, found: Figure) -> str:
    if found.lower is None or found.upper is None:
        return "–"
    return say("between", lower=say.signed(found.lower), upper=say.signed(found.upper))


def _costs(say: Speech, lines: Sequence[Line]) -> Safe:
    heads: list[Child] = [say("by.market"), say("by.category")]
    heads += [say(f"measure.{key}") for key in COSTS]
    rows: list[list[Child]] = [
        [
            say.market(line.names[0].value),
            say.category(line.names[1].value),
            *(say.measure(key, line[key].value, line.currency) for key in COSTS),
        ]
        for line in sorted(lines, key=lambda one: -(one["cost"].value or 0))
    ]
    return parts.or_nothing(say, say("costs"), heads, rows, numbers=2)


def _outcomes(say: Speech, report: CampaignReport) -> Safe:
    tally = report.total.tally
    address = f"{campaign_address(report.state.campaign_id)}/recipients"
    rows: list[list[Child]] = [
        [
            tag("a", say(f"outcome.{o}"), href=f"{address}?by={o}"),
            say.number(n),
            parts.share(say, n, tally.recipients),
        ]
        for o in _OUTCOMES
        if (n := tally.outcomes[o])
    ]
    heads: list[Child] = [say("outcome"), say("recipients"), say("share")]
    return parts.section(
        say("outcomes"),
        parts.or_nothing(say, say("outcomes"), heads, rows),
        tag("p", tag("a", say("all_recipients"), href=address)),
        hint=say("outcomes_hint", total=say.number(tally.recipients)),
    )


def _reasons(say: Speech, report: CampaignReport) -> Safe:
    tally = report.total.tally
    gates = [(say.gate(name), name, n) for name, n in tally.gates.items()]
    codes = [(say.code(code), str(code), n) for code, n in tally.codes.items()]
    return join(
        _ranked(say, "gates", gates, tally.outcomes["suppressed"]),
        _ranked(say, "codes", codes, tally.outcomes["failed"]),
    )


def _ranked(say: Speech, title: str, reasons: list[tuple[str, str, int]], whole: int) -> Safe:
    if not reasons:
        return Safe()
    rows: list[list[Child]] = [
        [
            join(words, " ", tag("small", tag("code", name))),
            say.number(n),
            parts.share(say, n, whole),
        ]
        for words, name, n in sorted(reasons, key=lambda r: (-r[2], r[1]))
    ]
    heads: list[Child] = [say("reason"), say("messages"), say("share")]
    return parts.section(say(title), parts.or_nothing(say, say(title), heads, rows))


def _sales(say: Speech, variants: Sequence[VariantFigures]) -> Safe:
    rows: list[list[Child]] = [
        [
            v.variant or say("no_variant"),
            v.template,
            say.number(v.tally.orders),
            parts.rated(say, v.tally.converted, v.tally.delivered),
            say.amounts(v.tally.revenues),
        ]
        for v in variants
    ]
    heads: list[Child] = [say(k) for k in ("variant", "template", "orders")]
    heads += [say("measure.converted"), say("measure.revenue")]
    return parts.or_nothing(say, say("sales"), heads, rows, numbers=2)
