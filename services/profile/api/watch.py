"""Changes of contacts as they happen: the topic `contact`, for whoever watches."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from chassis import paging
from chassis.failures import FieldInvalid
from chassis.streams import Watch, readable
from merhaba.event.v1 import Event
from merhaba.profile.v1 import WatchContactsRequest
from services.profile.contract import asked

_TOPIC: Final = "contact"
_MOST: Final = 1_000


async def changes(
    watch: Watch, request: WatchContactsRequest
) -> AsyncIterator[tuple[str, list[Event]]]:
    """Events that are wanted, each time with the cursor behind them, until cancelled; without
    events it is a heartbeat. Raises `FieldInvalid`, `TokenInvalid` and `CursorExpired`."""
    chosen = _Chosen(request)
    query = paging.query(request)
    async for found in watch.follow([_TOPIC], query, request.cursor, None, chosen.of):
        yield found


class _Chosen:
    """What of the topic is wanted."""

    def __init__(self, request: WatchContactsRequest) -> None:
        for field in ("contact_ids", "names", "attribute_names"):
            if len(getattr(request, field)) > _MOST:
                raise FieldInvalid(field, f"are more than {_MOST}", limit=str(_MOST))
        self._contacts = frozenset(map(asked.known_id, request.contact_ids))
        self._names = frozenset(request.names)
        self._attributes = frozenset(request.attribute_names)

    def of(self, topic: str, raws: Sequence[bytes]) -> list[Event]:
        """Those that are wanted."""
        return [event for event in readable(Event, topic, raws) if self._wants(event)]

    def _wants(self, event: Event) -> bool:
        body = event.WhichOneof("body") or ""
        name = event.tracked.name if body == "tracked" else body
        return (
            (not self._contacts or not self._contacts.isdisjoint(_whose(event)))
            and (not self._names or name in self._names)
            and (
                not self._attributes
                or any(change.name in self._attributes for change in event.changes)
            )
        )


def _whose(event: Event) -> list[str]:
    """Contacts that an event is about: of a merge or split, both."""
    return [
        event.contact_id,
        event.contact_merged.absorbed_contact_id,
        event.contact_split.from_contact_id,
    ]
