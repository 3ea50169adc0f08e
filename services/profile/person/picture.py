"""The picture of a person: how happenings change it, and how members' pictures become one. Pure.

Everything is commutative: the same happenings, in any order and in any batches, give the same
picture; and pictures joined are as if all their happenings had been one's.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import orjson

from chassis.failures import EtagMismatch, Failure
from chassis.ids import derived_id
from services.profile.person import attributes, consent, phone, traits
from services.profile.person.model import (
    UNSEEN,
    Change,
    Consent,
    Contact,
    Created,
    Document,
    Happening,
    Identity,
    Kind,
    Known,
    Member,
    Merged,
    Note,
    Place,
    ProcessingRestricted,
    Restriction,
    Split,
    Standing,
    Window,
)
from services.profile.person.people import Part, Person, stands
from services.profile.person.placement import seen
from services.profile.person.traits import presence

_PREFIX: Final = "traits."
_NUMBER: Final = Kind.WA_ID
_INFERRED: Final = frozenset({"zone", "language"})
_USERS: Final = ("model:", "trigger:")
"""Sources that say what follows from use of the person's data."""


class Rejected(Exception):
    """One happening cannot be taken in; without it the others can."""

    def __init__(self, position: int, failure: Failure) -> None:
        super().__init__(position)
        self.position = position
        self.failure = failure


class Placed(NamedTuple):
    """A happening of a batch, and where it goes."""

    position: int
    happening: Happening
    home_id: str
    """The member."""


class Unfolded(NamedTuple):
    """One person after a batch of happenings."""

    person: Person
    changed: set[str]
    """Members whose documents changed."""
    notes: list[Note]
    """What is to be said, in this order."""
    lines: list[tuple[str, Consent]]
    """New lines of the ledger, each with its member."""
    etags: dict[int, str]
    """Position of a happening → the etag after it."""
    picture: Document
    cause: Happening
    """What made the person what it is now."""


def contact(members: Sequence[Member]) -> Contact:
    """The members of a person as whoever reads about the person sees them."""
    if len(members) == 1 and UNSEEN not in members[0].document.identities.values():
        one = members[0]  # nearly everybody
        return Contact(*one[:4], (), one.standing or Standing())
    first = stands(members)
    document = together([member.document for member in members])
    if UNSEEN in document.identities.values():
        since = Known("", first.create_time, first.create_time)
        seen_or_not = {i: since if k == UNSEEN else k for i, k in document.identities.items()}
        document = msgspec.structs.replace(document, identities=seen_or_not)
    return Contact(
        first.contact_id,
        min(member.create_time for member in members),
        max(member.update_time for member in members),
        document,
        tuple(sorted(m.contact_id for m in members if m is not first)),
        first.standing or Standing(),
    )


def together(documents: Sequence[Document]) -> Document:
    """Members' documents as one: themselves, if there is only one."""
    return documents[0] if len(documents) == 1 else _joined(documents)


def _joined(documents: Sequence[Document]) -> Document:
    joined = Document(min(document.create_time for document in documents))
    for document in documents:
        _join(joined, document)
    _present(joined)
    return joined


def unfold(
    person: Person,
    happenings: Sequence[Placed],
    homes: Mapping[Identity, str],
    made: Collection[str],
    cause: Happening,
    now: int,
) -> Unfolded:
    """Take happenings into a person's members, whose documents change.

    `homes`: of all identities of the happenings. `made`: members that are new. `cause`: what made
    the person what it is now. Raises `Rejected` for a happening that cannot be taken in; the
    documents are then spoiled.
    """
    members = {member.contact_id: member.document for member in person.members}
    picture, notes = _became(person, members, made, cause, now)
    result = Unfolded(person, set(), notes, [], {}, picture, cause)
    if len(members) > 1 and (happenings or notes):
        result.changed.add(person.contact_id)  # its time tells when the person changed
    for position, happening, home_id in happenings:
        if happening.etag and happening.etag != picture.etag:
            raise Rejected(position, EtagMismatch(picture.etag))
        if picture.restriction.stands and happening.source.startswith(_USERS):
            raise Rejected(position, _restricted(person.contact_id))
        home = members[home_id]
        agreed = _agreed(picture, happening) if happening.consents else {}
        try:
            changes, held = _take(picture, home, happening, homes, home_id, members)
        except Failure as failure:
            raise Rejected(position, failure) from None
        if happening.restriction is not None:
            result.changed.update(_restrict(picture, members, happening.restriction))
        told = (person.contact_id, home_id)
        notes.append(Note(*told, happening.event_id, happening, happening.time, changes))
        result.changed.add(home_id)
        result.etags[position] = picture.etag
        if not happening.consents:
            continue
        result.lines.extend((home_id, line) for line in happening.consents)
        if happening.name != "consent_changed":
            notes += [
                Note(
                    *told,
                    derived_id("cns", line.consent_id),
                    happening,
                    line.event_time,
                    [],
                    line,
                    agreed.get(line.purpose, line.granted) != line.granted,
                )
                for line in held
            ]
    return result


