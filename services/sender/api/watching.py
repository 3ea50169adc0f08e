"""Messages as they change: the topic `message`, for whoever watches."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol

from chassis import paging
from chassis.failures import FieldInvalid
from chassis.streams import Watch, readable
from merhaba.event.v1 import Event, MessageRef
from merhaba.sender.v1 import WatchMessagesRequest, WatchMessagesResponse
from services.sender.model import Message
from services.sender.wire import message_proto

_TOPIC: Final = "message"
_LONGEST: Final = 128


class Messages(Protocol):
    """The outbox, as watching needs it."""

    async def several(self, message_ids: Sequence[str]) -> Mapping[str, Message]: ...


class Watching:
    """Tells of messages that change."""

    def __init__(self, watch: Watch, messages: Messages) -> None:
        self._watch = watch
        self._messages = messages

    async def changes(self, request: WatchMessagesRequest) -> AsyncIterator[WatchMessagesResponse]:
        """Each message that changed, as it stands by now, and heartbeats. Raises FieldInvalid,
        TokenInvalid and CursorExpired."""
        chosen = _Chosen(request)
        query, before = paging.query(request), request.cursor
        async for cursor, ids in self._watch.follow([_TOPIC], query, before, None, chosen.of):
            known = await self._messages.several(list(dict.fromkeys(ids))) if ids else {}
            # Whoever goes on from any but the last gets them all once more
            left = len(known)
            for message in known.values():
                left -= 1
                now = before if left else cursor
                yield WatchMessagesResponse(cursor=now, message=message_proto(message))
            if not known:
                yield WatchMessagesResponse(cursor=cursor)
            before = cursor


class _Chosen:
    """What of the topic is wanted."""

    def __init__(self, request: WatchMessagesRequest) -> None:
        self._wanted: dict[str, str] = {}
        for field in ("contact_id", "campaign_id", "phone_number_id"):
            value = getattr(request, field)
            if len(value) > _LONGEST:
                raise FieldInvalid(field, f"at most {_LONGEST} characters", limit=str(_LONGEST))
            if value:
                self._wanted[field] = value

    def of(self, topic: str, raws: Sequence[bytes]) -> list[str]:
        """Ids of the messages that are wanted."""
        found = ((event, _ref(event)) for event in readable(Event, topic, raws))
        return [ref.message_id for event, ref in found if ref and self._wants(event, ref)]

    def _wants(self, event: Event, ref: MessageRef) -> bool:
        return bool(ref.message_id) and all(
            value == getattr(event if field == "contact_id" else ref, field)
            for field, value in self._wanted.items()
        )


def _ref(event: Event) -> MessageRef | None:
    """The message that an event is about; None where it is about none."""
    body = event.WhichOneof("body")
    ref = getattr(getattr(event, body), "message", None) if body else None
    return ref if isinstance(ref, MessageRef) else None
