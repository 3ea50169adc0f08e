"""The nouns of profile: what happened, whom it happened to, and what follows. No I/O, no wire.

Times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec

from chassis.failures import Invalid, NotFound, Refused, Unavailable
from chassis.ids import fingerprint
from services.profile.person.tallies import Latest, Tallies

_SAYINGS: Final = 3
_SMALLEST_TIE: Final = 65  # bits of a fingerprint to drop, so that a tie is a signed 64-bit int


class ValueInvalid(Invalid):
    """An attribute's value cannot be kept."""


class ContactNotFound(NotFound):
    """Nobody is, or no longer is, that contact."""


class IdentitiesConflict(Refused):
    """The identities belong to different people."""


class NotMerged(Refused):
    """The contact was never absorbed by another."""


class ProcessingRestricted(Refused):
    """Processing of the person's data is restricted."""


class ServiceUnavailable(Unavailable):
    """Another service did not answer."""


class Kind(IntEnum):
    """Kinds of identity, numbered as in the contract."""

    WA_ID = 1
    BSUID = 2
    EXTERNAL_ID = 3
    ANONYMOUS_ID = 4
    EMAIL = 5
    PARENT_BSUID = 6


class ValueType(IntEnum):
    """Types of attributes and traits, numbered as in the contract."""

    STRING = 1
    INTEGER = 2
    NUMBER = 3
    BOOLEAN = 4
    TIMESTAMP = 5
    DATE = 6
    STRING_LIST = 7
    NUMBER_LIST = 8
    NUMBER_MAP = 9
    LOCATION = 10
    JSON = 11


class Identity(NamedTuple):
    """One way to recognise a person, in the form that is compared."""

    kind: int
    scope: str
    value: str


class Consent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A line of the consent ledger."""

    consent_id: str
    event_time: int
    """When the person said it."""
    purpose: str
    granted: bool
    channel: str = ""
    text_version: str = ""
    proof: str = ""
    legal_basis: str = ""
    medium: str = ""
    """Empty for every medium."""
    expire_time: int = 0
    """0 is never."""
    create_time: int = 0
    source: str = ""
    event_id: str = ""
    language: str = ""
    """BCP 47 of the text."""
    jurisdiction: str = ""
    data_categories: tuple[str, ...] = ()


class Restriction(msgspec.Struct, array_like=True, frozen=True):
    """Why what is held of a person may not be used, and since when."""

    reason: str = ""
    caller: str = ""
    create_time: int = 0
    lift_time: int = 0
    """0: it stands."""

    @property
    def stands(self) -> bool:
        """Whether it holds now."""
        return self.create_time > 0 and not self.lift_time

    def joined(self, other: Restriction) -> Restriction:
        """Of two members' the one that holds of the person: that stands, or else the latest."""
        return max(self, other, key=lambda one: (one.stands, msgspec.structs.astuple(one)[::-1]))


class Happening(msgspec.Struct, gc=False):
    """An event as profile sees it, before anybody knows whom it happened to."""

    event_id: str
    name: str
    """As expressions know it."""
    time: int
    received: int
    source: str
    contact_id: str = ""
    """Set when the sender of the event knew the contact."""
    identities: tuple[Identity, ...] = ()
    """All of one person."""
    ended: tuple[Identity, ...] = ()
    """Those that lead to the person no longer."""
    attributes: Mapping[str, Any] = {}
    """Facts that were told, as JSON values; None removes one."""
    attribute_times: Mapping[str, int] = {}
    """Times of facts that do not hold from `time` on."""
    amount: int = 0
    """Money, in units of 1/1,000,000."""
    consents: tuple[Consent, ...] = ()
    """Lines for the ledger."""
    restriction: Restriction | None = None
    """What of restrictions it makes hold, of the whole person."""
    phone_number_id: str = ""
    """Our number that the person wrote to or called: it opens the 24-hour window."""
    counts: bool = True
    """Whether it goes into the traits."""
    create: bool = True
    """Whether someone unknown becomes a contact."""
    etag: str = ""
    """When set, the contact's must be the same."""
    raw: bytes = b""
    """The serialised event."""
    traceparent: str = ""
    properties: Mapping[str, Any] = {}
    """What traits follow from, as JSON values."""

    _tie: int = 0

    @property
    def tie(self) -> int:
        """Decides between facts of the same time."""
        if not self._tie:
            self._tie = fingerprint(self.event_id).int >> _SMALLEST_TIE
        return self._tie

    def latest(self, value: Any = None) -> Latest:
        """A value that the happening says, and when."""
        return Latest(self.time, self.tie, value)


