"""Whether and how messages can reach people, for very many: what they have in common is said once.

Nothing here leads to a person. Pure.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import orjson

from services.profile.person import attributes, consent, phone, traits
from services.profile.person.consent import MARKETING, State
from services.profile.person.model import Contact, Document, Kind
from services.profile.person.part import Part
from services.profile.person.vocabulary import ENGAGEMENT

_TRAIT: Final = "traits."
_COMPLAINT: Final = "traits.open_complaint"
_COMPLAINTS: Final = "complaints"
"""The tally that it follows from: asked of everybody who is to be written to."""


class Reach(NamedTuple):
    """What many people have in common."""

    restricted: bool
    reachable: bool
    """Whether there is a WhatsApp account to write to."""
    market: str
    phone_number_id: str
    """Our number that the person last wrote to or called."""
    language: str
    zone: str
    consents: tuple[tuple[str, State], ...]
    """By purpose, of those of which anything was said."""


class Reached(NamedTuple):
    """One person."""

    reach: Reach
    last_message_time: int
    """When they last wrote or called (ms); 0 is never."""
    consent_time: int
    """When what holds of marketing was said (ms); 0 is never."""


def reached(found: Contact, now: int) -> Reached:
    """How a person can be reached at a moment."""
    document = found.document
    reachable, market = _account(document)
    lines = document.consents.values()
    states = []
    said = 0
    for purpose in sorted({line.purpose for line in lines}):
        line = consent.standing(lines, purpose)
        states.append((purpose, consent.state(line, now)))
        if purpose == MARKETING and line is not None:
            said = line.event_time
    reach = Reach(
        document.restriction.stands,
        reachable,
        market,
        document.window.phone_number_id,
        attributes.language(document)[0],
        attributes.zone(document)[0],
        tuple(states),
    )
    return Reached(reach, document.window.time, said)


def _account(document: Document) -> tuple[bool, str]:
    """Whether there is one, and the market of the number last used."""
    number, used, reachable = "", (0, ""), False
    for (kind, _, value), known in document.identities.items():
        if kind == Kind.WA_ID and known.active:
            reachable = True
            if (known.last_time, value) > used:
                number, used = value, (known.last_time, value)
        elif kind == Kind.BSUID and known.active:
            reachable = True
    if not number:
        return reachable, ""
    own = number == document.place.phone
    return True, document.place.market if own else phone.place(number).market


class Columns:
    """Which attributes and traits to tell, and how."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names` as expressions know them."""
        self._tell = [_teller(name) for name in names]
        self.part = _part(names)
        """What of documents they follow from; None is all."""

    def of(self, found: Contact, reach: Reach) -> list[bytes]:
        """A person's values as JSON, empty where there is none, in the order of the names."""
        return [tell(found, reach) for tell in self._tell]


def _part(names: Sequence[str]) -> Part | None:
    attributes = {one for one in names if not one.startswith(_TRAIT)}
    traits_asked = {one for one in names if one.startswith(_TRAIT)} - {ENGAGEMENT}
    if traits_asked - {_COMPLAINT}:
        return None
    return Part(frozenset(attributes), frozenset({_COMPLAINTS} if traits_asked else ()))


def _teller(name: str) -> Callable[[Contact, Reach], bytes]:
    match name:
        case "stage":
            return lambda found, _: _text(found.standing.stage)
        case "traits.engagement":
            return lambda found, _: _text(found.standing.level)
        case "zone":
            return lambda _, reach: _text(reach.zone)
        case "language":
            return lambda _, reach: _text(reach.language)
    if name.startswith(_TRAIT):
        trait = name.removeprefix(_TRAIT)
        return lambda found, _: traits.value_json(found.document, trait)
    return lambda found, _: _fact(found.document, name)


def _fact(document: Document, name: str) -> bytes:
    fact = document.attributes.get(name)
    return b"" if fact is None or fact.value is None else orjson.dumps(fact.value)


def _text(value: str) -> bytes:
    return orjson.dumps(value) if value else b""
