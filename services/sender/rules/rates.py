"""What messages cost: dated rate cards, and how Meta says it charges. Pure."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from msgspec import Struct, field

from services.sender.failures import RateCardInvalid
from services.sender.rules.policy import SERVICE

OTHER: Final = "other"
"""The market of all countries that a card does not name."""
FREE: Final = frozenset({"free_customer_service", "free_entry_point"})
"""Types of Meta's pricing that cost nothing: answers within an allowance, and the 72 hours after
somebody came by an advertisement."""
COLUMNS: Final = ("market", "country_codes", "category", "tier_start", "price")
_MICROS: Final = 1_000_000
_MOST_LINES: Final = 20_000
_CATEGORIES: Final = frozenset(
    {"marketing", "marketing_lite", "utility", "authentication", "authentication_international"}
    | {SERVICE}
)
_SAME_AS: Final = {
    "marketing_lite": "marketing",
    "authentication_international": "authentication",
}
"""Categories whose own price a card may leave out."""
_TIERED: Final = frozenset({"utility", "authentication"})


class Rate(Struct, frozen=True):
    """The price of one delivered message."""

    market: str
    country_codes: Sequence[str]
    category: str
    tier_start: int
    price_micros: int


class RateCard(Struct):
    """What Meta charges from a moment on."""

    rate_card_id: str
    waba_id: str
    """Empty for all accounts of the currency."""
    currency: str
    name: str
    free_service_messages: int
    """Answers of a number in a calendar month that cost nothing."""
    effective_time: int
    create_time: int
    rates: Sequence[Rate]
    tiers: dict[tuple[str, str], list[Rate]] = field(default_factory=dict)
    """By category and country, by the start of the tier; follows from `rates`."""

    def __post_init__(self) -> None:
        for rate in sorted(self.rates, key=lambda rate: rate.tier_start):
            for country in rate.country_codes or [rate.market]:
                self.tiers.setdefault((rate.category, country), []).append(rate)

    def find(self, category: str, country: str) -> Sequence[Rate]:
        """Prices by the start of their tiers; empty when the card has none."""
        for wanted in (category, _SAME_AS.get(category, "")):
            for market in (country, OTHER):
                if found := self.tiers.get((wanted, market)):
                    return found
        return ()

    def charges(self, category: str) -> bool:
        """Whether any market has a price for a category."""
        return any(kind == category for kind, _ in self.tiers)


class Cost(NamedTuple):
    """What a message costs."""

    micros: int
    currency: str
    market: str = ""
    """The card's name of where it counts to the volume; empty when it does not count."""


class Counter(NamedTuple):
    """Whose messages are counted, of what, in which month (202,611 is November 2026)."""

    owner: str
    """A portfolio or account for volumes, a number for its allowance of answers."""
    month: int
    market: str
    category: str


class Tariff(Struct, frozen=True):
    """The card in force for a number at a moment, and what was counted of its month so far."""

    card: RateCard | None = None
    payer: str = ""
    """Whose volume it is: the portfolio, or the account where no portfolio is known."""
    phone_number_id: str = ""
    month: int = 0
    counted: dict[Counter, int] = field(default_factory=dict)

    def estimate(self, category: str, country: str) -> Cost | None:
        """What a message costs if Meta charges for it; None when no card says so."""
        return self._price(normal(category), country)

    def charge(self, category: str, country: str, kind: str, billable: bool) -> Cost | None:
        """What a message costs by Meta's pricing object.

        `kind` is its type; `billable` is only looked at where there is none, since Meta is going
        to leave it out.
        """
        if self.card is None:
            return None
        if kind in FREE or (not kind and not billable):
            return Cost(0, self.card.currency)
        return self._price(normal(category), country)

    def _price(self, category: str, country: str) -> Cost | None:
        card = self.card
        if card is None:
            return None
        if category == SERVICE:
            used = self.counted.get(self.counter(SERVICE, ""), 0)
            if not card.charges(SERVICE) or used < card.free_service_messages:
                return Cost(0, card.currency)
        tiers = card.find(category, country)
        if not tiers:
            return None
        market = tiers[0].market
        volume = self.counted.get(self.counter(category, market), 0) if len(tiers) > 1 else 0
        price = next(rate.price_micros for rate in reversed(tiers) if rate.tier_start <= volume)
        return Cost(price, card.currency, market if category in _TIERED else "")

    def counter(self, category: str, market: str) -> Counter:
        """What a message is counted under."""
        owner = self.phone_number_id if category == SERVICE else self.payer
        return Counter(owner, self.month, market, category)


