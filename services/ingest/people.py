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


def _same_number(one: str, other: str) -> bool:
    return one == other or (
        one[:2] == other[:2] and one[:2] in _DRIFTING and one[-8:] == other[-8:]
    )


def _contact(change: Change, number: str, user_id: str) -> dict[str, Any]:
    """The block of `contacts` that belongs to a person; empty when none surely does."""
    contacts = change.value.get("contacts")
    if not isinstance(contacts, list):
        return _NOTHING
    for contact in contacts:
        if not isinstance(contact, dict):
            continue
        wa_id, id_ = contact.get("wa_id") or "", contact.get("user_id") or ""
        known = (wa_id and number) or (id_ and user_id)
        if (
            (wa_id and number and _same_number(str(wa_id), number))
            or (id_ and id_ == user_id)
            or (len(contacts) == 1 and not known)
        ):
            return contact
    return _NOTHING


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