def _agreed(picture: Document, happening: Happening) -> dict[str, bool | None]:
    """Whether the person agreed, before, to what a keyword says; of nothing else."""
    return {
        line.purpose: None if before is None else before.granted
        for line in happening.consents
        if line.channel == consent.KEYWORD
        for before in [consent.standing(picture.consents.values(), line.purpose)]
    }


def _restrict(
    picture: Document, members: Mapping[str, Document], restriction: Restriction
) -> Collection[str]:
    """Have a restriction hold, or lift the one that holds, of all members; returns those that it
    changes."""
    changed = [
        member_id
        for member_id, document in members.items()
        if document.restriction.stands != restriction.stands
    ]
    for document in (picture, *(members[one] for one in changed)):
        document.restriction = restriction
    return changed


def _restricted(contact_id: str) -> ProcessingRestricted:
    return ProcessingRestricted(
        "processing of the person's data is restricted; lift the restriction first",
        contact_id=contact_id,
    )


def _became(
    person: Person,
    members: Mapping[str, Document],
    made: Collection[str],
    cause: Happening,
    now: int,
) -> tuple[Document, list[Note]]:
    """The picture of what the person was, and of those who turned out to be the same; with what is
    to be said of that."""
    contact_id = person.contact_id
    if len(person.parts) == 1 and person.parts[0] == (contact_id, tuple(members), ""):
        return together(list(members.values())), []  # nearly always: as it was

    def note(
        whose: str,
        kind: str,
        other: str,
        changes: list[Change],
        body: Merged | Split | Restriction,
    ) -> Note:
        event_id = derived_id(kind, whose, other, cause.event_id)
        return Note(whose, whose, event_id, cause, now, changes, body)

    notes: list[Note] = []
    own: list[str] = [member_id for member_id in members if member_id in made]
    if contact_id in made:
        event_id = derived_id("new", contact_id)
        notes.append(Note(contact_id, contact_id, event_id, cause, cause.time, [], Created()))
    others: list[Part] = []
    for part in person.parts:
        if part.contact_id == contact_id:
            own += part.member_ids
        else:
            others.append(part)
        if part.left_id:
            body = Split(part.left_id, part.member_ids)
            notes.append(note(part.contact_id, "spl", part.left_id, [], body))
    documents = [members[member_id] for member_id in own]
    picture = _joined(documents) if others else together(documents)
    for part in others:
        gone = together([members[member_id] for member_id in part.member_ids])
        free = not picture.restriction.stands
        changes, held = _absorb(picture, gone)
        merged = Merged(part.contact_id, part.member_ids)
        notes.append(note(contact_id, "mrg", part.contact_id, changes, merged))
        if free and picture.restriction.stands:
            notes.append(note(contact_id, "rst", part.contact_id, [], picture.restriction))
        notes += [
            Note(
                contact_id,
                contact_id,
                derived_id("cns", line.consent_id, contact_id, cause.event_id),
                cause,
                line.event_time,
                [],
                line,
            )
            for line in held
        ]
    if others:
        members[contact_id].stamp = picture.stamp
    return picture, notes


def _take(
    picture: Document,
    home: Document,
    happening: Happening,
    homes: Mapping[Identity, str],
    home_id: str,
    members: Collection[str],
) -> tuple[list[Change], list[Consent]]:
    """What one happening changes of a picture, and which of its consents now hold."""
    before = _inferred(picture) if _tells_more(picture, happening) else None
    changed = _link(picture, happening, homes, members)
    told = attributes.tell(picture, happening)
    counted = traits.count(picture, happening)
    held = [line for line in happening.consents if consent.record(picture, line)]
    if happening.phone_number_id:
        picture.window = max(picture.window, Window(happening.time, happening.phone_number_id))
    changed |= bool(told or held)
    if home is not picture:
        changed |= _link(home, happening, homes, (home_id,))
        changed |= bool(attributes.tell(home, happening))
        traits.fold(home, happening)
        for line in happening.consents:
            changed |= consent.record(home, line)
        if happening.phone_number_id:
            home.window = max(home.window, Window(happening.time, happening.phone_number_id))
        home.revision += changed
    picture.revision += changed
    changes = _changes(picture, told, counted, before, happening.time)
    home.stamp = picture.stamp
    return changes, held


def _tells_more(picture: Document, happening: Happening) -> bool:
    """Whether zone or language may follow from a happening: nothing else can change them. Any
    identity that is new here has the number looked for that the person uses now."""
    if happening.attributes or presence.telling(happening):
        return True
    known = picture.identities
    for identity in happening.identities:
        if identity.kind == _NUMBER or identity not in known or known[identity] == UNSEEN:
            return True
    return False


