"""Taking in what is posted: every item by itself, everything durable before it is answered."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

import msgspec
import orjson

from chassis.failures import BatchTooLarge, Failure, FieldInvalid
from chassis.ids import fresh_id
from services.ingest import payload, track
from services.ingest.item import Item
from services.ingest.model import Occurrence, Posted, RawWebhook

_BREATH: Final = 200  # items after which others have their turn
MOST_CALLS: Final = 10_000
"""Tracking calls at once."""

Done = Callable[[Exception | None], None]
"""Told once what became of a write: None when it is durable, else why it may not be."""


class Writer(Protocol):
    """Puts things into the log's form, and into the log."""

    def event(self, occurrence: Occurrence, received_ms: int, trace: str) -> Any:
        """An occurrence as a record. Raises when it does not fit the contract."""
        ...

    def raw(self, webhook: RawWebhook) -> Any:
        """What was posted as a record for the archive."""
        ...

    def retry(self, posted: Posted) -> Any:
        """An item that could not be read as a record to read it again."""
        ...

    async def append(self, records: Sequence[Any]) -> None:
        """Durable when it returns; otherwise it raises, and nobody must be told it was accepted."""
        ...

    def post(self, records: Sequence[Any], done: Done) -> None:
        """As `append`, but `done` is told instead of anybody waiting."""
        ...


class Taken(msgspec.Struct, gc=False):
    """What became of a webhook."""

    records: list[Any]
    """What of it goes into the log."""
    broken: str = ""
    """Why nothing of it could be read."""
    events: int = 0
    unrecognised: int = 0
    refused: int = 0


class Refusal(msgspec.Struct, frozen=True):
    """A tracked call that was not taken."""

    index: int
    message_id: str
    code: str
    message: str