def normal(category: str) -> str:
    """A category of Meta's pricing as cards write it."""
    return category.replace("-", "_").removeprefix("group_")


def month_of(time: int) -> int:
    """The calendar month (UTC) of a moment (ms), as 202611."""
    moment = datetime.fromtimestamp(time / 1000, UTC)
    return moment.year * 100 + moment.month


def card_at(cards: Iterable[RateCard], waba_id: str, time: int) -> RateCard | None:
    """The card in force: an account's own before one for all, then the latest."""
    in_force = [c for c in cards if c.effective_time <= time and c.waba_id in {"", waba_id}]
    return max(
        in_force, key=lambda c: (c.waba_id != "", c.effective_time, c.create_time), default=None
    )


def parse(text: str) -> list[Rate]:
    """The rates of a CSV with the header line of `COLUMNS`; raises RateCardInvalid."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rates: list[Rate] = []
    try:
        header = next(reader, [])
        if tuple(column.strip() for column in header) != COLUMNS:
            raise _invalid(1, "header", f"not {','.join(COLUMNS)}")
        for row in reader:
            if len(rates) >= _MOST_LINES:
                raise _invalid(reader.line_num, "", f"more than {_MOST_LINES} lines")
            if any(cell.strip() for cell in row):
                rates.append(_rate(reader.line_num, [cell.strip() for cell in row]))
    except csv.Error as error:
        raise _invalid(reader.line_num, "", "not CSV") from error
    check(rates)
    return rates


def _rate(line: int, row: list[str]) -> Rate:
    if len(row) != len(COLUMNS):
        raise _invalid(line, "", f"{len(row)} columns instead of {len(COLUMNS)}")
    market, countries, category, tier_start, price = row
    if not tier_start.isascii() or not tier_start.isdigit():
        raise _invalid(line, "tier_start", "not a whole number; 0 for the first tier")
    try:
        micros = Decimal(price) * _MICROS
    except InvalidOperation:
        raise _invalid(line, "price", "not a number with a decimal point") from None
    if not micros.is_finite() or micros != micros.to_integral_value():
        raise _invalid(line, "price", "not a number of at most six decimal places")
    return Rate(market, countries.split(), category, int(tier_start), int(micros))


def check(rates: Sequence[Rate]) -> None:
    """Raises RateCardInvalid for the first rate that cannot be meant; lines count from 2."""
    if not rates:
        raise _invalid(1, "", "no rates; give one line a market, category and tier")
    seen: set[tuple[str, str, int]] = set()
    for line, rate in enumerate(rates, 2):
        if not rate.market:
            raise _invalid(line, "market", "missing")
        countries = rate.country_codes or [rate.market]
        if rate.market != OTHER and not all(_is_country(country) for country in countries):
            raise _invalid(line, "country_codes", "not ISO 3166 alpha-2, such as TR")
        if rate.category not in _CATEGORIES:
            raise _invalid(line, "category", f"not one of {', '.join(sorted(_CATEGORIES))}")
        if rate.price_micros < 0:
            raise _invalid(line, "price", "negative")
        for country in countries:
            key = (rate.category, country, rate.tier_start)
            if key in seen:
                raise _invalid(line, "market", f"{country} has this category and tier already")
            seen.add(key)
    first = {(category, country) for category, country, start in seen if start == 0}
    for line, rate in enumerate(rates, 2):
        for country in rate.country_codes or [rate.market]:
            if (rate.category, country) not in first:
                raise _invalid(line, "tier_start", f"{country} has no tier that starts at 0")


def _is_country(code: str) -> bool:
    return len(code) == 2 and code.isascii() and code.isupper()


def _invalid(line: int, column: str, problem: str) -> RateCardInvalid:
    place = f"line {line}" + (f", {column}" if column else "")
    return RateCardInvalid(f"{place}: {problem}", line=str(line), column=column, problem=problem)
