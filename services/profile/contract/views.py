"""Contacts, events and consents as the contract has them."""

from collections.abc import Sequence
from typing import Final

from chassis.failures import Failure
from merhaba.event.v1 import Event
from merhaba.profile.v1 import (
    BatchGetContactsResponse,
    ConsentRecord,
    ContactResult,
    ErrorReason,
    ItemFailure,
)
from merhaba.profile.v1 import Consent as WireConsent
from merhaba.profile.v1 import Contact as WireContact
from services.profile.contract import portrait
from services.profile.contract.masks import Mask
from services.profile.contract.packed import message, tag
from services.profile.person import attributes, traits
from services.profile.person.model import Consent, Contact, StoredEvent
from services.profile.person.vocabulary import ENGAGEMENT, STAGE

_RESULTS: Final = tag(BatchGetContactsResponse, "results")
_CONTACT: Final = tag(ContactResult, "contact")
_FAILURE: Final = tag(ContactResult, "failure")


def contact(found: Contact, mask: Mask, now: int) -> WireContact:
    """A contact, with the fields of a mask; its id and times always."""
    return WireContact.FromString(portrait.contact(found, mask, now))


def results(
    found: Sequence[Contact | None], mask: Mask, now: int, nobody: Failure
) -> BatchGetContactsResponse:
    """Contacts in the order asked for, with `nobody` where there is none."""
    write = portrait.writer(mask)
    return BatchGetContactsResponse.FromString(
        b"".join(
            [
                message(_RESULTS, message(_FAILURE, failed(index, nobody).SerializeToString()))
                if one is None
                else message(_RESULTS, message(_CONTACT, write(one, now)))
                for index, one in enumerate(found)
            ]
        )
    )


def standing(found: Contact) -> "WireContact.State.ValueType":
    """Whether what is held of a contact may be used."""
    restricted = found.document.restriction.stands
    return WireContact.STATE_RESTRICTED if restricted else WireContact.STATE_ACTIVE


def event(stored: StoredEvent, contact_id: str) -> Event:
    """An event under the contact it belongs to now."""
    view = Event.FromString(stored.body)
    view.contact_id = contact_id
    return view


def consented(
    purpose: str, line: Consent | None, contact_id: str, now: int, values: bool = True
) -> WireConsent:
    """What holds of a purpose. `values`: with what may lead to the person."""
    return WireConsent.FromString(portrait.consented(purpose, line, contact_id, now, values))


def record(line: Consent, contact_id: str, values: bool = True) -> ConsentRecord:
    """A line of the ledger. `values`: with what may lead to the person."""
    return ConsentRecord.FromString(portrait.recorded(line, contact_id, values))


def has(found: Contact, name: str) -> bool:
    """Whether a contact has a value of an attribute or trait."""
    document = found.document
    if name == STAGE:
        return bool(found.standing.stage)
    if name == ENGAGEMENT:
        return bool(found.standing.level)
    if name.startswith("traits."):
        return bool(traits.value_json(document, name.removeprefix("traits.")))
    if name == "zone":
        return bool(attributes.zone(document)[0])
    if name == "language":
        return bool(attributes.language(document)[0])
    fact = document.attributes.get(name)
    return fact is not None and fact.value is not None


def failed(index: int, failure: Failure) -> ItemFailure:
    """Why one item of a batch was refused."""
    return ItemFailure(
        index=index,
        reason=ErrorReason.Value(f"ERROR_REASON_{failure.reason}"),
        message=failure.message,
        metadata=failure.facts,
    )