class Intake:
    """The one way into the log for what comes from outside."""

    def __init__(self, writer: Writer, portfolio_id: str, region: str) -> None:
        """`portfolio_id`: scope of business-scoped user ids; empty: their WABA. `region`: country
        (ISO 3166) of phone numbers that name none."""
        self._writer = writer
        self._portfolio_id = portfolio_id
        self._region = region

    def webhook(self, body: bytes, app: str, received_ms: int, trace: str, done: Done) -> Taken:
        """Take a webhook whose signature is right, and a small one: nothing else has its turn until
        it is read. `done` is told when the log has it. Raises `Busy` when the log takes no more.

        Items that cannot be read go to the retry topic, whose consumer dead-letters them.
        """
        taken = Taken([])
        for _ in self._read(taken, body, app, received_ms, trace):
            pass
        self._writer.post(taken.records, done)
        return taken

    async def large_webhook(self, body: bytes, app: str, received_ms: int, trace: str) -> Taken:
        """Take a webhook of any size; it is durable when this returns.

        Raises `Busy` or `Unavailable` when the log did not take it.
        """
        taken = Taken([])
        for _ in self._read(taken, body, app, received_ms, trace):
            await asyncio.sleep(0)
        await self._writer.append(taken.records)
        return taken

    def _read(
        self, taken: Taken, body: bytes, app: str, received_ms: int, trace: str
    ) -> Iterator[None]:
        """Read everything in a webhook; stops where others may have their turn."""
        webhook_id = fresh_id("wh")
        records = taken.records
        try:
            found = payload.webhook(body)
        except payload.Unreadable as error:
            taken.broken = str(error)
            raw = RawWebhook(webhook_id, received_ms, app, body, reason=taken.broken)
            records.append(self._writer.raw(raw))
            return
        identities: set[str] = set()
        fields: set[str] = set()
        wabas: set[str] = set()
        phones: set[str] = set()
        count = 0
        for count, item in enumerate(payload.items(found, received_ms, self._portfolio_id), 1):
            if count % _BREATH == 0:
                yield
            if isinstance(item, Item):
                change = item.change
                fields.add(change.field)
                wabas.add(change.waba_id)
                phones.add(change.phone_number_id)
            try:
                occurrence = payload.read(item)
                records.append(self._writer.event(occurrence, received_ms, trace))
            except Exception:  # noqa: BLE001 - whatever is wrong with it, it costs nobody else
                lone = Posted("whatsapp", app, received_ms, item.alone())
                records.append(self._writer.retry(lone))
                taken.refused += 1
            else:
                taken.unrecognised += occurrence.unrecognised
                for person in occurrence.identities:
                    identities.add(person.value)
        taken.events = count - taken.refused
        phones.discard("")
        raw = RawWebhook(
            webhook_id, received_ms, app, body, "", count, taken.unrecognised, taken.refused,
            tuple(fields), tuple(wabas), tuple(phones), tuple(identities),
        )  # fmt: skip
        records.append(self._writer.raw(raw))

    async def calls(
        self, calls: Sequence[Any], key_name: str, sent_at: Any, received_ms: int, trace: str
    ) -> list[Refusal]:
        """Take tracking calls; returns those that were not taken, which are kept to be read again.

        Raises `BatchTooLarge`, and `Busy` or `Unavailable` when the log did not take them.
        """
        if len(calls) > MOST_CALLS:
            raise BatchTooLarge("batch", MOST_CALLS, len(calls))
        records: list[Any] = []
        refusals: list[Refusal] = []
        for index, call in enumerate(calls):
            if index % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
            try:
                happened = track.occurrence(call, key_name, received_ms, sent_at, self._region)
                records.append(self._writer.event(happened, received_ms, trace))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it costs nobody else
                lone = track.alone(call, sent_at)
                records.append(self._writer.retry(Posted("track", key_name, received_ms, lone)))
                refusals.append(_refusal(index, call, error))
        await self._writer.append(records)
        return refusals

    async def again(self, posted: Sequence[Posted]) -> int:
        """Read items again that could not be read before; returns how many events they became.

        Raises the failure of the first that still cannot be read; then nothing was written.
        """
        records = [
            self._writer.event(happened, one.received_ms, "")
            for one in posted
            for happened in self._occurrences(one)
        ]
        await self._writer.append(records)
        return len(records)

    async def replay(self, webhooks: Sequence[Posted]) -> tuple[int, int]:
        """Send archived webhooks through again; returns how many events they became, and how many
        webhooks have an item that cannot be read, which is left out."""
        records: list[Any] = []
        failed = 0
        for one in webhooks:
            try:
                readers = self._readers(one)
            except payload.Unreadable:
                failed += 1
                continue
            whole = True
            for read in readers:
                try:
                    records.append(self._writer.event(read(), one.received_ms, ""))
                except Exception:  # noqa: BLE001 - it is a dead letter since it came
                    whole = False
            failed += not whole
            await asyncio.sleep(0)
        await self._writer.append(records)
        return len(records), failed

    def event_ids(self, webhook: Posted) -> list[str]:
        """Ids of the events that a webhook became."""
        ids: list[str] = []
        with suppress(payload.Unreadable):
            for read in self._readers(webhook):
                with suppress(Failure):
                    ids.append(read().event_id)
        return ids

    def _occurrences(self, posted: Posted) -> list[Occurrence]:
        if posted.door == "track":
            batch = orjson.loads(posted.body)
            return [
                track.occurrence(
                    call, posted.source, posted.received_ms, batch["sentAt"], self._region
                )
                for call in batch["batch"]
            ]
        return [read() for read in self._readers(posted)]

    def _readers(self, posted: Posted) -> list[Callable[[], Occurrence]]:
        found = payload.webhook(posted.body)
        return [
            partial(payload.read, item)
            for item in payload.items(found, posted.received_ms, self._portfolio_id)
        ]


def _refusal(index: int, call: Any, error: Exception) -> Refusal:
    message_id = call.get("messageId") if isinstance(call, dict) else None
    failure = error if isinstance(error, Failure) else FieldInvalid("batch", "cannot be read")
    return Refusal(
        index,
        message_id if isinstance(message_id, str) else "",
        failure.reason.lower(),
        failure.message,
    )
