"""The picture of a person: how happenings change it, and how two become one. Pure.

Everything is commutative: the same happenings, in any order and in any batches, give the same
picture.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from chassis.failures import EtagMismatch, Failure, FieldInvalid
from chassis.ids import derived_id
from services.profile import attributes, consent, phone, traits
from services.profile.identity import MOST_IDENTITIES
from services.profile.model import (
    Change,
    Consent,
    Contact,
    Created,
    Document,
    Happening,
    Kind,
    Known,
    Merged,
    Note,
    Place,
    Window,
)

_PREFIX: Final = "traits."


class Rejected(Exception):
    """One happening cannot be taken in; without it the others can."""

    def __init__(self, position: int, failure: Failure) -> None:
        super().__init__(position)
        self.position = position
        self.failure = failure


class Unfolded(NamedTuple):
    """One person after a batch of happenings."""

    contact_id: str
    document: Document
    created: bool
    absorbed: list[Contact]
    notes: list[Note]
    """What is to be said, in this order."""
    consents: list[Consent]
    """New lines of the ledger."""
    etags: dict[int, str]
    """Position of a happening → the etag after it."""


def survivor(contacts: Sequence[Contact]) -> Contact:
    """Of contacts that are one person, the one that stays: the oldest, then the smallest id."""
    return min(contacts, key=lambda contact: (contact.create_time, contact.contact_id))


def unfold(
    contacts: Sequence[Contact],
    happenings: Sequence[tuple[int, Happening]],
    new_id: str,
    now: int,
) -> Unfolded:
    """Take happenings of one person, each with its position, into the contacts they have been.

    Without contacts a new one is made with `new_id`. Raises `Rejected` for a happening that
    cannot be taken in; the documents given are then spoiled.
    """
    notes: list[Note] = []
    lines: list[Consent] = []
    etags: dict[int, str] = {}
    absorbed: list[Contact] = []
    first = happenings[0][1]
    if contacts:
        contact_id, _, _, document = stays = survivor(contacts)
        absorbed = [contact for contact in contacts if contact is not stays]
    else:
        contact_id, document = new_id, Document(now, revision=1)
        notes.append(Note(new_id, derived_id("new", new_id), first, [], Created()))
    for other in absorbed:
        try:
            changes, held = _absorb(document, other)
        except Failure as failure:
            raise Rejected(happenings[0][0], failure) from None
        event_id = derived_id("mrg", contact_id, other.contact_id)
        notes.append(Note(contact_id, event_id, first, changes, Merged(other.contact_id)))
        notes += [
            Note(contact_id, derived_id("cns", line.consent_id, contact_id), first, [], line)
            for line in held
        ]
    for position, happening in happenings:
        if happening.etag and happening.etag != document.etag:
            raise Rejected(
                position,
                EtagMismatch(document.etag),
            )
        try:
            changes, held = _take(document, happening)
        except Failure as failure:
            raise Rejected(position, failure) from None
        notes.append(Note(contact_id, happening.event_id, happening, changes))
        lines += happening.consents
        if happening.name != "consent_changed":
            notes += [
                Note(contact_id, derived_id("cns", line.consent_id), happening, [], line)
                for line in held
            ]
        etags[position] = document.etag
    return Unfolded(contact_id, document, not contacts, absorbed, notes, lines, etags)


def _take(document: Document, happening: Happening) -> tuple[list[Change], list[Consent]]:
    """What one happening changes, and which of its consents now hold."""
    before = _inferred(document)
    linked = _link(document, happening)
    told = attributes.tell(document, happening)
    counted = traits.count(document, happening)
    held = [line for line in happening.consents if consent.record(document, line)]
    if happening.phone_number_id:
        document.window = max(document.window, Window(happening.time, happening.phone_number_id))
    if linked or told or held:
        document.revision += 1
    return _changes(document, told, counted, before, happening.time), held


def _absorb(document: Document, other: Contact) -> tuple[list[Change], list[Consent]]:
    """Take in all of another contact; returns what that changes and consents that now hold."""
    before = _inferred(document)
    gone = other.document
    for identity, known in gone.identities.items():
        old = document.identities.get(identity)
        document.identities[identity] = known if old is None else _joined(old, known)
    told = []
    for name, fact in gone.attributes.items():
        former = document.attributes.get(name)
        now = fact if former is None else attributes.later(former, fact)
        document.attributes[name] = now
        if now.value != (former.value if former else None):
            told.append(name)
    traits.join(document, gone)
    held = [line for line in gone.consents.values() if consent.record(document, line)]
    document.window = max(document.window, gone.window)
    document.absorbed += [other.contact_id, *gone.absorbed]
    document.revision = max(document.revision, gone.revision) + 1
    document.stamp = max(document.stamp, gone.stamp)
    attributes.limit(document)
    _limit(document)
    _settle(document)
    return _changes(document, told, list(traits.names(document)), before, 0), held


def _link(document: Document, happening: Happening) -> bool:
    """Take in the identities of a happening; returns whether any is new or ended."""
    time, source, changed, settle = happening.time, happening.source, False, False
    for identity in happening.identities:
        old = document.identities.get(identity)
        seen = Known(source, time, time, time if identity in happening.ended else 0)
        if old is None:
            document.identities[identity] = seen
            _limit(document)
            changed = settle = True
        elif seen.end_time or not old.first_time < time <= old.last_time:
            new = document.identities[identity] = _joined(old, seen)
            changed |= new.active != old.active
            settle |= identity.kind == Kind.WA_ID
    if settle:
        _settle(document)
    return changed


def _joined(one: Known, other: Known) -> Known:
    """What two contacts, or two happenings, know of one identity."""
    first_time, source = min((one.first_time, one.source), (other.first_time, other.source))
    return Known(
        source,
        first_time,
        max(one.last_time, other.last_time),
        max(one.end_time, other.end_time),
    )


def _settle(document: Document) -> None:
    """Keep what follows from the number a person uses now: the one last used."""
    numbers = [
        (known.last_time, identity.value)
        for identity, known in document.identities.items()
        if identity.kind == Kind.WA_ID and known.active
    ]
    now = max(numbers)[1] if numbers else ""
    if now != document.place.phone:
        document.place = phone.place(now) if now else Place()


def _limit(document: Document) -> None:
    if len(document.identities) > MOST_IDENTITIES:
        raise FieldInvalid(
            "identities",
            f"a contact has at most {MOST_IDENTITIES}; is one of these shared by many?",
            limit=str(MOST_IDENTITIES),
        )


def _inferred(document: Document) -> dict[str, str]:
    """What is told or else inferred, by name."""
    return {
        "zone": attributes.zone(document)[0],
        "language": attributes.language(document)[0],
    }


def _changes(
    document: Document,
    told: Sequence[str],
    computed: Sequence[str],
    before: dict[str, str],
    time: int,
) -> list[Change]:
    """Changes to publish. Each of what is computed is newer than any before it, whatever order
    the happenings come in, so that whoever keeps the newest keeps the right one."""
    changes = [
        Change(name, b"" if fact.value is None else orjson.dumps(fact.value), fact.time)
        for name in told
        if name not in before and (fact := document.attributes[name])
    ]
    inferred = [(n, value) for n, value in _inferred(document).items() if value != before[n]]
    if inferred or computed:
        document.stamp = stamp = max(document.stamp + 1, time)
        changes += [Change(n, orjson.dumps(v) if v else b"", stamp) for n, v in inferred]
        changes += [Change(_PREFIX + n, traits.value_json(document, n), stamp) for n in computed]
    return changes
