"""A contact as the contract has it, written as bytes (see `packed`): field by field, each of the
functions below writes one."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import orjson

from merhaba.event.v1 import ConsentChanged
from merhaba.event.v1 import Identity as WireIdentity
from merhaba.profile.v1 import (
    Address,
    Attribute,
    ConsentRecord,
    Inference,
    KnownIdentity,
    StageStanding,
)
from merhaba.profile.v1 import Consent as WireConsent
from merhaba.profile.v1 import Contact as WireContact
from services.profile.contract.masks import Mask
from services.profile.contract.packed import message, moment, number, tag, text, word
from services.profile.contract.wire import SOURCE
from services.profile.person import attributes, consent, phone, traits
from services.profile.person.model import Consent, Contact, Document, Identity, Kind
from services.profile.person.vocabulary import ENGAGEMENT

_C: Final = {name: tag(WireContact, name) for name in WireContact.DESCRIPTOR.fields_by_name}
_A: Final = {name: tag(Address, name) for name in Address.DESCRIPTOR.fields_by_name}
_K: Final = {name: tag(KnownIdentity, name) for name in KnownIdentity.DESCRIPTOR.fields_by_name}
_W: Final = {name: tag(WireConsent, name) for name in WireConsent.DESCRIPTOR.fields_by_name}
_R: Final = {name: tag(ConsentRecord, name) for name in ConsentRecord.DESCRIPTOR.fields_by_name}
_G: Final = {name: tag(ConsentChanged, name) for name in ConsentChanged.DESCRIPTOR.fields_by_name}
_F: Final = {name: tag(Attribute, name) for name in Attribute.DESCRIPTOR.fields_by_name}
_I: Final = {name: tag(Inference, name) for name in Inference.DESCRIPTOR.fields_by_name}
_S: Final = {name: tag(StageStanding, name) for name in StageStanding.DESCRIPTOR.fields_by_name}
_ENGAGEMENT: Final = ENGAGEMENT.removeprefix("traits.")
_TRAITS: Final = tuple(sorted((*traits.TRAITS, _ENGAGEMENT)))
_SCOPE: Final = tag(WireIdentity, "scope")
_VALUE: Final = tag(WireIdentity, "value")
_KINDS: Final[dict[int, bytes]] = {kind: number(WireIdentity, "kind", kind) for kind in Kind}
_STATES: Final = {state: number(WireConsent, "state", state) for state in consent.State}
_RESTRICTED: Final = {
    False: number(WireContact, "state", WireContact.STATE_ACTIVE),
    True: number(WireContact, "state", WireContact.STATE_RESTRICTED),
}
_ADDRESSED: Final = frozenset({Kind.WA_ID, Kind.BSUID, Kind.PARENT_BSUID})
_GRANTED: Final = number(ConsentChanged, "granted", True)


_Write = Callable[[Contact, int], Iterable[bytes]]
"""Writes what one field of a mask shows of a contact at a moment."""


def contact(found: Contact, mask: Mask, now: int) -> bytes:
    """A `Contact` with the fields of a mask; its id and times always."""
    return writer(mask)(found, now)


def writer(mask: Mask) -> Callable[[Contact, int], bytes]:
    """What writes contacts with the fields of a mask, each as of a moment: what to look at is
    decided once for all of them."""
    writes = [make(mask) for field, make in _FIELDS.items() if field in mask]
    last = b"".join([word(_C["withheld_fields"], path) for path in mask.withheld])
    contact_id, etag, created, updated = (
        _C[name] for name in ("contact_id", "etag", "create_time", "update_time")
    )

    def write(found: Contact, now: int) -> bytes:
        document = found.document
        parts = [
            text(contact_id, found.contact_id),
            _RESTRICTED[document.restriction.stands],
            word(etag, document.etag),
            moment(created, found.create_time),
            moment(updated, found.update_time),
        ]
        for each in writes:
            parts += each(found, now)
        parts.append(last)
        return b"".join(parts)

    return write


def _consents(mask: Mask) -> _Write:
    def write(found: Contact, now: int) -> Iterator[bytes]:
        lines = found.document.consents.values()
        for purpose in sorted({line.purpose for line in lines}) if lines else ():
            holds = consent.standing(lines, purpose)
            held = consented(purpose, holds, found.contact_id, now, mask.values)
            yield message(_C["consents"], held)

    return write


_FIELDS: Final[dict[str, Callable[[Mask], _Write]]] = {
    "identities": lambda mask: lambda one, _: known_identities(one.document, mask.values),
    "addresses": lambda mask: lambda one, _: addresses(one.document, mask.values),
    "consents": _consents,
    "attributes": lambda mask: lambda one, _: facts(one.document, mask, _C["attributes"]),
    "traits": lambda mask: lambda one, _: computed(one, mask, _C["traits"]),
    "zone": lambda _: lambda one, _: (inferred(_C["zone"], *attributes.zone(one.document)),),
    "language": lambda _: (
        lambda one, _: (inferred(_C["language"], *attributes.language(one.document)),)
    ),
    "stage": lambda _: lambda one, _: (stood(one, _C["stage"]),),
    "absorbed_contact_ids": lambda _: (
        lambda one, _: [text(_C["absorbed_contact_ids"], each) for each in one.absorbed]
    ),
}
"""Fields of a mask in the order of the contract, and what writes them."""


def known_identities(document: Document, values: bool) -> Iterator[bytes]:
    """Identities, with their values or without."""
    for (kind, scope, value), known in sorted(document.identities.items()):
        yield message(
            _C["identities"],
            message(
                _K["identity"],
                _KINDS[kind],
                word(_SCOPE, scope),
                text(_VALUE, value) if values else b"",
            ),
            word(_K["source"], known.source),
            moment(_K["first_event_time"], known.first_time),
            moment(_K["last_event_time"], known.last_time),
            b"" if known.active else moment(_K["end_time"], known.end_time),
        )


def addresses(document: Document, values: bool) -> Iterator[bytes]:
    """Where messages may go, the best first: the number last used with the newest user id. With
    what leads to the person, or without."""
    used: dict[int, list[tuple[int, Identity]]] = {}
    for identity, known in document.identities.items():
        if identity.kind in _ADDRESSED and known.active:
            used.setdefault(identity.kind, []).append((known.last_time, identity))
    if not used:
        return
    for several in used.values():
        several.sort(reverse=True)
    numbers = [one for _, one in used.get(Kind.WA_ID, ())]
    users = [one for _, one in used.get(Kind.BSUID, ())]
    # The newest user id goes with the number last used; the others stand by themselves after it.
    pairs: list[tuple[Identity | None, Identity | None]] = [
        (numbers[0] if numbers else None, users[0] if users else None),
        *((None, user) for user in users[1:]),
        *((one, None) for one in numbers[1:]),
    ]
    for index, (wa_id, user) in enumerate(pairs):
        parts = []
        if wa_id is not None:
            known_place = wa_id.value == document.place.phone
            market = document.place.market if known_place else phone.place(wa_id.value).market
            parts += [text(_A["wa_id"], wa_id.value) if values else b"", word(_A["market"], market)]
        if user is not None:
            parts += [
                text(_A["bsuid"], user.value) if values else b"",
                word(_A["bsuid_scope"], user.scope),
            ]
        if index == 0 and parts:
            for _, parent in used.get(Kind.PARENT_BSUID, ())[:1]:
                parts += [
                    text(_A["parent_bsuid"], parent.value) if values else b"",
                    word(_A["parent_bsuid_scope"], parent.scope),
                ]
            if document.window.time:
                parts += [
                    word(_A["phone_number_id"], document.window.phone_number_id),
                    moment(_A["last_message_time"], document.window.time),
                ]
        if parts:
            yield message(_C["addresses"], *parts)


def consented(
    purpose: str, line: Consent | None, contact_id: str, now: int, values: bool = True
) -> bytes:
    """A `Consent`: what holds of a purpose. `values` as for `recorded`."""
    state = consent.state(line, now)
    parts = [word(_W["purpose"], purpose), _STATES[state]]
    if line is not None:
        parts.append(message(_W["record"], recorded(line, contact_id, values)))
        if line.expire_time and state == consent.State.GRANTED:
            parts.append(moment(_W["expire_time"], line.expire_time))
    return b"".join(parts)


def recorded(line: Consent, contact_id: str, values: bool = True) -> bytes:
    """A `ConsentRecord`: a line of the ledger. `values`: with proof and event, which may lead to
    the person."""
    return b"".join(
        (
            text(_R["consent_id"], line.consent_id),
            text(_R["contact_id"], contact_id),
            message(
                _R["change"],
                word(_G["purpose"], line.purpose),
                _GRANTED if line.granted else b"",
                word(_G["channel"], line.channel),
                word(_G["text_version"], line.text_version),
                text(_G["proof"], line.proof) if values else b"",
                word(_G["legal_basis"], line.legal_basis),
                moment(_G["expire_time"], line.expire_time) if line.expire_time else b"",
                word(_G["medium"], line.medium),
                word(_G["language"], line.language),
                word(_G["jurisdiction"], line.jurisdiction),
                *(word(_G["data_categories"], one) for one in line.data_categories),
            ),
            moment(_R["event_time"], line.event_time),
            moment(_R["create_time"], line.create_time) if line.create_time else b"",
            word(_R["source"], line.source),
            text(_R["event_id"], line.event_id) if values else b"",
        )
    )


def facts(document: Document, mask: Mask, within: bytes) -> Iterator[bytes]:
    """Attributes, in the field whose tag is `within`."""
    known = document.attributes
    if not known:
        return
    for name in mask.seen("attributes", known):
        fact = known.get(name)
        if fact is not None and fact.value is not None:
            json = orjson.dumps(fact.value)
            yield _attribute(within, name, json, fact.source, fact.change_time, fact.time)


def computed(found: Contact, mask: Mask, within: bytes) -> Iterator[bytes]:
    """Traits, in the field whose tag is `within`."""
    names = list(mask.seen("traits", _TRAITS))
    values = traits.values_json(found.document, set(names))
    if found.standing.level:
        values[_ENGAGEMENT] = orjson.dumps(found.standing.level)
    stamp = found.document.stamp
    for name in names:
        if json := values.get(name):
            yield _attribute(within, f"traits.{name}", json, SOURCE, stamp, stamp)


def stood(found: Contact, within: bytes) -> bytes:
    """The stage, in the field whose tag is `within`."""
    stage, enter_time, previous, *_ = found.standing
    if not stage:
        return b""
    return message(
        within,
        word(_S["stage"], stage),
        moment(_S["enter_time"], enter_time),
        word(_S["previous_stage"], previous),
    )


def _attribute(
    within: bytes, name: str, json: bytes, source: str, change_time: int, confirm_time: int
) -> bytes:
    return message(
        within,
        word(_F["name"], name),
        message(_F["value_json"], json),
        word(_F["source"], source),
        moment(_F["change_time"], change_time),
        moment(_F["confirm_time"], confirm_time),
    )


def inferred(within: bytes, value: str, source: str, time: int) -> bytes:
    """An `Inference`, in the field whose tag is `within`; nothing of what is unknown."""
    if not value:
        return b""
    return message(
        within,
        word(_I["value"], value),
        word(_I["source"], source),
        moment(_I["change_time"], time),
    )
