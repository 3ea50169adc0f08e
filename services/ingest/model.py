"""The nouns of the front door. Times are epoch milliseconds, UTC."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final, Literal, NamedTuple

import msgspec

MESSAGES: Final = "inbound.message"
STATUSES: Final = "inbound.status"
TRACKED: Final = "inbound.track"
RAW: Final = "raw"
RETRY: Final = "raw.retry"

Body = dict[str, Any]
"""Fields of a message of the event contract, by their names there; nested ones are `Body` too."""

Door = Literal["whatsapp", "track"]


class Kind(IntEnum):
    """What kind of identifier it is; the numbers are the event contract's `Identity.Kind`."""

    WA_ID = 1
    BSUID = 2
    EXTERNAL_ID = 3
    ANONYMOUS_ID = 4
    EMAIL = 5
    PARENT_BSUID = 6


class Identity(NamedTuple):
    """One way in which a source recognised a person."""

    kind: Kind
    scope: str
    value: str


class Occurrence(msgspec.Struct, frozen=True, gc=False):
    """Something that happened, before it takes the form of the event contract."""

    topic: str
    event_id: str
    time_ms: int
    source: str
    name: str
    """The body's field in the contract's `Event`: `message_received`."""
    body: Body
    identities: Sequence[Identity] = ()
    contact_id: str = ""
    unrecognised: bool = False
    """Of a kind nobody knew: kept whole, and counted."""

    @property
    def key(self) -> str:
        """What keeps order within a shard: the person, or else the source."""
        if self.contact_id:
            return self.contact_id
        return self.identities[0].value if self.identities else self.source


class RawWebhook(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What Meta posted once, on its way to the archive."""

    webhook_id: str
    received_ms: int
    app: str
    body: bytes
    reason: str = ""
    """Why nothing of it could be read; empty for a webhook that could be read."""
    item_count: int = 0
    unrecognised_count: int = 0
    refused_count: int = 0
    fields: tuple[str, ...] = ()
    waba_ids: tuple[str, ...] = ()
    phone_number_ids: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    """Values of every identity inside, to be indexed blind."""


class Posted(msgspec.Struct, frozen=True, gc=False):
    """A posted item that could not be read: kept to be read again."""

    door: Door
    source: str
    """Whose: the name of the app or of the write key."""
    received_ms: int
    body: bytes
    """The item alone, in the form in which its door takes it."""
