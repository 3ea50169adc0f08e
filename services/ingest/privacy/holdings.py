"""Everything ingest holds of a person, dataset by dataset. Of links it holds where those lead that
were made for them alone: what else they say stands in the token, which is kept nowhere."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

import orjson

from chassis.clock import Clock, milliseconds_of
from chassis.privacy import Count, Readers, Told
from chassis.streams import DeadLetter, DeadLetters, Eraser, EventLog
from chassis.times import stamped, timestamp
from merhaba.profile.v1.privacy_pb2 import ExportedRecord
from services.ingest.archive.segment import ArchivedWebhook, ArchiveQuery, Head
from services.ingest.archive.store import Archive
from services.ingest.failures import LogNotFinished
from services.ingest.links.store import TargetStore
from services.ingest.model import RawWebhook
from services.ingest.privacy import letters
from services.ingest.privacy.parting import left_over, part
from services.ingest.privacy.person import Person
from services.ingest.privacy.rejects import Rejects
from services.ingest.wire import topic_of

_PAGE: Final = 200


class Holdings:
    """What this service holds of people."""

    def __init__(
        self,
        archive: Archive,
        rejects: Rejects,
        targets: TargetStore,
        log: EventLog,
        topics: Sequence[str],
        clock: Clock,
        patience: timedelta,
    ) -> None:
        """`topics`: of the log, all of them; `patience`: how long to wait for what consumers have
        not finished."""
        self._archive = archive
        self._rejects = rejects
        self._targets = targets
        self._letters = DeadLetters(log)
        self._eraser = Eraser(log, clock)
        self._topics = topics
        self._clock = clock
        self._patience = patience

    # ---- to be shown

    def readers(self, person: Person) -> Readers:
        """Everything of theirs, by dataset."""
        return {
            "webhook": partial(self._webhooks, person),
            "import_reject": partial(self._rows, person),
            "link_target": partial(self._addresses, person),
            "dead_letter": partial(self._dead_letters, person),
        }

    async def _webhooks(self, person: Person, after: str) -> AsyncIterator[Told]:
        if not person.on_whatsapp:
            return
        query = ArchiveQuery(identities=list(person.on_whatsapp))
        while page := await self._archive.oldest(query, after, _PAGE):
            for one in page:
                after = one.head.webhook_id
                yield Told("webhook", after, _webhook(person, one))

    async def _rows(self, person: Person, after: str) -> AsyncIterator[Told]:
        async for page in self._rejects.pages(after):
            for row in page:
                record = None
                if person.in_row(row.raw, surely=True):
                    said = {
                        "import_id": row.import_id,
                        "line": row.line,
                        "reason": row.reason,
                        "row": row.raw.decode(errors="replace"),
                    }
                    record = _record("import_reject", said)
                yield Told("import_reject", row.place, record)

    async def _addresses(self, person: Person, after: str) -> AsyncIterator[Told]:
        number = int(after or 0)
        while page := await self._targets.of(person.contact_ids, number, _PAGE):
            for one in page:
                number = one.number
                said = {"campaign_id": one.campaign_id, "url": one.url}
                yield Told("link_target", str(number), _record("link_target", said))

    async def _dead_letters(self, person: Person, before: str) -> AsyncIterator[Told]:
        while page := await self._letters.list("", before, _PAGE):
            for letter in page:
                before = letter.dead_letter_id
                yield Told("dead_letter", before, _letter(person, letter))

    # ---- to be erased

    async def erase(self, person: Person, count: Count) -> None:
        """Erase everything; `count` is told of each dataset how many records that were.

        The log comes first: what is still on its way is in the archive or a dead letter then.
        Raises `LogNotFinished`.
        """

        def theirs(topic: str, event: bytes) -> bool:
            return letters.concerns(person, topic, event)

        erased, left = await self._eraser.erase(self._topics, theirs, self._patience)
        await count("log_entry", erased)
        if left:
            raise LogNotFinished(left)
        await count("webhook", await self._redact(person))
        await count("import_reject", await self._rejects.delete(person.in_row))
        await count("link_target", await self._targets.delete(person.contact_ids))
        await count("dead_letter", await self._delete_letters(person))

    async def _redact(self, person: Person) -> int:
        if not person.on_whatsapp:
            return 0

        def redacted(head: Head, body: bytes) -> RawWebhook | None:
            parted = part(body, head.received_ms, person.on_whatsapp)
            return left_over(head, parted.rest) if parted else None

        now_ms = milliseconds_of(self._clock.now())
        return await self._archive.redact(person.on_whatsapp, redacted, now_ms)

    async def _delete_letters(self, person: Person) -> int:
        before, deleted = "", 0
        while page := await self._letters.list("", before, _PAGE):
            before = page[-1].dead_letter_id
            found = [one for one in page if _is_theirs(person, one)]
            await self._letters.forget(found)
            deleted += len(found)
        return deleted


def _webhook(person: Person, one: ArchivedWebhook) -> ExportedRecord | None:
    parted = part(one.body, one.head.received_ms, person.on_whatsapp)
    if parted is None:
        return None
    said = {
        "webhook_id": one.head.webhook_id,
        "app": one.head.app,
        "waba_ids": one.head.waba_ids,
        "phone_number_ids": one.head.phone_number_ids,
        "posted": _json(parted.theirs),
    }
    return _record("webhook", said, record_time=timestamp(one.head.received_ms))


def _letter(person: Person, letter: DeadLetter) -> ExportedRecord | None:
    if not _is_theirs(person, letter):
        return None
    topic = topic_of(letter.stream)
    said = {
        "dead_letter_id": letter.dead_letter_id,
        "topic": topic,
        "group": letter.group,
        "reason": letter.reason,
        "event": letters.theirs(person, topic, letter.event),
    }
    return _record("dead_letter", said, record_time=stamped(letter.time))


def _is_theirs(person: Person, letter: DeadLetter) -> bool:
    return letters.concerns(person, topic_of(letter.stream), letter.event)


def _json(body: bytes) -> Any:
    """A body as JSON, None of nothing; as text what is no JSON."""
    try:
        return orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")


def _record(dataset: str, said: Any, **more: Any) -> ExportedRecord:
    return ExportedRecord(
        service="ingest", dataset=dataset, record_json=orjson.dumps(said, default=str), **more
    )
