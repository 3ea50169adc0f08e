"""Traits that count events, and the first and last times of events."""

from collections.abc import Callable
from typing import Final

from services.profile.person.model import Document, Happening, ValueType
from services.profile.person.traits.trait import Sort, Trait, itself, ratio

_Read = Callable[[Document], int | float | None]

_COUNTED: Final[dict[str, tuple[str, str]]] = {
    "order_completed": ("order_count", "Orders"),
    "order_cancelled": ("cancelled_count", "Orders that were cancelled"),
    "order_refunded": ("refund_count", "Refunds"),
    "message_received": ("message_count", "Messages the person wrote to us"),
    "message_sent": ("sent_count", "Messages sent to the person"),
    "message_delivered": ("delivered_count", "Messages that reached the person"),
    "message_read": ("read_count", "Messages the person read"),
    "message_clicked": ("click_count", "Taps on buttons and links of messages"),
    "message_replied": ("reply_count", "Answers to messages"),
    "message_failed": ("failed_count", "Messages that did not arrive"),
    "feedback_given": ("feedback_count", "Ratings given"),
    "complaint_opened": ("complaint_count", "Complaints made"),
}
"""Event → the trait that counts it."""

_TIMED: Final[dict[str, tuple[str, ...]]] = {
    "order_completed": ("first_order_time", "last_order_time"),
    "message_received": ("first_message_time", "last_message_time"),
    "message_sent": ("last_sent_time",),
    "message_read": ("last_read_time",),
    "message_clicked": ("last_click_time",),
    "message_replied": ("last_reply_time",),
}
"""Event → traits that are its first or last time."""

_RATES: Final[dict[str, tuple[str, str, str]]] = {
    "read_rate": ("message_read", "message_delivered", "Reads by delivered message"),
    "click_rate": ("message_clicked", "message_delivered", "Clicks by delivered message"),
    "reply_rate": ("message_replied", "message_delivered", "Answers by delivered message"),
}
"""Trait → what is divided by what; there is none while nothing was delivered, and 1 is the most,
because a read may come before its delivery."""


def fold(document: Document, happening: Happening) -> None:
    """Count a happening and its time."""
    name = happening.name
    trait = _COUNTED[name][0]
    document.counts[trait] = document.counts.get(trait, 0) + 1
    for trait in _TIMED.get(name, ()):
        extend(document, trait, happening.time)


def extend(document: Document, trait: str, time: int) -> None:
    """Take in a time of a trait that is a first or last one."""
    old = document.times.get(trait)
    better = min if trait.startswith("first_") else max
    document.times[trait] = time if old is None else better(old, time)


def _of_count(trait: str) -> _Read:
    """Reads a count."""
    return lambda document: document.counts.get(trait)


def of_time(trait: str) -> _Read:
    """Reads a time."""
    return lambda document: document.times.get(trait)


def _of_rate(part: str, whole: str) -> _Read:
    return lambda document: ratio(document.counts.get(part, 0), document.counts.get(whole, 0))


_TRAITS: Final[tuple[Trait[Document], ...]] = (
    *(
        Trait(trait, ValueType.INTEGER, description, frozenset({event}), _of_count(trait))
        for event, (trait, description) in _COUNTED.items()
    ),
    *(
        Trait(
            trait,
            ValueType.TIMESTAMP,
            f"When the {trait[:5].strip('_')} {event} was",
            frozenset({event}),
            of_time(trait),
        )
        for event, traits in _TIMED.items()
        for trait in traits
    ),
    *(
        Trait(
            trait,
            ValueType.NUMBER,
            description,
            frozenset({part, whole}),
            _of_rate(_COUNTED[part][0], _COUNTED[whole][0]),
        )
        for trait, (part, whole, description) in _RATES.items()
    ),
)

SORT: Final = Sort(frozenset(_COUNTED), fold, itself, _TRAITS)
