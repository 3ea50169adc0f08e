"""Contacts, events and consents as the contract has them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import orjson
from google.protobuf.descriptor import Descriptor

from chassis.failures import Failure, FieldInvalid
from chassis.times import timestamp
from merhaba.event.v1 import Event
from merhaba.profile.v1 import (
    Address,
    Attribute,
    ConsentRecord,
    ContactHistory,
    ErrorReason,
    Inference,
    ItemFailure,
    KnownIdentity,
)
from merhaba.profile.v1 import Consent as WireConsent
from merhaba.profile.v1 import Contact as WireContact
from services.profile import attributes, consent, phone, traits
from services.profile.directory import Chapter
from services.profile.model import Consent, Contact, Document, Identity, Kind, Known, StoredEvent
from services.profile.wire import SOURCE, consent_changed, identities

_BY_NAME: Final = ("attributes", "traits")
"""Fields of which a mask may name single entries."""


class Mask:
    """Which fields to return; of attributes and traits perhaps only some."""

    def __init__(self, paths: Iterable[str], kind: Descriptor) -> None:
        """Raises `FieldInvalid` for a path that `kind` does not have."""
        self._fields: set[str] = set()
        self._names: dict[str, set[str]] = {}
        for path in paths:
            field, _, name = path.partition(".")
            if field not in kind.fields_by_name or (name and field not in _BY_NAME):
                raise FieldInvalid("read_mask", f"there is no {path!r} to read")
            if name:
                self._names.setdefault(field, set()).add(path if field == "traits" else name)
            else:
                self._fields.add(field)
        self._all = not self._fields and not self._names

    def __contains__(self, field: str) -> bool:
        return self._all or field in self._fields or field in self._names

    def names(self, field: str) -> set[str] | None:
        """Which entries of a field; None is all."""
        return None if self._all or field in self._fields else self._names.get(field, set())


def contact(found: Contact, mask: Mask, now: int) -> WireContact:
    """A contact, with the fields of a mask; its id and times always."""
    document = found.document
    view = WireContact(
        contact_id=found.contact_id,
        state=WireContact.STATE_ACTIVE,
        etag=document.etag,
        create_time=timestamp(found.create_time),
        update_time=timestamp(found.update_time),
    )
    if "identities" in mask:
        view.identities.extend(_identities(document))
    if "addresses" in mask:
        view.addresses.extend(addresses(document))
    if "consents" in mask:
        purposes = sorted({line.purpose for line in document.consents.values()})
        view.consents.extend(
            consented(
                purpose,
                consent.standing(document.consents.values(), purpose),
                found.contact_id,
                now,
            )
            for purpose in purposes
        )
    if "attributes" in mask:
        view.attributes.extend(_attributes(document, mask.names("attributes")))
    if "traits" in mask:
        view.traits.extend(_traits(document, mask.names("traits")))
    if "zone" in mask and (zone := _inference(attributes.zone(document))):
        view.zone.CopyFrom(zone)
    if "language" in mask and (language := _inference(attributes.language(document))):
        view.language.CopyFrom(language)
    if "absorbed_contact_ids" in mask:
        view.absorbed_contact_ids.extend(document.absorbed)
    return view


def history(chapter: Chapter, mask: Mask) -> ContactHistory:
    """A contact with its events, or their continuation."""
    found, document = chapter.contact, chapter.contact.document
    view = ContactHistory(
        contact_id=found.contact_id,
        continued=chapter.continued,
        read_time=timestamp(chapter.read_time),
        state=WireContact.STATE_ACTIVE,
    )
    if "events" in mask:
        view.events.extend(event(one, found.contact_id) for one in chapter.events)
    if not chapter.first:
        return view
    if "attributes" in mask:
        view.attributes.extend(_attributes(document, mask.names("attributes")))
    if "traits" in mask:
        view.traits.extend(_traits(document, mask.names("traits")))
    if "consents" in mask:
        view.consents.extend(record(line, found.contact_id) for line in chapter.consents)
    if "zone" in mask and (zone := _inference(attributes.zone(document))):
        view.zone.CopyFrom(zone)
    if "language" in mask and (language := _inference(attributes.language(document))):
        view.language.CopyFrom(language)
    return view


def event(stored: StoredEvent, contact_id: str) -> Event:
    """An event under the contact it belongs to now."""
    view = Event.FromString(stored.body)
    view.contact_id = contact_id
    return view


def addresses(document: Document) -> list[Address]:
    """Where messages may go, the best first: the number last used with the newest user id."""
    phones = _used(document, Kind.WA_ID)
    users = _used(document, Kind.BSUID)
    parents = _used(document, Kind.PARENT_BSUID)
    found = [
        Address(
            wa_id=identity.value,
            market=document.place.market
            if identity.value == document.place.phone
            else phone.place(identity.value).market,
        )
        for identity in phones
    ]
    for index, identity in enumerate(users):
        if index or not found:
            found.insert(index, Address())
        found[index].bsuid, found[index].bsuid_scope = identity.value, identity.scope
    if found and parents:
        found[0].parent_bsuid, found[0].parent_bsuid_scope = parents[0].value, parents[0].scope
    if found and document.window.time:
        found[0].phone_number_id = document.window.phone_number_id
        found[0].last_message_time.CopyFrom(timestamp(document.window.time))
    return found


def _used(document: Document, kind: Kind) -> list[Identity]:
    """Identities of a kind that lead to the person, the last used first."""
    found = [
        (known.last_time, identity)
        for identity, known in document.identities.items()
        if identity.kind == kind and known.active
    ]
    return [identity for _, identity in sorted(found, reverse=True)]


def consented(purpose: str, line: Consent | None, contact_id: str, now: int) -> WireConsent:
    """What holds of a purpose."""
    state = consent.state(line, now)
    view = WireConsent(
        purpose=purpose,
        state=WireConsent.State.Name(state),  # type: ignore[arg-type]  # names are accepted
        record=record(line, contact_id) if line else None,
    )
    if line and line.expire_time and state == consent.State.GRANTED:
        view.expire_time.CopyFrom(timestamp(line.expire_time))
    return view


def record(line: Consent, contact_id: str) -> ConsentRecord:
    """A line of the ledger."""
    return ConsentRecord(
        consent_id=line.consent_id,
        contact_id=contact_id,
        change=consent_changed(line),
        event_time=timestamp(line.event_time),
        create_time=timestamp(line.create_time) if line.create_time else None,
        source=line.source,
        event_id=line.event_id,
    )


def has(document: Document, name: str) -> bool:
    """Whether a contact has a value of an attribute or trait."""
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


def _identities(document: Document) -> Iterator[KnownIdentity]:
    known: Sequence[tuple[Identity, Known]] = sorted(document.identities.items())
    for (_, one), view in zip(known, identities(i for i, _ in known), strict=True):
        yield KnownIdentity(
            identity=view,
            source=one.source,
            first_event_time=timestamp(one.first_time),
            last_event_time=timestamp(one.last_time),
            end_time=None if one.active else timestamp(one.end_time),
        )


def _attributes(document: Document, names: set[str] | None) -> Iterator[Attribute]:
    for name in sorted(document.attributes if names is None else names):
        fact = document.attributes.get(name)
        if fact is not None and fact.value is not None:
            yield Attribute(
                name=name,
                value_json=orjson.dumps(fact.value),
                source=fact.source,
                change_time=timestamp(fact.time),
                confirm_time=timestamp(fact.time),
            )


def _traits(document: Document, names: set[str] | None) -> Iterator[Attribute]:
    for name in sorted(traits.names(document)):
        full = f"traits.{name}"
        if names is None or full in names:
            yield Attribute(
                name=full,
                value_json=traits.value_json(document, name),
                source=SOURCE,
                change_time=timestamp(document.stamp),
                confirm_time=timestamp(document.stamp),
            )


def _inference(found: tuple[str, str, int]) -> Inference | None:
    value, source, time = found
    if not value:
        return None
    return Inference(value=value, source=source, change_time=timestamp(time))
