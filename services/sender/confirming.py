"""Telling people, once, that what they said by a keyword was understood."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec
import structlog

from chassis.clock import Clock, milliseconds_of
from chassis.ids import derived_id
from services.sender.model import DAY_MS, Contact, Message, Number, Understood, single

_logger = structlog.get_logger()


class Outbox(Protocol):
    """The messages, as confirming needs them."""

    async def add(self, message: Message) -> Message:
        """Intend a message, once by its id."""
        ...

    async def numbers(self) -> Sequence[Number]:
        """Those that send."""
        ...


class Contacts(Protocol):
    """Profile, as confirming needs it."""

    async def get(self, contact_ids: Sequence[str]) -> Mapping[str, Contact]:
        """Languages of those that exist."""
        ...


class Words(NamedTuple):
    """What to say in a language; empty says nothing."""

    stopped: str
    resumed: str


class Confirming:
    """Answers keywords, inside the window that they opened."""

    def __init__(
        self,
        outbox: Outbox,
        contacts: Contacts,
        turkish: Words,
        english: Words,
        clock: Clock,
        wake: Callable[[str], None],
    ) -> None:
        """English is for everybody whose language is not Turkish. `wake` tells dispatch that
        something of a number is due."""
        self._outbox = outbox
        self._contacts = contacts
        self._turkish = turkish
        self._english = english
        self._clock = clock
        self._wake = wake

    async def confirm(self, said: Sequence[Understood]) -> None:
        """Intend the answer to each; the same again intends nothing."""
        people = await self._contacts.get(list({one.contact_id for one in said}))
        ours = {number.phone_number_id for number in await self._outbox.numbers()}
        for one in said:
            contact = people.get(one.contact_id)
            if contact is None or one.phone_number_id not in ours:
                _logger.warning("a keyword is not confirmed", known=contact is not None)
                continue
            words = self._turkish if contact.language.startswith("tr") else self._english
            if text := words.resumed if one.granted else words.stopped:
                await self._outbox.add(self._message(one, text))
                self._wake(one.phone_number_id)

    def _message(self, said: Understood, text: str) -> Message:
        body = msgspec.json.encode({"type": "text", "text": {"body": text}})
        now = milliseconds_of(self._clock.now())
        message = single(said.contact_id, said.phone_number_id, body, now)
        message.message_id = derived_id("msg", "consent", said.event_id)
        message.not_after = said.time + DAY_MS
        message.received_time = said.received_time
        message.traceparent = said.traceparent
        return message