def _absorb(picture: Document, gone: Document) -> tuple[list[Change], list[Consent]]:
    """Take another person's picture into one; returns what that changes and consents that now
    hold."""
    before = _inferred(picture)
    former = dict(picture.attributes)
    agreed = dict(picture.consents)
    had = [traits.values_json(one, traits.PUBLISHED) for one in (picture, gone)]
    _join(picture, gone)
    _present(picture)
    told = [
        name
        for name, fact in picture.attributes.items()
        if fact.value != (former[name].value if name in former else None)
    ]
    held = [line for place, line in picture.consents.items() if agreed.get(place) != line]
    # All of them, and those there are no more: others may have joined what they knew of both
    counted = dict.fromkeys((*had[0], *had[1]), b"") | traits.values_json(picture, traits.PUBLISHED)
    return _changes(picture, told, counted, before, 0), held


def _join(document: Document, other: Document) -> None:
    """Take in what another document says, as if its happenings had been this one's. The other
    stays as it is, and shares nothing that can change."""
    for own, more in (
        (document.identities, other.identities),
        (document.guests, other.guests),
    ):
        for identity, known in more.items():
            old = own.get(identity)
            own[identity] = known if old is None else old.joined(known)
    for name, fact in other.attributes.items():
        former = document.attributes.get(name)
        document.attributes[name] = fact if former is None else former.joined(fact)
    traits.join(document, other)
    for line in other.consents.values():
        consent.record(document, line)
    document.place = max(document.place, other.place, key=lambda place: place.phone)
    document.window = max(document.window, other.window)
    document.restriction = document.restriction.joined(other.restriction)
    document.revision += other.revision
    document.stamp = max(document.stamp, other.stamp)


def _present(picture: Document) -> None:
    """Count for the identities of all members what each member knows of the others'."""
    for identity in picture.guests.keys() & picture.identities.keys():
        known = picture.identities[identity]
        picture.identities[identity] = known.joined(picture.guests[identity])
    _settle(picture)


def _link(
    document: Document,
    happening: Happening,
    homes: Mapping[Identity, str],
    members: Collection[str],
) -> bool:
    """Take in the identities of a happening; returns whether any is new or ended."""
    time, changed, settle = happening.time, False, False
    for identity in happening.identities:
        own = identity in document.identities or homes[identity] in members
        place = document.identities if own else document.guests
        old = place.get(identity)
        if old is None or old == UNSEEN:
            place[identity] = seen(identity, happening)
            changed = settle = True
        elif time > old.last_time and old.active and identity not in happening.ended:
            place[identity] = Known(old.source, old.first_time, time, old.end_time)
            settle |= identity.kind == _NUMBER and identity.value != document.place.phone
        elif identity in happening.ended or not old.first_time < time <= old.last_time:
            new = place[identity] = old.joined(seen(identity, happening))
            changed |= new.active != old.active
            used = identity.value == document.place.phone and new.active
            settle |= identity.kind == _NUMBER and not used
    if settle:
        _settle(document)
    return changed


def _settle(document: Document) -> None:
    """Keep what follows from the number a person uses now: the one last used."""
    numbers = [
        (known.last_time, identity.value)
        for identity, known in document.identities.items()
        if identity.kind == _NUMBER and known.active
    ]
    now = max(numbers)[1] if numbers else ""
    if now != document.place.phone:
        document.place = phone.place(now) if now else Place()


def _inferred(document: Document) -> dict[str, str]:
    """What is told or else inferred, by name."""
    return {
        "zone": attributes.zone(document)[0],
        "language": attributes.language(document)[0],
    }


def _changes(
    document: Document,
    told: Sequence[str],
    computed: Mapping[str, bytes],
    before: dict[str, str] | None,
    time: int,
) -> list[Change]:
    """Changes to publish. Each of what is computed is newer than any before it, whatever order
    the happenings come in, so that whoever keeps the newest keeps the right one.

    `before`: what was told or else inferred; None when it cannot have changed.
    """
    changes = [
        Change(name, b"" if fact.value is None else orjson.dumps(fact.value), fact.time)
        for name in told
        if name not in _INFERRED and (fact := document.attributes[name])
    ]
    inferred: Sequence[tuple[str, str]] = ()
    if before is not None:
        inferred = [(n, value) for n, value in _inferred(document).items() if value != before[n]]
    if inferred or computed:
        document.stamp = stamp = max(document.stamp + 1, time)
        changes += [Change(n, orjson.dumps(v) if v else b"", stamp) for n, v in inferred]
        changes += [Change(_PREFIX + n, json, stamp) for n, json in computed.items()]
    return changes
