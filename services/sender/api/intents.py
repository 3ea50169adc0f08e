"""What callers want sent, made into messages that are not stored yet."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid, Unimplemented
from chassis.ids import derived_id
from merhaba.event.v1 import Identity
from merhaba.sender.v1 import Content, Destination, MarketingOptions, SendMessageRequest
from services.sender.body import FETCHED, attached, body_of, named
from services.sender.body.media import Attached
from services.sender.failures import ContactNotFound, NumberUnusable, TemplateNotFound
from services.sender.files import types as media_types
from services.sender.files.store import File
from services.sender.model import DAY_MS, Contact, Message, Number, Template, lane_of, single
from services.sender.numbers.allocation import allocate, lines_of
from services.sender.wire import at
from services.sender.wording.fitting import fit

_FETCHED_MS: Final = 7 * DAY_MS
"""How long what was fetched is kept beyond the moment from which its message may go."""
_POLICIES: Final = {
    MarketingOptions.PRODUCT_POLICY_CLOUD_API_FALLBACK: "CLOUD_API_FALLBACK",
    MarketingOptions.PRODUCT_POLICY_STRICT: "STRICT",
}
_HASH: Final = 128
_WAMID: Final = 128
_PURPOSE: Final = 64


class Contacts(Protocol):
    """Profile, as intending needs it."""

    async def read(
        self, contact_ids: Sequence[str], attributes: Sequence[str]
    ) -> Mapping[str, Contact]: ...
    async def resolve(self, identity: Identity) -> str: ...


class Outbox(Protocol):
    """The outbox, as the choice of a number needs it."""

    async def last_number(self, contact_id: str) -> str: ...
    async def preferred_numbers(self) -> Sequence[str]: ...
    async def numbers(self) -> Sequence[Number]: ...


class Registered(Protocol):
    """The registry of numbers."""

    async def number(self, phone_number_id: str) -> Number: ...


class Templates(Protocol):
    """The registry of templates."""

    async def named(self, waba_id: str, name: str, language: str = "") -> Sequence[Template]: ...


class Library(Protocol):
    """Files."""

    async def ready(self, file_id: str) -> File: ...
    async def fetch(
        self,
        field: str,
        url: str,
        file_id: str,
        largest: int,
        expire_time: int,
        check: Callable[[File], None],
    ) -> File: ...


class Intents:
    """Finds the person, the number and the template, and freezes the content."""

    def __init__(
        self,
        outbox: Outbox,
        contacts: Contacts,
        numbers: Registered,
        templates: Templates,
        files: Library,
        clock: Clock,
    ) -> None:
        self._outbox = outbox
        self._contacts = contacts
        self._numbers = numbers
        self._templates = templates
        self._files = files
        self._clock = clock

    async def contact(self, destination: Destination) -> Contact:
        """Who is meant; raises ContactNotFound."""
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

    async def requested(self, request: SendMessageRequest) -> Message:
        """The message that a request asks for; the same request, the same message.

        What it is to fetch is fetched by `bring`.
        """
        options = _options(request)
        contact = await self.contact(request.destination)
        content = named(request.content, lambda url: file_of(request.request_id, url))
        message = await self.message(contact, content, request.phone_number_id, options)
        if request.HasField("marketing") and message.category != "marketing":
            raise FieldInvalid("marketing", "only for marketing templates; leave it out")
        message.message_id = message_of(request.request_id)
        message.purpose = request.purpose
        message.context_wamid = request.context_wamid
        message.not_after = at(request, "not_after_time")
        message.due_time = max(message.due_time, at(request, "not_before_time"))
        return message

    async def same(self, request: SendMessageRequest, known: Message) -> bool:
        """Whether a request asks for a message that is there. Templates and numbers are not looked
        at: they may have changed since."""
        content = named(request.content, lambda url: file_of(request.request_id, url))
        body = _frozen(content, _options(request))
        if (known.body, known.context_wamid, known.purpose) != (
            body,
            request.context_wamid,
            request.purpose,
        ):
            return False
        contact = await self.contact(request.destination)
        return known.contact_id in {contact.contact_id, *contact.absorbed}

    async def message(
        self,
        contact: Contact,
        content: Content,
        number_id: str,
        options: Mapping[str, Any] | None = None,
    ) -> Message:
        """A planned message with this content, without an id. What is behind a URL does not count:
        it is not looked at."""
        if content.HasField("pin"):
            raise FieldInvalid("content.pin", "only in groups, to which nothing is sent yet")
        body = _frozen(named(content, lambda url: file_of("", url)), options or {})
        number = await self._number(contact, number_id)
        now = milliseconds_of(self._clock.now())
        message = single(contact.contact_id, number.phone_number_id, body, now)
        if content.HasField("template"):
            template = await self._template(number.waba_id, content)
            message.template, message.language = template.name, template.language
            message.category = template.category_at(now)
            message.lane = lane_of(message.category)
        return message

    async def _template(self, waba_id: str, content: Content) -> Template:
        name, language = content.template.name, content.template.language
        found = await self._templates.named(waba_id, name, language)
        if not found:
            raise TemplateNotFound(
                f"{name} is not known in {language}; sync the account's templates",
                waba_id=waba_id,
                name=name,
                language=language,
            )
        fit(found[0], content.template)
        return found[0]

    async def bring(self, request: SendMessageRequest) -> None:
        """Bring in what the content fetches, and look whether Meta takes all of its files.

        Raises FileNotFound, FileState, UrlRefused, MediaUnsupported and ServiceUnavailable.
        """
        now = milliseconds_of(self._clock.now())
        latest = max(at(request, "not_before_time"), at(request, "not_after_time"), now)
        for one in attached(request.content):
            match one.attachment.WhichOneof("source"):
                case "fetch_url":
                    url = one.attachment.fetch_url
                    await self._files.fetch(
                        f"{one.where}.fetch_url",
                        url,
                        file_of(request.request_id, url),
                        media_types.largest(one.kind),
                        latest + _FETCHED_MS,
                        partial(_check, one),
                    )
                case "file_id":
                    _check(one, await self._files.ready(one.attachment.file_id))

    async def _number(self, contact: Contact, phone_number_id: str) -> Number:
        if phone_number_id:
            return await self._numbers.number(phone_number_id)
        numbers = {n.phone_number_id: n for n in await self._outbox.numbers()}
        if not numbers:
            raise NumberUnusable(
                "no business number sends; register one or resume one", problem="none"
            )
        last = await self._outbox.last_number(contact.contact_id)
        for one in (last, *await self._outbox.preferred_numbers()):
            if one in numbers:
                return numbers[one]
        now = milliseconds_of(self._clock.now())
        return numbers[allocate(lines_of(list(numbers.values()), now), contact)]


def _check(attached: Attached, file: File) -> None:
    """Whether Meta takes a file as what it is attached as; raises MediaUnsupported."""
    media_types.check(
        attached.kind,
        file.mime_type,
        file.size_bytes,
        animated=file.animated,
        voice=attached.attachment.voice,
    )


def message_of(request_id: str) -> str:
    """The id of the message that a request makes; raises FieldInvalid without an id."""
    if not request_id:
        raise FieldInvalid("request_id", "missing; give a UUID")
    return derived_id("msg", "request", request_id)


def _frozen(content: Content, options: Mapping[str, Any]) -> bytes:
    """A message's body as it is stored."""
    return msgspec.json.encode({**body_of(content), **options})


def file_of(request_id: str, url: str) -> str:
    """The file that what is behind a URL becomes, for one request."""
    return derived_id(FETCHED, request_id, url)


def _options(request: SendMessageRequest) -> dict[str, Any]:
    """What a request adds to Meta's message object."""
    for field, most in (
        ("context_wamid", _WAMID),
        ("recipient_identity_key_hash", _HASH),
        ("purpose", _PURPOSE),
    ):
        if len(getattr(request, field)) > most:
            raise FieldInvalid(field, f"at most {most} characters", limit=str(most))
    not_before, not_after = at(request, "not_before_time"), at(request, "not_after_time")
    if not_after and not_before > not_after:
        raise FieldInvalid("not_after_time", "before not_before_time; it could never be sent")
    found: dict[str, Any] = {}
    if request.recipient_identity_key_hash:
        found["recipient_identity_key_hash"] = request.recipient_identity_key_hash
    if policy := _POLICIES.get(request.marketing.product_policy):
        found["product_policy"] = policy
    if request.marketing.HasField("message_activity_sharing"):
        found["message_activity_sharing"] = request.marketing.message_activity_sharing
    return found
