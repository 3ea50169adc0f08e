"""Whom an item is about: phone numbers and user ids, in every place where they stand. Pure."""

from typing import Any, Final

from services.ingest.fields import text
from services.ingest.item import Change
from services.ingest.model import Identity, Kind

# Where WhatsApp and the telephone write one subscriber differently: Argentina, Brazil, Mexico.
_DRIFTING: Final = frozenset({"54", "55", "52"})
_NOTHING: Final[dict[str, Any]] = {}


def person(change: Change, number: str, user_id: str, parent: str) -> tuple[Identity, ...]:
    """Identities by what an item says of a person: a phone number, user ids, or either in the
    other's place."""
    number = number.removeprefix("+")
    if number and not number.isdecimal():
        number, user_id = "", user_id or number  # a user id where the number used to stand
    found: list[Identity] = []
    if number:
        found.append(Identity(Kind.WA_ID, "", number))
    if user_id:
        found.append(Identity(Kind.BSUID, change.scope, user_id))
    if parent:
        found.append(Identity(Kind.PARENT_BSUID, change.scope, parent))
    return tuple(found)


def _subscriber(number: str) -> str:
    """What is the same however a number is written; empty for none."""
    return number[:2] + number[-8:] if number[:2] in _DRIFTING else number


def _contact(change: Change, number: str, user_id: str) -> dict[str, Any]:
    """The block of `contacts` that belongs to a person; empty when none surely does."""
    contacts = change.value.get("contacts")
    if not contacts or not isinstance(contacts, list):
        return _NOTHING
    if change.contacts is None:
        change.contacts = _by_person(contacts)
    found = [
        place
        for key in (_subscriber(number), user_id)
        if key and (place := change.contacts.get(key)) is not None
    ]
    if found:
        block: dict[str, Any] = contacts[min(found)]
        return block
    only = contacts[0]
    if len(contacts) > 1 or not isinstance(only, dict):
        return _NOTHING
    contradicted = (only.get("wa_id") and number) or (only.get("user_id") and user_id)
    return _NOTHING if contradicted else only


def _by_person(contacts: list[Any]) -> dict[str, int]:
    """Where the first block of each number and each user id stands: a webhook may have a thousand
    of them, and as many messages that ask."""
    places: dict[str, int] = {}
    for place, contact in enumerate(contacts):
        if isinstance(contact, dict):
            wa_id, user_id = contact.get("wa_id"), contact.get("user_id")
            for key in (_subscriber(str(wa_id)) if wa_id else "", str(user_id) if user_id else ""):
                if key:
                    places.setdefault(key, place)
    return places


def sender(
    change: Change, number: str, user_id: str, parent: str
) -> tuple[tuple[Identity, ...], dict[str, Any]]:
    """Identities and the contact block of a person; the block completes what the item says."""
    number = number.removeprefix("+")
    contact = _contact(change, number, user_id)
    if contact:
        wa_id = text(contact, "wa_id")
        people = person(
            change,
            number or wa_id,
            user_id or text(contact, "user_id"),
            parent or text(contact, "parent_user_id"),
        )
        if wa_id and wa_id != number and number.isdecimal():
            people += (Identity(Kind.WA_ID, "", wa_id),)
        return people, contact
    return person(change, number, user_id, parent), contact
