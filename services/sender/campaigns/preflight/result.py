"""What the sums of a preflight mean: cost, tier, time to finish, findings. Pure but for messages of
the contract."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration

from merhaba.sender.v1 import (
    MarketEstimate,
    MissingVariable,
    Preflight,
    PreflightFinding,
    VariantReach,
)
from services.sender.campaigns.findings import Finding, Severity
from services.sender.campaigns.preflight.costs import Estimate, estimates
from services.sender.campaigns.preflight.finishing import Tier, days_over, delayed, last, tiers
from services.sender.campaigns.preflight.sums import Sums
from services.sender.model import DAY_MS, Campaign, Number
from services.sender.numbers.allocation import lines_of
from services.sender.rules.rates import Tariff

_HOUR_MS = 3_600_000


class Ground(NamedTuple):
    """What the sums are judged by."""

    campaign: Campaign
    numbers: Sequence[Number]
    tariffs: Mapping[str, Tariff]
    reached: Mapping[str, int]
    """By portfolio, people whom it wrote to outside a window in the last 24 h."""
    spent: int
    """Of the budget."""
    start: int
    findings: Sequence[Finding]
    """What was found without looking at anybody."""


def result(sums: Sums, ground: Ground, *, complete: bool) -> Preflight:
    """What is known so far; findings that follow from all people only when they are complete."""
    costs = estimates(sums.places, ground.tariffs)
    limits = tiers(ground.numbers, ground.reached)
    needed = _needed(sums, ground.numbers)
    capacity = {one.phone_number_id: one.capacity for one in lines_of(ground.numbers, ground.start)}
    days = max((days_over(n, limits[portfolio]) for portfolio, n in needed.items()), default=0)
    end = delayed(last(sums.minutes, capacity, ground.start), ground.start, days)
    found = list(ground.findings)
    if complete:
        found += _found(sums, ground, costs, needed, limits, end)
    preflight = Preflight(
        recipients=sums.recipients,
        reachable=sums.reachable,
        excluded_gates=sums.excluded,
        delayed_gates=sums.delayed,
        held_out=sums.held_out,
        unresolved=sums.unresolved,
        markets=[
            MarketEstimate(
                market=one.market,
                category=one.category,
                recipients=one.recipients,
                cost_micros=one.micros,
                currency_code=one.currency,
            )
            for one in costs
        ],
        cost_micros=sum(one.micros for one in costs),
        currency_code=max((one.currency for one in costs), default=""),
        tier_needed=sum(needed.values()),
        tier_available=_available(limits, needed),
        finish_duration=Duration(),
        missing_variables=_missing(sums),
        variants=_variants(sums),
        findings=[
            PreflightFinding(
                severity=PreflightFinding.Severity.ValueType(one.severity),
                kind=one.kind,
                explanation=one.explanation,
            )
            for one in found
        ],
    )
    preflight.finish_duration.FromMilliseconds(end - ground.start)
    return preflight


def _needed(sums: Sums, numbers: Sequence[Number]) -> dict[str, int]:
    """By portfolio, people outside a window."""
    found: dict[str, int] = {}
    for one in numbers:
        if opening := sums.openings.get(one.phone_number_id):
            found[one.portfolio] = found.get(one.portfolio, 0) + opening
    return found


def _available(limits: Mapping[str, Tier], needed: Mapping[str, int]) -> int:
    """What the portfolios that are used still allow; -1 is unlimited."""
    used = [limits[one] for one in (needed or limits)]
    if any(one.limit is None for one in used):
        return -1
    return sum(one.available for one in used)


def _missing(sums: Sums) -> list[MissingVariable]:
    return [
        MissingVariable(
            variant=where.variant,
            variable=where.variable,
            fallback_recipients=sums.fallbacks.get(where, 0),
            skipped_recipients=sums.skipped.get(where, 0),
            failing_recipients=sums.failing.get(where, 0),
            sample_contact_ids=samples,
        )
        for where, samples in sorted(sums.samples.items())
    ]


def _variants(sums: Sums) -> list[VariantReach]:
    found: dict[str, VariantReach] = {}
    for (variant, language), count in sorted(sums.variants.items()):
        reach = found.setdefault(variant, VariantReach(variant=variant))
        reach.recipients += count
        reach.languages[language] += count
    return list(found.values())


def _found(
    sums: Sums,
    ground: Ground,
    costs: Sequence[Estimate],
    needed: Mapping[str, int],
    limits: Mapping[str, Tier],
    end: int,
) -> list[Finding]:
    """What follows from the people."""
    found: list[Finding] = []

    def warn(kind: str, explanation: str) -> None:
        found.append(Finding(Severity.WARNING, kind, explanation))

    if not sums.reachable and not ground.campaign.triggered:
        warn("nobody_reachable", "nobody of the audience would get a message; see the exclusions")
    if failing := sorted(sums.failing):
        names = ", ".join(f"{one.variable} of {one.variant}" for one in failing)
        warn(
            "variables_failing",
            f"{names} has no value for some, and the binding lets the campaign pause then; choose"
            " fallback or skip",
        )
    if any(days_over(n, limits[portfolio]) for portfolio, n in needed.items()):
        warn(
            "tier_too_small",
            f"{sum(needed.values())} people are to be written to outside a window, and the"
            f" messaging limit leaves {_available(limits, needed)} today; the rest waits for the"
            " days after",
        )
    if unknown := sorted({one.market or "?" for one in costs if not one.currency}):
        warn("price_unknown", f"no rate card has a price for {', '.join(unknown)}; upload one")
    left = ground.campaign.budget_micros - ground.spent
    cost = sum(one.micros for one in costs if one.currency == ground.campaign.budget_currency)
    if ground.campaign.budget_currency and cost > left:
        warn(
            "budget_too_small",
            f"it would cost {cost / 1e6:,.2f} {ground.campaign.budget_currency}, and the budget"
            f" leaves {left / 1e6:,.2f}; the rest would wait",
        )
    if ground.start < ground.campaign.not_after < end:
        late = (end - ground.campaign.not_after) / _HOUR_MS
        warn("deadline_missed", f"the last message would leave {late:,.1f} h after the deadline")
    if end - ground.start > DAY_MS:
        days = (end - ground.start) / DAY_MS
        found.append(Finding(Severity.INFO, "takes_days", f"it takes {days:,.1f} days"))
    return found
