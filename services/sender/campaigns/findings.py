"""What stands in the way of a launch, or should be known before it. Pure."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from chassis.failures import Invalid
from expressions import Registry
from services.sender.model import Campaign, Number, Template
from services.sender.rules.rates import RateCard, card_at
from services.sender.wording.checking import check_variant

_SENDABLE: Final = frozenset({"APPROVED", "PAUSED"})  # what is paused comes back; a gate waits


class Severity(IntEnum):
    """How much it matters; the numbers are those of the contract's `PreflightFinding.Severity`."""

    INFO = 1
    WARNING = 2
    BLOCKER = 3


class Finding(NamedTuple):
    """One of them."""

    severity: Severity
    kind: str
    """A word for programs."""
    explanation: str
    """What is so, and what to do."""


def obstacles(
    campaign: Campaign,
    templates: Sequence[Template],
    numbers: Sequence[Number],
    cards: Sequence[RateCard],
    start: int,
) -> list[Finding]:
    """What is found without looking at anybody."""
    return [
        *_of_templates(campaign, templates),
        *_of_numbers(numbers, start),
        *_of_budget(campaign, cards, start),
        *_of_time(campaign, start),
    ]


def unfit(campaign: Campaign, templates: Sequence[Template], registry: Registry) -> list[Finding]:
    """Variants whose bindings do not fill their template any more: it was edited since."""
    found = []
    for index, variant in enumerate(campaign.variants):
        mine = [t for t in templates if t.name == variant.template and t.state != "DELETED"]
        try:
            check_variant(variant, mine, f"campaign.variants[{index}]", registry)
        except Invalid as failure:
            severity = Severity.BLOCKER if variant.weight else Severity.WARNING
            found.append(Finding(severity, "variables_unfit", f"{failure.message}; edit the draft"))
    return found


def of_audience(
    campaign: Campaign, segment_version: int, file_expires: int, start: int
) -> list[Finding]:
    """What is found of those whom it is for. `segment_version`: the one in force; `file_expires`:
    when the file is removed (ms), 0 for never."""
    found = []
    wanted = campaign.segment_version
    if wanted and wanted != segment_version:
        problem = f"version {wanted} of the segment is meant, and {segment_version} is in force"
        found.append(Finding(Severity.BLOCKER, "segment_version", f"{problem}; choose that"))
    if 0 < file_expires <= start:
        problem = "the file of the audience is removed before it starts; bring it anew, for longer"
        found.append(Finding(Severity.BLOCKER, "file_expires", problem))
    return found


def unsendable(campaign: Campaign, templates: Sequence[Template]) -> str:
    """A word for why nobody can be planned, as long as a variant's template can be sent in no
    language; empty when all can. Else everybody who draws it would be refused for good, for a
    template that Meta looks at again perhaps."""
    for variant in campaign.variants:
        states = sorted(t.state for t in templates if t.name == variant.template)
        if variant.weight and _SENDABLE.isdisjoint(states):
            return f"template_{states[0].lower() if states else 'unknown'}"
    return ""


def blockers(findings: Sequence[Finding]) -> list[Finding]:
    """Those that refuse a launch."""
    return [one for one in findings if one.severity == Severity.BLOCKER]


def _of_templates(campaign: Campaign, templates: Sequence[Template]) -> list[Finding]:
    found = []
    for variant in campaign.variants:
        mine = [one for one in templates if one.name == variant.template]
        states = {one.language: one.state for one in mine}
        approved = sorted(language for language, state in states.items() if state == "APPROVED")
        if not approved:
            severity = Severity.BLOCKER if variant.weight else Severity.WARNING
            told = ", ".join(f"{language} {state.lower()}" for language, state in states.items())
            kind = "template_paused" if "PAUSED" in states.values() else "template_unapproved"
            found.append(
                Finding(
                    severity,
                    kind,
                    f"{variant.template} of variant {variant.name} is approved in no language"
                    f" ({told or 'there is none'}); have it approved, or choose another",
                )
            )
        missing = [one for one in variant.fallback_languages if states.get(one) not in _SENDABLE]
        if missing:
            found.append(
                Finding(
                    Severity.WARNING,
                    "fallback_unusable",
                    f"{variant.template} cannot be sent in {', '.join(missing)}, which variant"
                    f" {variant.name} falls back to; have it approved",
                )
            )
    return found


def _of_numbers(numbers: Sequence[Number], start: int) -> list[Finding]:
    if not numbers:
        problem = "no business number of the account is registered; register one"
        return [Finding(Severity.BLOCKER, "number_missing", problem)]
    sending = [one for one in numbers if not one.paused and not one.restricted(start)]
    if not sending:
        problem = "every business number is paused or restricted; nothing leaves until one sends"
        return [Finding(Severity.BLOCKER, "number_unusable", problem)]
    if red := [one.phone_number_id for one in sending if one.quality_rating == "RED"]:
        problem = f"Meta rates the quality of {', '.join(red)} as red; it may soon be restricted"
        return [Finding(Severity.WARNING, "quality_red", problem)]
    return []


def _of_budget(campaign: Campaign, cards: Sequence[RateCard], start: int) -> list[Finding]:
    if not campaign.budget_currency:
        return []
    card = card_at(cards, campaign.waba_id, start)
    if card is None:
        problem = (
            "there is a budget but no rate card, so nobody can say that it is kept; upload one"
        )
        return [Finding(Severity.BLOCKER, "price_unknown", problem)]
    if card.currency != campaign.budget_currency:
        problem = f"the budget is in {campaign.budget_currency}, prices are in {card.currency}"
        return [Finding(Severity.BLOCKER, "budget_currency", f"{problem}; use that")]
    return []


def _of_time(campaign: Campaign, start: int) -> list[Finding]:
    if not campaign.not_after or campaign.not_after > start:
        return []
    problem = "nothing may be sent any more when it starts; move the deadline, or start earlier"
    return [Finding(Severity.BLOCKER, "deadline", problem)]
