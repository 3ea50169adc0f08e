"""What very many messages cost, over the tiers of a month's volume. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from services.sender.campaigns.preflight.sums import Place
from services.sender.rules.rates import Cost, Tariff


class Estimate(NamedTuple):
    """What the messages to a market cost."""

    market: str
    category: str
    recipients: int
    micros: int
    currency: str
    """Empty where no rate card says what it costs."""


def estimates(places: Mapping[Place, int], tariffs: Mapping[str, Tariff]) -> list[Estimate]:
    """By market and category; each message counts for the volume of the next."""
    counting = {
        number: Tariff(one.card, one.payer, one.phone_number_id, one.month, dict(one.counted))
        for number, one in tariffs.items()
    }
    found: dict[tuple[str, str], Estimate] = {}
    for place, count in sorted(places.items()):
        micros, currency = 0, ""
        if tariff := counting.get(place.phone_number_id):
            micros, currency = _spend(tariff, place, count, counting)
        key = place.market, place.category
        _, _, before, already, known = found.get(key, Estimate(*key, 0, 0, currency))
        found[key] = Estimate(*key, before + count, already + micros, currency and known)
    return list(found.values())


def _spend(
    tariff: Tariff, place: Place, count: int, all_tariffs: Mapping[str, Tariff]
) -> tuple[int, str]:
    micros, currency = 0, ""
    while count:
        cost = tariff.estimate(place.category, place.market)
        if cost is None:
            return 0, ""
        part = _until_next_tier(tariff, place, cost, count)
        micros, currency, count = micros + part * cost.micros, cost.currency, count - part
        if cost.market:
            counter = tariff.counter(place.category, cost.market)
            for other in all_tariffs.values():
                if other.payer == tariff.payer:
                    other.counted[counter] = other.counted.get(counter, 0) + part
    return micros, currency


def _until_next_tier(tariff: Tariff, place: Place, cost: Cost, count: int) -> int:
    """How many of so many cost as much as the first."""
    if not cost.market or tariff.card is None:
        return count
    volume = tariff.counted.get(tariff.counter(place.category, cost.market), 0)
    starts = [rate.tier_start for rate in tariff.card.find(place.category, place.market)]
    following = min((start for start in starts if start > volume), default=volume + count)
    return min(count, following - volume)
