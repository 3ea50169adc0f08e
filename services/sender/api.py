"""MessageService: single messages, and why a message may or may not go."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import grpc

from chassis import paging, telemetry
from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid, RequestIdReused, Unimplemented
from chassis.ids import derived_id
from merhaba.event.v1 import Identity
from merhaba.sender.v1 import (
    Content,
    Destination,
    ExplainSendRequest,
    ExplainSendResponse,
    GetMessageRequest,
    GetMessageResponse,
    ListMessagesRequest,
    ListMessagesResponse,
    MarkReadRequest,
    MarkReadResponse,
    MessageServiceServicer,
    SendMessageRequest,
    SendMessageResponse,
)
from services.sender.body import body_of
from services.sender.dispatch import Candidate
from services.sender.gates import Asked, Verdict, ask
from services.sender.model import (
    NEVER,
    Campaign,
    Contact,
    ContactNotFound,
    Lane,
    Message,
    MessageNotFound,
    Number,
    NumberUnusable,
    Template,
    TemplateNotFound,
)
from services.sender.personal import Writer
from services.sender.wire import at, message_proto, stamp, verdict_proto

_LATEST: Final = (NEVER, "")


class Messages(Protocol):
    """The outbox, as the API needs it."""

    async def add(self, message: Message) -> Message: ...
    async def get(self, column: str, value: str) -> Message | None: ...
    async def find(
        self, conditions: Mapping[str, Any], states: Sequence[int], after: tuple[int, str], n: int
    ) -> list[Message]: ...
    async def candidate(self, message: Message) -> Candidate: ...
    async def last_number(self, contact_id: str) -> str: ...
    async def numbers(self) -> Sequence[Number]: ...


class Contacts(Protocol):
    """Profile, as the API needs it."""

    async def read(
        self, contact_ids: Sequence[str], attributes: Sequence[str]
    ) -> Mapping[str, Contact]: ...
    async def resolve(self, identity: Identity) -> str: ...


class Shelf(Protocol):
    """Templates and numbers, as the API needs them."""

    async def number(self, phone_number_id: str) -> Number: ...
    async def named(self, waba_id: str, name: str, language: str = "") -> Sequence[Template]: ...


class Campaigns(Protocol):
    """Campaigns, as explaining needs them."""

    async def definition(self, campaign_id: str) -> Campaign: ...
    async def materials(self, campaign: Campaign) -> tuple[Sequence[Template], Sequence[str]]: ...


class Platform(Protocol):
    """Meta, as the API needs it."""

    async def manage(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]: ...


class Waker(Protocol):
    """Dispatch, as the API needs it."""

    def wake(self) -> None: ...


class MessageApi(MessageServiceServicer):
    """What is not here yet answers UNIMPLEMENTED."""

    def __init__(
        self,
        messages: Messages,
        contacts: Contacts,
        shelf: Shelf,
        campaigns: Campaigns,
        platform: Platform,
        waker: Waker,
        clock: Clock,
    ) -> None:
        self._messages = messages
        self._contacts = contacts
        self._shelf = shelf
        self._campaigns = campaigns
        self._platform = platform
        self._waker = waker
        self._clock = clock

    async def SendMessage(
        self, request: SendMessageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> SendMessageResponse:
        """Intend one message."""
        if not request.request_id:
            raise FieldInvalid("request_id", "missing; give a UUID")
        contact = await self._contact(request.destination)
        message = await self._message(contact, request.content, request.phone_number_id)
        message.message_id = derived_id("msg", "request", request.request_id)
        message.purpose = request.purpose
        message.context_wamid = request.context_wamid
        message.not_after = at(request, "not_after_time")
        message.due_time = max(message.due_time, at(request, "not_before_time"))
        message.traceparent = telemetry.traceparent()
        stored = await self._messages.add(message)
        if (stored.contact_id, stored.body) != (message.contact_id, message.body):
            raise RequestIdReused(request.request_id)
        self._waker.wake()
        return SendMessageResponse(message=message_proto(stored))

    async def _contact(self, destination: Destination) -> Contact:
        match destination.WhichOneof("destination"):
            case "contact_id":
                contact_id = destination.contact_id
            case "identity":
                contact_id = await self._contacts.resolve(destination.identity)
            case "group_id":
                raise Unimplemented("messages to groups cannot be sent yet")
            case _:
                raise FieldInvalid("destination", "missing; say who")
        found = (await self._contacts.read([contact_id], ())).get(contact_id)
        if found is None:
            raise ContactNotFound("profile knows no such contact", contact_id=contact_id)
        return found

    async def _message(self, contact: Contact, content: Content, number_id: str) -> Message:
        """A planned message with this content, not stored."""
        number = await self._number(contact.contact_id, number_id)
        now = milliseconds_of(self._clock.now())
        message = Message(
            message_id="",
            contact_id=contact.contact_id,
            campaign_id="",
            occurrence_id="",
            phone_number_id=number.phone_number_id,
            template="",
            language="",
            variant="",
            propensity=1.0,
            purpose="",
            context_wamid="",
            body=body_of(content),
            lane=Lane.REPLY,
            not_after=0,
            plan_time=now,
            received_time=now,
            traceparent="",
            category="service",
            due_time=now,
        )
        if content.HasField("template"):
            name, language = content.template.name, content.template.language
            found = await self._shelf.named(number.waba_id, name, language)
            if not found:
                raise TemplateNotFound(
                    f"{name} is not known in {language}; sync the account's templates",
                    waba_id=number.waba_id,
                    name=name,
                    language=language,
                )
            message.template, message.language = name, language
            message.category = found[0].category_at(now)
            bulk = message.category == "marketing"
            message.lane = Lane.BULK if bulk else Lane.TRANSACTIONAL
        return message

    async def _number(self, contact_id: str, phone_number_id: str) -> Number:
        wanted = phone_number_id or await self._messages.last_number(contact_id)
        if wanted:
            return await self._shelf.number(wanted)
        numbers = sorted(await self._messages.numbers(), key=lambda n: n.phone_number_id)
        if not numbers:
            raise NumberUnusable(
                "no business number sends; register one or resume one", problem="none"
            )
        return numbers[0]

    async def MarkRead(
        self, request: MarkReadRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> MarkReadResponse:
        """Show a person that their message was read."""
        number = await self._shelf.number(request.phone_number_id)
        typing = {"typing_indicator": {"type": "text"}} if request.typing else {}
        mark = {"status": "read", "message_id": request.wamid, **typing}
        await self._platform.manage(
            "POST",
            f"{number.phone_number_id}/messages",
            {"messaging_product": "whatsapp", **mark},
        )
        return MarkReadResponse()

    async def GetMessage(
        self, request: GetMessageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetMessageResponse:
        """Return one message as it stands."""
        if request.include_content:
            raise Unimplemented("content is not returned yet")
        key = request.WhichOneof("key")
        if key is None:
            raise FieldInvalid("message_id", "missing; give it, or a wamid")
        return GetMessageResponse(
            message=message_proto(await self._get(key, getattr(request, key)))
        )

    async def _get(self, key: str, value: str) -> Message:
        message = await self._messages.get(key, value)
        if message is None:
            raise MessageNotFound("no such message", **{key: value})
        return message

    async def ListMessages(
        self, request: ListMessagesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListMessagesResponse:
        """List messages, latest planned first."""
        fields = ("contact_id", "campaign_id", "occurrence_id", "phone_number_id")
        conditions = {f: value for f in fields if (value := getattr(request, f))}
        if not conditions:
            raise FieldInvalid("contact_id", "name a contact, campaign, occurrence or number")
        if request.HasField("start_time") or request.HasField("end_time"):
            raise Unimplemented("lists are not limited by time yet")
        query, n = paging.query(request), paging.size(request.page_size)
        after = paging.place(request.page_token, query, [int, str]) or _LATEST
        found = await self._messages.find(conditions, request.states, after, n)
        return ListMessagesResponse(
            messages=[message_proto(message) for message in found],
            next_page_token=paging.token(query, (found[-1].plan_time, found[-1].message_id))
            if len(found) == n
            else "",
        )

    async def ExplainSend(
        self, request: ExplainSendRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ExplainSendResponse:
        """Ask every gate, without sending anything."""
        now = at(request, "send_time") or milliseconds_of(self._clock.now())
        if request.WhichOneof("subject") == "message_id":
            message = await self._get("message_id", request.message_id)
            found = await self._contacts.read([message.contact_id], ())
            contact = found.get(message.contact_id)
        else:
            contact = await self._contact(request.destination)
            message = await self._subject(request, contact, now)
        candidate = await self._messages.candidate(message)
        verdicts = ask(
            Asked(
                now,
                message,
                candidate.phase,
                candidate.template,
                contact,
                candidate.window_time,
                candidate.saturation_time,
            )
        )
        waits = [v.next_time for v in verdicts if v.verdict == Verdict.WAIT]
        refused = any(v.verdict == Verdict.REFUSE for v in verdicts)
        return ExplainSendResponse(
            allowed=not waits and not refused,
            verdicts=[verdict_proto(verdict) for verdict in verdicts],
            next_eligible_time=None if refused else stamp(max(waits, default=now)),
            evaluate_time=stamp(now),
            contact_id=message.contact_id,
            phone_number_id=message.phone_number_id,
            variant=message.variant,
        )

    async def _subject(self, request: ExplainSendRequest, contact: Contact, now: int) -> Message:
        match request.WhichOneof("subject"):
            case "content":
                return await self._message(contact, request.content, request.phone_number_id)
            case "campaign_id":
                campaign = await self._campaigns.definition(request.campaign_id)
                writer = Writer(campaign, *await self._campaigns.materials(campaign))
                names = sorted(writer.attributes)
                known = await self._contacts.read([contact.contact_id], names)
                return writer.write(known[contact.contact_id], now).message
            case "purpose":
                content = Content()
                content.text.body = request.purpose
                message = await self._message(contact, content, request.phone_number_id)
                message.category = message.purpose = request.purpose
                return message
            case _:
                raise FieldInvalid("subject", "missing; say what would be sent")
