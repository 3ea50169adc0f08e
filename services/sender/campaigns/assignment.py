"""Who of a campaign gets which variant. Pure.

Drawn from ids alone, so that it comes out the same on every replica and in any order. What somebody
got once they keep: weights that change count for those who come later, and of an absorbed contact
and the one that stayed the earlier assignment holds.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.sender.draws import share
from services.sender.model import Campaign, Variant


class Assignment(NamedTuple):
    """The variant a contact gets for good; None: held out."""

    variant: Variant | None
    propensity: float
    """The probability with which it was drawn: of a variant, among those who are not held out."""


class Given(NamedTuple):
    """What somebody got of a campaign before."""

    variant: str
    """Empty: held out."""
    propensity: float
    time: int


def first(given: Mapping[str, Given], ids: Iterable[str]) -> Given | None:
    """Of what the ids of one person got, the earliest."""
    found = [given[one] for one in ids if one in given]
    return min(found, key=lambda one: (one.time, one.variant), default=None)


def assign(campaign: Campaign, contact_id: str, given: Given | None = None) -> Assignment:
    """What was given before, else hold-out first, then a variant by weight."""
    if given is not None:
        kept = next((one for one in campaign.variants if one.name == given.variant), None)
        if kept is not None or not given.variant:
            return Assignment(kept, given.propensity)
    if share("hold_out", campaign.campaign_id, contact_id) < campaign.hold_out_share:
        return Assignment(None, campaign.hold_out_share)
    weighted = [variant for variant in campaign.variants if variant.weight > 0]
    total = sum(variant.weight for variant in weighted)
    point = share("variant", campaign.campaign_id, contact_id) * total
    for variant in weighted:
        point -= variant.weight
        if point < 0:
            return Assignment(variant, variant.weight / total)
    return Assignment(weighted[-1], weighted[-1].weight / total)
