"""The first page: a period at a glance, beside the one before. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import quote

from services.reports.dashboard import parts
from services.reports.dashboard.figures import Line
from services.reports.dashboard.look import Look
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.dashboard.pages.insights import Insight, insights
from services.reports.words import Speech

COUNTS: Final = (
    *("sent", "delivered", "read", "clicked", "replied", "converted", "opted_out", "failed"),
    *("delivery_rate", "read_rate", "click_rate", "reply_rate", "conversion_rate"),
    *("opt_out_rate", "failure_rate"),
)
MONEY: Final = ("cost", "revenue", "return", "cost_per_conversion")
OF_ADS: Final = ("ad_arrivals", "converted", "conversion_rate")
_MOST_ADS: Final = 10
BY_DAY: Final = ("sent", "read", "replied", "converted")
_RATES: Final = {
    "delivered": "delivery_rate",
    "read": "read_rate",
    "clicked": "click_rate",
    "replied": "reply_rate",
    "converted": "conversion_rate",
    "opted_out": "opt_out_rate",
    "failed": "failure_rate",
}


class Glance(NamedTuple):
    """What the page shows."""

    total: Line
    money: Sequence[Line]
    days: Sequence[Line]
    campaigns: Sequence[Line]
    """Those that sent most."""
    fold_time: datetime
    insights: Sequence[Insight]
    open_alerts: int
    ads: Sequence[Line] = ()
    """By ad, those by which most came first."""
    worth: Sequence[Line] = ()
    """The same, by currency."""


def overview(say: Speech, look: Look, glance: Glance, now: datetime) -> Safe:
    """Main measures, what stands out, the course of the period, the largest campaigns."""
    counts = [
        parts.measured(say, key, glance.total, _rate(say, glance.total, key))
        for key in COUNTS
        if not key.endswith("_rate")
    ]
    money = [
        parts.measured(say, key, line)
        for line in glance.money
        for key in MONEY
        if line[key].value and line.currency
    ]
    return join(
        tag("h1", say("overview")),
        parts.fresh(say, glance.fold_time, now),
        parts.chooser(say, look, "/", goals=True),
        _alarm(say, glance.open_alerts),
        parts.figures(*counts, *money),
        insights(say, glance.insights),
        parts.section(
            say("course"),
            tag(
                "div",
                *(parts.day_chart(say, look, key, glance.days) for key in BY_DAY),
                class_="grid wide",
            ),
            hint=say("course_hint") if look.compare else "",
        ),
        parts.section(say("largest_campaigns"), _campaigns(say, look, glance.campaigns)),
        _ads(say, glance),
    )


def _rate(say: Speech, total: Line, key: str) -> str:
    rate = _RATES.get(key)
    return say.percent(total[rate].value) if rate else ""


def _alarm(say: Speech, count: int) -> Safe:
    if not count:
        return Safe()
    words = say("open_alerts", count=say.number(count))
    return tag("p", tag("a", words, href="/alerts"), class_="alert card")


def _campaigns(say: Speech, look: Look, lines: Sequence[Line]) -> Safe:
    keys = ("sent", "delivery_rate", "read_rate", "click_rate", "reply_rate", "converted")
    rows: list[list[Child]] = [
        [
            tag("a", line.names[0].label, href=campaign_address(line.names[0].value)),
            *(say.measure(key, line[key].value) for key in keys),
        ]
        for line in lines
        if line.names[0].value
    ]
    heads: list[Child] = [say("campaign"), *(say(f"measure.{key}") for key in keys)]
    return join(
        parts.or_nothing(say, say("largest_campaigns"), heads, rows),
        tag("p", tag("a", say("all_campaigns"), href=look.address("/campaigns"))),
    )


def _ads(say: Speech, glance: Glance) -> Safe:
    """By which ads people came; nothing where nobody did."""
    if not glance.ads:
        return Safe()
    worth: dict[str, dict[str, int]] = {}
    for line in glance.worth:
        amounts = worth.setdefault(line.names[0].value, {})
        amounts[line.currency] = round((line["revenue"].value or 0) * 1_000_000)
    rows: list[list[Child]] = [
        [
            line.names[0].label,
            say.measure("ad_arrivals", line["ad_arrivals"].value),
            say.measure("converted", line["converted"].value),
            parts.likely(say, line["conversion_rate"]),
            say.amounts(worth.get(line.names[0].value, {})),
        ]
        for line in glance.ads[:_MOST_ADS]
    ]
    heads: list[Child] = [say("by.ad"), *(say(f"measure.{key}") for key in OF_ADS)]
    heads.append(say("measure.revenue"))
    table = parts.or_nothing(say, say("ads"), heads, rows)
    return parts.section(say("ads"), table, hint=say("ads_hint"))


def campaign_address(campaign_id: str) -> str:
    """Where a campaign's page is."""
    return f"/campaigns/{quote(campaign_id, safe='')}"
