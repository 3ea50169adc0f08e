"""Tiers of volume that Meta says were reached: our own count knows only our own messages. Pure."""

from typing import Final, NamedTuple

from phonenumbers.geodata.locale import LOCALE_DATA

from services.sender.rules.rates import RateCard

_LANGUAGE: Final = "en"


class VolumeTier(NamedTuple):
    """A tier that an account reached."""

    event_id: str
    waba_id: str
    month: int
    """As 202611."""
    region: str
    """As Meta calls the market: `India`."""
    category: str
    volume: int
    """How many messages were charged for at least."""


def market_called(card: RateCard, region: str) -> str:
    """The card's name of what Meta calls a region: its own, or that of a country in it; empty
    without one."""
    wanted = region.casefold()
    for rate in card.rates:
        countries = rate.country_codes or [rate.market]
        if wanted in {rate.market.casefold(), *(_name(code).casefold() for code in countries)}:
            return rate.market
    return ""


def _name(country: str) -> str:
    names = LOCALE_DATA.get(country, {})
    name = names.get(_LANGUAGE, "")
    return names.get(name[1:], "") if name.startswith("*") else name
