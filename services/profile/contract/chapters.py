"""Histories of contacts as the contract has them, written as bytes (see `packed`)."""

from collections.abc import Sequence
from typing import Final

from merhaba.event.v1 import Event
from merhaba.profile.v1 import Contact as WireContact
from merhaba.profile.v1 import ContactHistory, StreamHistoryResponse
from services.profile.contract import portrait
from services.profile.contract.masks import Mask
from services.profile.contract.packed import message, moment, number, tag, text
from services.profile.person import attributes
from services.profile.person.directory import Chapter

_HISTORIES: Final = tag(StreamHistoryResponse, "histories")
_H: Final = {name: tag(ContactHistory, name) for name in ContactHistory.DESCRIPTOR.fields_by_name}
_OWNER: Final = tag(Event, "contact_id")
_CONTINUED: Final = number(ContactHistory, "continued", True)
_STATES: Final = {
    False: number(ContactHistory, "state", WireContact.STATE_ACTIVE),
    True: number(ContactHistory, "state", WireContact.STATE_RESTRICTED),
}


def response(
    told: Sequence[Chapter], mask: Mask, cursor: str, passed: int, total: int
) -> StreamHistoryResponse:
    """An answer with histories, and how far it goes."""
    found = StreamHistoryResponse.FromString(
        b"".join(message(_HISTORIES, history(chapter, mask)) for chapter in told)
    )
    found.cursor, found.passed_count, found.total_count = cursor, passed, total
    return found


def history(chapter: Chapter, mask: Mask) -> bytes:
    """A `ContactHistory`: a contact with its events, or their continuation."""
    found, document = chapter.contact, chapter.contact.document
    contact_id = found.contact_id
    parts = [
        text(_H["contact_id"], contact_id),
        _CONTINUED if chapter.continued else b"",
        moment(_H["read_time"], chapter.read_time),
        _STATES[document.restriction.stands],
    ]
    if "events" in mask and chapter.events:
        # Of a field that comes twice the later counts: whose the event is now.
        owner = text(_OWNER, contact_id)
        parts += [message(_H["events"], one.body, owner) for one in chapter.events]
    if not chapter.first:
        return b"".join(parts)
    if "attributes" in mask:
        parts += portrait.facts(document, mask, _H["attributes"])
    if "traits" in mask:
        parts += portrait.computed(found, mask, _H["traits"])
    if "stage" in mask:
        parts.append(portrait.stood(found, _H["stage"]))
    if "consents" in mask:
        parts += [
            message(_H["consents"], portrait.recorded(line, contact_id))
            for line in chapter.consents
        ]
    if "zone" in mask:
        parts.append(portrait.inferred(_H["zone"], *attributes.zone(document)))
    if "language" in mask:
        parts.append(portrait.inferred(_H["language"], *attributes.language(document)))
    return b"".join(parts)
