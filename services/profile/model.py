"""The nouns of profile: what happened, whom it happened to, and what follows. No I/O, no wire.

Times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec

from chassis.failures import Invalid, NotFound, Refused


class ValueInvalid(Invalid):
    """An attribute's value cannot be kept."""


class ContactNotFound(NotFound):
    """Nobody is, or no longer is, that contact."""


class IdentitiesConflict(Refused):
    """The identities belong to different people."""


class Kind(IntEnum):
    """Kinds of identity, numbered as in the contract."""

    WA_ID = 1
    BSUID = 2
    EXTERNAL_ID = 3
    ANONYMOUS_ID = 4
    EMAIL = 5
    PARENT_BSUID = 6


class Identity(NamedTuple):
    """One way to recognise a person, in the form that is compared."""

    kind: int
    scope: str
    value: str


class Consent(msgspec.Struct, array_like=True, frozen=True):
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


class Happening(msgspec.Struct):
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


class Known(msgspec.Struct, array_like=True, frozen=True):
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


class Fact(msgspec.Struct, array_like=True, frozen=True):
    """An attribute's value and where it comes from."""

    value: Any
    """JSON; None when the attribute was removed."""
    time: int
    """The last time it was said."""
    tie: int
    """Decides between facts of the same time; follows from the event's id."""
    source: str


class Place(msgspec.Struct, array_like=True, frozen=True):
    """What a phone number says of where its owner is. Empty is unknown."""

    phone: str = ""
    market: str = ""
    """ISO 3166 alpha-2."""
    zone: str = ""
    """IANA name."""
    language: str = ""
    """BCP 47."""


class Window(msgspec.Struct, array_like=True, frozen=True, order=True):
    """When the person last wrote to us or called, and which of our numbers."""

    time: int = 0
    phone_number_id: str = ""


class Document(msgspec.Struct, array_like=True):
    """All that is known of one contact; stored as it is, so fields are only ever added last."""

    create_time: int
    identities: dict[Identity, Known] = {}
    attributes: dict[str, Fact] = {}
    counts: dict[str, int] = {}
    """Traits that add up; money in units of 1/1,000,000."""
    times: dict[str, int] = {}
    """Traits that are a first or last time."""
    consents: dict[str, Consent] = {}
    """The line that holds, by purpose and medium."""
    place: Place = Place()
    window: Window = Window()
    absorbed: list[str] = []
    """Contacts that were merged into this one, all of them."""
    revision: int = 0
    """Counts changes of identities, attributes and consents."""
    stamp: int = 0
    """Time of the newest published trait: every later one is newer, whatever its event's time."""

    @property
    def etag(self) -> str:
        """Changes with identities, attributes and consents; not with traits."""
        return f"r{self.revision}"


class Contact(NamedTuple):
    """A contact as it is stored."""

    contact_id: str
    create_time: int
    update_time: int
    document: Document

    @property
    def ids(self) -> list[str]:
        """All ids under which the person's events and consents stand."""
        return [self.contact_id, *self.document.absorbed]


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


class Note(NamedTuple):
    """Something to be said about a contact: the happening itself, or what followed from it."""

    contact_id: str
    event_id: str
    cause: Happening
    changes: list[Change]
    body: Created | Merged | Consent | None = None
    """None is the happening itself."""


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
