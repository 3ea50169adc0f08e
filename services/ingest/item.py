"""One item of a webhook with all that is known around it. Pure."""

from typing import Any, Final, NamedTuple

import msgspec
import orjson

from chassis.failures import FieldInvalid
from services.ingest.fields import epoch_ms

OBJECT: Final = "whatsapp_business_account"


class Change(msgspec.Struct, gc=False):
    """One change of one entry: what all its items have in common."""

    waba_id: str
    entry_time: Any
    field: str
    value: dict[str, Any]
    phone_number_id: str
    display_phone_number: str
    received_ms: int
    scope: str
    """Of business-scoped user ids: the portfolio when it is known, else the WABA."""
    contacts: dict[str, int] | None = None
    """Where the contact block of a number or user id stands, once somebody asked."""

    @property
    def source(self) -> str:
        return f"whatsapp:{self.phone_number_id or self.waba_id}"

    def time_ms(self, value: Any) -> int:
        """Meta's time of an item, else of its entry, else the moment of receipt."""
        return epoch_ms(value) or epoch_ms(self.entry_time) or self.received_ms


class Item(msgspec.Struct, gc=False):
    """One item of a change, or the whole value of a change that has no items."""

    change: Change
    part: str
    """Name of the list it stands in; empty for a whole value."""
    body: dict[str, Any]
    thread: dict[str, Any] | None = None
    """The conversation around a message of the history."""

    def alone(self) -> bytes:
        """A webhook with nothing but this item."""
        value: dict[str, Any] = self.change.value
        if self.part:
            shared = {k: v for k, v in value.items() if k in ("metadata", "contacts")}
            inside: dict[str, Any] = self.body
            if self.thread is not None:
                inside = {"threads": [{**self.thread, "messages": [inside]}]}
            value = {**shared, self.part: [inside]}
        change = {"field": self.change.field, "value": value}
        entry = {"id": self.change.waba_id, "time": self.change.entry_time, "changes": [change]}
        return webhook_of(entry)


class Broken(NamedTuple):
    """A place where there should be items and are none."""

    failure: FieldInvalid
    entry: Any

    def alone(self) -> bytes:
        """A webhook with nothing but this place."""
        return webhook_of(self.entry)


def webhook_of(entry: Any) -> bytes:
    """A webhook of one entry."""
    try:
        return orjson.dumps({"object": OBJECT, "entry": [entry]})
    except TypeError:
        # orjson reads deeper nesting than it writes; the archive has every byte of it
        return orjson.dumps({"object": OBJECT, "entry": ["nested too deeply"]})
