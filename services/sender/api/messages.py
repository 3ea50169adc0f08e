"""MessageService: single messages, and why a message may or may not go."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Protocol

import grpc

from chassis import paging, telemetry
from chassis.failures import FieldInvalid, RequestIdReused
from chassis.reads import Reads
from merhaba.sender.v1 import (
    ExplainSendRequest,
    ExplainSendResponse,
    GetMessageRequest,
    GetMessageResponse,
    ListMessageEventsRequest,
    ListMessageEventsResponse,
    ListMessagesRequest,
    ListMessagesResponse,
    MarkReadRequest,
    MarkReadResponse,
    MessageServiceServicer,
    SendMessageRequest,
    SendMessageResponse,
    WatchMessagesRequest,
    WatchMessagesResponse,
)
from services.sender.api.backlog import Backlog
from services.sender.api.explaining import Explaining
from services.sender.api.intents import Intents, message_of
from services.sender.api.watching import Watching
from services.sender.body import content_of
from services.sender.failures import MessageNotFound
from services.sender.model import NEVER, Message, Number
from services.sender.tables.history import Recorded, history
from services.sender.wire import at, message_proto

_WAMID: Final = 128


class Messages(Protocol):
    """The outbox, as the API needs it."""

    async def add(self, message: Message) -> Message: ...
    async def get(self, column: str, value: str) -> Message | None: ...
    async def decision(self, message_id: str) -> Recorded | None: ...
    async def find(
        self,
        conditions: Mapping[str, Any],
        states: Sequence[int],
        after: tuple[int, str],
        n: int,
        since: int,
    ) -> list[Message]: ...


class Numbers(Protocol):
    """Business numbers, as the API needs them."""

    async def number(self, phone_number_id: str) -> Number: ...


class Platform(Protocol):
    """Meta, as the API needs it."""

    async def manage(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        credential: str = "default",
    ) -> dict[str, Any]: ...


class Waker(Protocol):
    """Dispatch, as the API needs it."""

    def wake(self, phone_number_id: str = "") -> None: ...


class MessageApi(MessageServiceServicer):
    """Single messages."""

    def __init__(
        self,
        messages: Messages,
        intents: Intents,
        explaining: Explaining,
        numbers: Numbers,
        platform: Platform,
        waker: Waker,
        watching: Watching,
        reads: Reads,
        backlog: Backlog,
    ) -> None:
        self._watching = watching
        self._reads = reads
        self._backlog = backlog
        self._messages = messages
        self._intents = intents
        self._explaining = explaining
        self._numbers = numbers
        self._platform = platform
        self._waker = waker

    async def SendMessage(
        self, request: SendMessageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> SendMessageResponse:
        """Intend one message."""
        known = await self._messages.get("message_id", message_of(request.request_id))
        if known is None:
            message = await self._intents.requested(request)
            await self._backlog.admit(message)
            await self._intents.bring(request)
            message.traceparent = telemetry.traceparent()
            known = await self._messages.add(message)
            self._waker.wake(known.phone_number_id)
        # Of an erased person's message nothing is left to compare
        if known.contact_id and not await self._intents.same(request, known):
            raise RequestIdReused(request.request_id)
        return SendMessageResponse(message=message_proto(known))

    async def MarkRead(
        self, request: MarkReadRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> MarkReadResponse:
        """Show a person that their message was read."""
        number = await self._numbers.number(request.phone_number_id)
        typing = {"typing_indicator": {"type": "text"}} if request.typing else {}
        if not request.wamid or len(request.wamid) > _WAMID:
            raise FieldInvalid("wamid", f"1 to {_WAMID} characters", limit=str(_WAMID))
        mark = {"status": "read", "message_id": request.wamid, **typing}
        await self._platform.manage(
            "POST",
            f"{number.phone_number_id}/messages",
            {"messaging_product": "whatsapp", **mark},
            number.credential_name,
        )
        return MarkReadResponse()

    async def GetMessage(
        self, request: GetMessageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetMessageResponse:
        """Return one message as it stands."""
        key = request.WhichOneof("key")
        if key is None:
            raise FieldInvalid("message_id", "missing; give it, or a wamid")
        value = getattr(request, key)
        message = await self._messages.get(key, value)
        if message is None:
            raise MessageNotFound("no such message", **{key: value})
        found = message_proto(message)
        if request.include_content and message.body:
            await self._reads.record(message.message_id)
            found.content.CopyFrom(content_of(message.body))
        return GetMessageResponse(message=found)

    async def ListMessages(
        self, request: ListMessagesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListMessagesResponse:
        """List messages, latest planned first."""
        fields = ("contact_id", "campaign_id", "occurrence_id", "phone_number_id")
        conditions = {f: value for f in fields if (value := getattr(request, f))}
        if request.trace_id:
            conditions["traceparent <> '' AND substr(traceparent, 4, 32)"] = request.trace_id
        if not conditions:
            raise FieldInvalid(
                "contact_id", "name a contact, campaign, occurrence, number or trace"
            )
        query, n = paging.query(request), paging.size(request.page_size)
        end = (at(request, "end_time") or NEVER, "")
        after = paging.place(request.page_token, query, [int, str]) or end
        since = at(request, "start_time")
        found = await self._messages.find(conditions, request.states, after, n, since)
        return ListMessagesResponse(
            messages=[message_proto(message) for message in found],
            next_page_token=paging.token(query, (found[-1].plan_time, found[-1].message_id))
            if len(found) == n
            else "",
        )

    async def ListMessageEvents(
        self, request: ListMessageEventsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListMessageEventsResponse:
        """List all that happened to one message."""
        message = await self._messages.get("message_id", request.message_id)
        if message is None:
            raise MessageNotFound("no such message", message_id=request.message_id)
        found = history(message, await self._messages.decision(request.message_id))
        query, n = paging.query(request), paging.size(request.page_size)
        (start,) = paging.place(request.page_token, query, [int]) or (0,)
        more = start + n < len(found)
        return ListMessageEventsResponse(
            events=found[start : start + n],
            next_page_token=paging.token(query, [start + n]) if more else "",
        )

    async def WatchMessages(
        self, request: WatchMessagesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[WatchMessagesResponse]:
        """Stream messages as they change."""
        async for change in self._watching.changes(request):
            yield change

    async def ExplainSend(
        self, request: ExplainSendRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ExplainSendResponse:
        """Ask every gate, without sending anything."""
        return await self._explaining.explain(request)
