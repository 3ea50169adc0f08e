"""Clicks on their way to the log: whoever opened the link is not kept waiting for it."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from itertools import islice
from typing import Any, Final, Protocol

import structlog

from chassis import names
from chassis.app import tasks
from chassis.clock import Clock
from chassis.failures import Busy, Unavailable
from chassis.ids import derived_id
from services.ingest.links.target import Target
from services.ingest.links.token import Token
from services.ingest.model import TRACKED, Occurrence
from services.ingest.visitor import Visitor

_WAITING: Final = 10_000
_BATCH: Final = 500
_REMEMBERED: Final = 10_000
_ONE_CLICK_MS: Final = 60_000  # opened again within a minute is the same click
_FIRST_PAUSE: Final = timedelta(milliseconds=100)
_LONGEST_PAUSE: Final = timedelta(seconds=1)
_logger = structlog.get_logger()


class Counts(Protocol):
    """A counter of telemetry."""

    def add(self, amount: int, attributes: dict[str, str]) -> Any:
        """Count."""
        ...


class Writer(Protocol):
    """Puts things into the log's form, and into the log."""

    def event(self, occurrence: Occurrence, received_ms: int, trace: str) -> Any:
        """An occurrence as a record."""
        ...

    async def append(self, records: Sequence[Any]) -> None:
        """Durable when it returns. Raises `Busy` or `Unavailable`."""
        ...


def clicked(token: Token, target: Target, who: Visitor, event_id: str, now_ms: int) -> Occurrence:
    """A person opened a link."""
    return Occurrence(
        topic=TRACKED,
        event_id=event_id,
        time_ms=now_ms,
        source="merhaba:ingest",
        name="link_clicked",
        body={
            "link_id": target.link_id,
            "message_id": token.message_id,
            "campaign_id": target.campaign_id,
            "url": target.url,
            "device": who.device,
            "os": who.os,
            "browser": who.browser,
            "language": who.language,
        },
        contact_id=token.contact_id,
    )


class Clicks:
    """Clicks that wait for the log, in a bounded queue."""

    def __init__(self, writer: Writer, clock: Clock, counts: Counts) -> None:
        self._writer = writer
        self._clock = clock
        self._counts = counts
        self._waiting: deque[Occurrence] = deque()
        self._some_wait = asyncio.Event()
        self._nothing_waits = asyncio.Event()
        self._nothing_waits.set()
        self._pause = _FIRST_PAUSE
        self._begun: OrderedDict[tuple[str, ...], int] = OrderedDict()

    def tell(self, token: Token, target: Target, who: Visitor, stranger: str, now_ms: int) -> None:
        """Let the log know of a click, soon. Never waits: with the queue full it is counted as
        lost. `stranger` tells people apart where the link is of no message and no contact.
        """
        named = token.message_id or token.contact_id
        key = (target.link_id, token.message_id, token.contact_id, "" if named else stranger)
        if now_ms - self._begun.get(key, -_ONE_CLICK_MS) < _ONE_CLICK_MS:
            return
        if len(self._waiting) >= _WAITING:
            self._counts.add(1, {names.OUTCOME: "lost"})
            return
        self._begun[key] = now_ms
        self._begun.move_to_end(key)
        if len(self._begun) > _REMEMBERED:
            self._begun.popitem(last=False)
        # The minute, because another replica may have had the same click a moment ago
        event_id = derived_id("click", *key, str(now_ms // _ONE_CLICK_MS))
        self._waiting.append(clicked(token, target, who, event_id, now_ms))
        self._some_wait.set()
        self._nothing_waits.clear()

    @asynccontextmanager
    async def telling(self, grace_s: float) -> AsyncIterator[None]:
        """Write beside the block, and at its end what still waits, for `grace_s` at most."""
        async with tasks(self._run):
            try:
                yield
            finally:
                with suppress(TimeoutError):
                    async with asyncio.timeout(grace_s):
                        await self._nothing_waits.wait()
                if self._waiting:
                    self._counts.add(len(self._waiting), {names.OUTCOME: "lost"})
                    _logger.error("clicks were lost", clicks=len(self._waiting))

    async def _run(self) -> None:
        while True:
            await self._some_wait.wait()
            await self._write()

    async def _write(self) -> None:
        """Write some of what waits; when the log takes nothing, pause instead."""
        batch = list(islice(self._waiting, _BATCH))
        try:
            await self._writer.append([self._writer.event(one, one.time_ms, "") for one in batch])
        except (Busy, Unavailable) as error:
            _logger.warning("clicks wait", error=error.reason, clicks=len(self._waiting))
            await self._clock.sleep(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            return
        self._pause = _FIRST_PAUSE
        # Only now: whatever ended this before would have lost them
        for _ in batch:
            self._waiting.popleft()
        if not self._waiting:
            self._some_wait.clear()
            self._nothing_waits.set()
        self._counts.add(len(batch), {names.OUTCOME: "told"})
