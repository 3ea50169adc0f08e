"""One person: what was sent or not, and the chain that led to each message. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from services.reports.dashboard import parts
from services.reports.dashboard.look import Look
from services.reports.dashboard.markup import Child, Safe, join, tag
from services.reports.dashboard.pages.overview import campaign_address
from services.reports.dashboard.pages.recipients import contact_address, short
from services.reports.dashboard.people import Person
from services.reports.words import Speech


class Why(NamedTuple):
    """One link in the chain that led to a message."""

    time: datetime | None
    kind: str
    """`event`, `segment`, `trigger`, `journey`, `campaign`, `gate`, `attempt`, `status`."""
    label: str
    outcome: str
    reason: str


class Happening(NamedTuple):
    """One thing on a contact's timeline."""

    time: datetime
    name: str
    """Of the event, as expressions know it."""
    campaign_id: str
    campaign: str
    """What people call it."""
    template: str
    variant: str
    detail: str
    """A gate or Meta's code, where there is one."""
    why: Sequence[Why]


def finder(say: Speech, missing: bool) -> Safe:
    """A form that finds a person by phone number or id; neither ends up in an address."""
    return join(
        tag("h1", say("contacts")),
        tag("p", say("contacts_hint"), class_="hint"),
        tag("p", say("nobody"), role="alert", class_="alert") if missing else "",
        tag(
            "form",
            tag(
                "div",
                tag("label", say("phone_or_id"), for_="who"),
                tag("input", id="who", name="who", required=True, autocomplete="off"),
            ),
            tag("button", say("search")),
            method="post",
            action="/contacts",
            role="search",
            class_="chooser",
        ),
    )


def contact(
    say: Speech,
    look: Look,
    contact_id: str,
    person: Person | None,
    found: Sequence[Happening],
    onward: str,
    fold_time: datetime,
    now: datetime,
) -> Safe:
    """Everything that happened, the latest first. `person`: masked, where its reader may not."""
    about = [
        (say("contact"), tag("code", short(contact_id))),
        (say("phone"), (person and person.phone) or "–"),
        (say("name"), (person and person.name) or "–"),
    ]
    items = [_item(say, one) for one in found]
    path = contact_address(contact_id)
    return join(
        tag("p", tag("a", f"← {say('contacts')}", href="/contacts")),
        tag("h1", say("contact")),
        parts.fresh(say, fold_time, now),
        parts.figures(*(parts.figure(k, v) for k, v in about), about=True),
        parts.section(
            say("timeline"),
            tag("ol", *items, class_="timeline") if items else tag("p", say("nothing")),
            hint=say("timeline_hint"),
        ),
        parts.pager(say, look.address(path) if look.place else "", onward),
    )


def _item(say: Speech, one: Happening) -> Safe:
    about: list[Child] = []
    if one.campaign_id:
        link = tag(
            "a", one.campaign or short(one.campaign_id), href=campaign_address(one.campaign_id)
        )
        about.append(join(say("campaign"), " ", link))
    about += [words for words in (one.template, one.variant) if words]
    if one.detail:
        reason = say.code(int(one.detail)) if one.detail.isdecimal() else say.gate(one.detail)
        about.append(join(reason, " ", tag("code", one.detail)))
    line = join(*(join(" · " if n else "", words) for n, words in enumerate(about)))
    return tag(
        "li",
        tag("time", say.moment(one.time), datetime=one.time.isoformat()),
        tag("div", tag("strong", say.event(one.name)), tag("small", line) if about else ""),
        _chain(say, one.why),
    )


def _chain(say: Speech, why: Sequence[Why]) -> Safe:
    if not why:
        return Safe()
    steps = [
        tag(
            "li",
            tag("strong", say(f"why.{step.kind}") if step.kind in WHYS else step.kind),
            f" {step.label}" if step.label else "",
            f": {say.word(step.outcome)}" if step.outcome else "",
            f" – {say.reason(step.kind, step.reason)}" if step.reason else "",
            tag("small", say.moment(step.time)) if step.time else "",
        )
        for step in why
    ]
    return tag("details", tag("summary", say("why")), tag("ol", *steps, class_="why"))


WHYS: Final = frozenset(
    {"event", "segment", "trigger", "journey", "campaign", "gate", "attempt", "status"}
)
