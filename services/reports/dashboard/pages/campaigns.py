"""Campaigns, as they are searched and ordered. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from services.reports.dashboard import parts
from services.reports.dashboard.look import Look
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.dashboard.pages.overview import campaign_address
from services.reports.ledger import CampaignLine
from services.reports.words import Speech

USUAL: Final = "-changed"
_COLUMNS: Final = ("name", "state", "planned", "sent", "delivered", "read", "clicked", "replied")


def campaigns(
    say: Speech,
    look: Look,
    lines: Sequence[CampaignLine],
    onward: str,
    fold_time: datetime,
    now: datetime,
) -> Safe:
    """The campaigns, each with its funnel in short. `onward`: where the list goes on."""
    words = {"name": say("campaign"), "state": say("state"), "planned": say("recipients")}
    named = [(key, words.get(key) or say(f"measure.{key}")) for key in _COLUMNS]
    named += [("failed", say("measure.failed")), ("converted", say("measure.converted"))]
    named += [("changed", say("changed"))]
    heads, sorts = parts.sortable(look, "/campaigns", named, USUAL)
    rows: list[list[Child]] = [
        [
            tag(
                "a",
                line.state.name or line.state.campaign_id,
                href=campaign_address(line.state.campaign_id),
            ),
            state(say, line.state.state),
            say.number(line.tally.recipients),
            say.number(line.tally.sent),
            parts.rated(say, line.tally.delivered, line.tally.sent),
            *(
                parts.rated(say, n, line.tally.delivered)
                for n in (line.tally.read, line.tally.clicked, line.tally.replied)
            ),
            say.number(line.tally.outcomes["failed"]),
            say.number(line.tally.orders),
            say.moment(line.state.change_time),
        ]
        for line in lines
    ]
    nothing = "nothing_found" if look.search else "nothing"
    return join(
        tag("h1", say("campaigns")),
        parts.fresh(say, fold_time, now),
        _search(say, look),
        parts.or_nothing(say, say("campaigns"), heads, rows, 2, sorts, nothing),
        parts.pager(say, look.address("/campaigns") if look.place else "", onward),
    )


def state(say: Speech, of: str) -> Safe:
    """The state of a campaign."""
    return tag("span", say.state(of), class_=f"state {of if of.isalpha() else ''}".strip())


def _search(say: Speech, look: Look) -> Safe:
    return tag(
        "form",
        tag(
            "div",
            tag("label", say("search_campaigns"), for_="search"),
            tag("input", id="search", name="search", type="search", value=look.search),
        ),
        tag("input", type="hidden", name="sort", value=look.sort) if look.sort else "",
        tag("button", say("search")),
        method="get",
        action="/campaigns",
        role="search",
        class_="chooser",
    )