class Known(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is known of an identity of a contact."""

    source: str
    """Who said so first."""
    first_time: int
    last_time: int
    end_time: int = 0
    """When it was said to lead to the person no longer; 0 is never."""

    @property
    def active(self) -> bool:
        """Whether it leads to the person: it was used since its end, or has none."""
        return self.end_time < self.last_time or not self.end_time

    def joined(self, other: Known) -> Known:
        """What both know."""
        first_time, source = min((self.first_time, self.source), (other.first_time, other.source))
        return Known(
            source,
            first_time,
            max(self.last_time, other.last_time),
            max(self.end_time, other.end_time),
        )


_EVER: Final = 1 << 62
UNSEEN: Final = Known("", _EVER, -_EVER)
"""Of an identity whose events are all folded into other members' documents."""


class Fact(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An attribute's value, where it comes from, and what is left of when it was said before."""

    value: Any
    """JSON; None when the attribute was removed."""
    time: int
    """The last time it was said."""
    tie: int
    """Decides between facts of the same time; follows from the event's id."""
    source: str
    earlier: tuple[int, ...] = ()
    """The newest other times it was said, since anything else was: at most `_SAYINGS`."""
    otherwise: int | None = None
    """The last time anything else was said."""
    first: int | None = None
    """The first time anything was said; None is `time`."""

    @property
    def change_time(self) -> int:
        """Since when it holds. Of a value that was repeated often it is a time from which it
        certainly held: not every repeat can be kept, and they may come in any order."""
        if self.otherwise is None and self.first is not None:
            return self.first
        return self.earlier[0] if self.earlier else self.time

    def joined(self, other: Fact) -> Fact:
        """What holds when both were said, with what both know of it."""
        old, new = sorted((self, other), key=lambda fact: (fact.time, fact.tie))
        times = {*new.earlier, new.time}
        known = [fact.otherwise for fact in (old, new) if fact.otherwise is not None]
        if type(old.value) is type(new.value) and old.value == new.value:
            times |= {*old.earlier, old.time}
        else:
            known.append(old.time)
        otherwise = max(known, default=None)
        times.discard(new.time)
        earlier = sorted(t for t in times if otherwise is None or t > otherwise)[-_SAYINGS:]
        first = min(f.time if f.first is None else f.first for f in (old, new))
        return Fact(new.value, new.time, new.tie, new.source, tuple(earlier), otherwise, first)


class Place(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a phone number says of where its owner is. Empty is unknown."""

    phone: str = ""
    market: str = ""
    """ISO 3166 alpha-2."""
    zone: str = ""
    """IANA name."""
    language: str = ""
    """BCP 47."""


class Window(msgspec.Struct, array_like=True, frozen=True, order=True, gc=False):
    """When the person last wrote to us or called, and which of our numbers."""

    time: int = 0
    phone_number_id: str = ""


class Document(msgspec.Struct, array_like=True, gc=False):
    """All that the events of one member say; or, joined, those of all members of a person.

    Stored as it is, so fields are only ever added last.
    """

    create_time: int
    identities: dict[Identity, Known] = {}
    """Those whose home is here."""
    attributes: dict[str, Fact] = {}
    counts: dict[str, int] = {}
    """Traits that add up; money in units of 1/1,000,000."""
    times: dict[str, int] = {}
    """Traits that are a first or last time."""
    consents: dict[str, Consent] = {}
    """The line that holds, by purpose and medium."""
    place: Place = Place()
    window: Window = Window()
    guests: dict[Identity, Known] = {}
    """Those whose home is another member, and that came with events of this one."""
    revision: int = 0
    """Counts changes of identities, attributes and consents."""
    stamp: int = 0
    """Time of the newest published trait: every later one is newer, whatever its event's time."""
    tallies: Tallies = msgspec.field(default_factory=Tallies)
    """What further traits follow from."""
    restriction: Restriction = Restriction()

    @property
    def etag(self) -> str:
        """Changes with identities, attributes and consents; not with traits."""
        return f"r{self.revision}"


class Standing(NamedTuple):
    """Where a contact stands."""

    stage: str = ""
    enter_time: int = 0
    """When it came there (ms); of one contact each is later than the one before."""
    previous_stage: str = ""
    score: int | None = None
    """Of engagement."""
    level: str = ""
    """Empty as long as there is nobody to compare with."""
    due: int | None = None
    """When the stage may change by time alone (ms)."""
    version: int = 0
    """Of the rules that it follows from."""


class Member(NamedTuple):
    """A row of the contacts: identities first seen together, and what their events say."""

    contact_id: str
    create_time: int
    update_time: int
    document: Document
    survivor_id: str = ""
    """The member that stands for the person, itself perhaps; empty for a person of one."""
    standing: Standing | None = None
    """Where the person stands, or stood when this member last stood for one."""

    @property
    def person_id(self) -> str:
        """The contact that this member is part of."""
        return self.survivor_id or self.contact_id

    @property
    def anonymous(self) -> bool:
        """Whether it is a browser or device, which several people may share."""
        return all(kind == Kind.ANONYMOUS_ID for kind, _, _ in self.document.identities)


class Contact(NamedTuple):
    """A person: all members together."""

    contact_id: str
    create_time: int
    update_time: int
    document: Document
    absorbed: tuple[str, ...] = ()
    """Its other members."""
    standing: Standing = Standing()

    @property
    def ids(self) -> list[str]:
        """All ids under which the person's events and consents stand."""
        return [self.contact_id, *self.absorbed]


class Change(NamedTuple):
    """A published change of an attribute or trait."""

    name: str
    value_json: bytes
    """Empty when removed."""
    time: int


class Created(NamedTuple):
    """A contact was seen for the first time."""


class Merged(NamedTuple):
    """Two contacts turned out to be one."""

    absorbed_id: str
    member_ids: tuple[str, ...]
    """All ids the absorbed one stood for, its own among them."""


class Split(NamedTuple):
    """A contact turned out to be no part of another."""

    from_id: str
    member_ids: tuple[str, ...]
    """All ids it stands for now, its own among them."""


class Staged(NamedTuple):
    """A contact moved to another stage of the customer journey."""

    previous: str
    stage: str


class Note(NamedTuple):
    """Something to be said about a contact: the happening itself, or what followed from it."""

    contact_id: str
    home_id: str
    """The member under which it is kept."""
    event_id: str
    cause: Happening
    time: int
    changes: list[Change]
    body: Created | Merged | Split | Staged | Consent | Restriction | None = None
    """None is the happening itself."""
    confirm: bool = False
    """Of a consent: whether the person is to be told that it was understood."""


class Outcome(NamedTuple):
    """What became of a happening."""

    contact_id: str
    created: bool
    etag: str


class StoredEvent(NamedTuple):
    """An event of a contact as it is kept."""

    contact_id: str
    """The id it came with, which may be one that was merged since."""
    time: int
    event: str
    """Orders events of the same time."""
    body: bytes


NOBODY: Final = "00000000-0000-0000-0000-000000000000"
"""Before every contact id."""
