"""Recipients of a campaign one by one, each with the reason where it did not arrive. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

from services.reports.dashboard import parts
from services.reports.dashboard.look import Look
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.dashboard.pages.overview import campaign_address
from services.reports.dashboard.reading import OUTCOMES, Recipient
from services.reports.model import CampaignState
from services.reports.words import Speech

PAGE: Final = 50


def recipients(
    say: Speech,
    look: Look,
    of: CampaignState,
    found: Sequence[Recipient],
    onward: str,
    fold_time: datetime,
    now: datetime,
) -> Safe:
    """A page of them. `onward`: where the list goes on."""
    path = f"{campaign_address(of.campaign_id)}/recipients"
    name = of.name or of.campaign_id
    links = [(say("all"), look.address(path, by=""), not look.by)]
    links += [(say(f"outcome.{o}"), look.address(path, by=o), look.by == o) for o in OUTCOMES]
    rows: list[list[Child]] = [
        [
            tag("a", short(one.contact_id), href=contact_address(one.contact_id))
            if one.contact_id
            else "–",
            say(f"outcome.{one.outcome}"),
            _reason(say, one),
            one.variant or "–",
            one.template or "–",
            say.moment(one.time),
        ]
        for one in found
    ]
    keys = ("contact", "outcome", "reason", "variant", "template", "time")
    return join(
        tag("p", tag("a", f"← {name}", href=campaign_address(of.campaign_id))),
        tag("h1", say("recipients_of", name=name)),
        parts.fresh(say, fold_time, now),
        parts.tabs(links, say("outcomes")),
        parts.or_nothing(say, say("recipients"), [say(k) for k in keys], rows, numbers=99),
        parts.pager(say, look.address(path) if look.place else "", onward),
    )


def contact_address(contact_id: str) -> str:
    """Where a contact's page is."""
    return f"/contacts/{quote(contact_id, safe='')}"


def short(contact_id: str) -> str:
    """An id as people can tell it from others."""
    return contact_id if len(contact_id) <= 18 else f"{contact_id[:8]}…{contact_id[-6:]}"


def _reason(say: Speech, one: Recipient) -> Child:
    if one.outcome == "suppressed":
        return join(say.gate(one.gate), " ", tag("small", tag("code", one.gate)))
    if one.outcome == "failed":
        return join(say.code(one.code), " ", tag("small", tag("code", str(one.code))))
    return "–"
