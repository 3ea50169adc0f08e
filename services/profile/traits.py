"""Traits: facts computed from events, each event once.

Only sums, firsts and lasts are kept, so that any order of the same events gives the same traits
and two contacts' traits can be joined; rates follow from them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import orjson

from services.profile.model import Document, Happening

_MICROS: Final = 1_000_000

_COUNTED: Final[dict[str, str]] = {
    "order_completed": "order_count",
    "order_cancelled": "cancelled_count",
    "order_refunded": "refund_count",
    "message_received": "message_count",
    "message_sent": "sent_count",
    "message_delivered": "delivered_count",
    "message_read": "read_count",
    "message_clicked": "click_count",
    "message_replied": "reply_count",
    "message_failed": "failed_count",
}
"""Event → the trait that counts it."""

MONEY: Final[dict[str, str]] = {
    "order_completed": "order_total",
    "order_cancelled": "cancelled_total",
    "order_refunded": "refund_total",
}
"""Event → the trait that sums its amount, in the one currency of the business."""

_TIMED: Final[dict[str, tuple[str, ...]]] = {
    "order_completed": ("first_order_time", "last_order_time"),
    "message_received": ("first_message_time", "last_message_time"),
    "message_sent": ("last_sent_time",),
    "message_read": ("last_read_time",),
    "message_clicked": ("last_click_time",),
    "message_replied": ("last_reply_time",),
}
"""Event → traits that are its first or last time."""

_RATES: Final[dict[str, tuple[str, str]]] = {
    "read_rate": ("read_count", "delivered_count"),
    "click_rate": ("click_count", "delivered_count"),
    "reply_rate": ("reply_count", "delivered_count"),
}
"""Trait → what is divided by what; there is none while nothing was delivered, and 1 is the most,
because a read may come before its delivery."""

_RATES_OF: Final[dict[str, tuple[str, ...]]] = {
    count: tuple(rate for rate, parts in _RATES.items() if count in parts)
    for count in _COUNTED.values()
}
_MONEY_TRAITS: Final = frozenset(MONEY.values())


def count(document: Document, happening: Happening) -> list[str]:
    """Take a happening into the traits; returns the names of those that changed."""
    name = happening.name
    counted = _COUNTED.get(name)
    if counted is None or not happening.counts:
        return []
    changed = [counted]
    rates = _RATES_OF[counted]
    before = [_rate(document, rate) for rate in rates]
    document.counts[counted] = document.counts.get(counted, 0) + 1
    changed += [
        rate for rate, old in zip(rates, before, strict=True) if _rate(document, rate) != old
    ]
    if happening.amount and (money := MONEY.get(name)):
        document.counts[money] = document.counts.get(money, 0) + happening.amount
        changed.append(money)
    for trait in _TIMED.get(name, ()):
        if _extend(document, trait, happening.time):
            changed.append(trait)
    return changed


def join(document: Document, other: Document) -> None:
    """Take in another contact's traits, as if its events had been this one's."""
    for trait, number in other.counts.items():
        document.counts[trait] = document.counts.get(trait, 0) + number
    for trait, time in other.times.items():
        _extend(document, trait, time)


def names(document: Document) -> Iterator[str]:
    """The traits a contact has."""
    yield from document.counts
    yield from document.times
    for rate in _RATES:
        if _rate(document, rate) is not None:
            yield rate


def value_json(document: Document, trait: str) -> bytes:
    """A trait as JSON; empty when the contact does not have it. Times are RFC 3339."""
    if trait in document.times:
        return rfc3339(document.times[trait])
    if trait in _RATES:
        rate = _rate(document, trait)
        return b"" if rate is None else orjson.dumps(rate)
    number = document.counts.get(trait)
    if number is None:
        return b""
    if trait in _MONEY_TRAITS:
        return orjson.dumps(number / _MICROS)
    return b"%d" % number


def rfc3339(time: int) -> bytes:
    """A time in milliseconds as a JSON string."""
    moment = datetime.fromtimestamp(time // 1000, UTC).replace(microsecond=time % 1000 * 1000)
    return b'"%sZ"' % moment.isoformat(timespec="milliseconds")[:23].encode()


def _rate(document: Document, trait: str) -> float | None:
    part, whole = _RATES[trait]
    of = document.counts.get(whole, 0)
    return round(min(document.counts.get(part, 0) / of, 1.0), 4) if of else None


def _extend(document: Document, trait: str, time: int) -> bool:
    old = document.times.get(trait)
    better = min if trait.startswith("first_") else max
    document.times[trait] = time if old is None else better(old, time)
    return document.times[trait] != old
