"""The front door with a Redis and a Postgres of its own, which a test may do anything to."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.running import passing_folder
from chassis.settings import LogSettings
from chassis.streams import Position, event_log
from chassis.testing import wait_until
from cli import stack
from cli.place import Place
from merhaba.event.v1 import Event
from merhaba.ingest.v1 import IngestAdminServiceStub, ListWebhooksRequest, WebhookFilter
from services.ingest.tests.process import ANSWER_S
from tests.ingest.load import Load, load

TOPIC = "inbound.message"


@dataclass
class Suite:
    """A running front door and the servers behind it; whatever dies is started again."""

    stack: stack.Stack
    said: list[str]
    disk: Path | None = None
    """What only the log is on."""

    def signal(self, name: str, number: signal.Signals) -> None:
        """A signal to a part's process as it is now, if it is there."""
        with suppress(ProcessLookupError):
            os.kill(self.stack.addresses().pids[name], number)

    @asynccontextmanager
    async def load(self, per_second: int, clients: int = 100) -> AsyncIterator[Load]:
        addresses = self.stack.addresses()
        port = self.stack.ports["ingest http"]
        async with load(port, addresses.app_secret, per_second, clients) as running:
            yield running

    async def accepts(self) -> None:
        """Return when the door takes webhooks again."""
        async with asyncio.timeout(60):
            while True:
                async with self.load(per_second=20, clients=1) as probe:
                    await asyncio.sleep(0.1)
                if probe.statuses()[200]:
                    return

    async def account(self, posted: Load) -> None:
        """Every webhook answered 200 is on the log and in the archive, once. Nothing else is there
        but what may be: a webhook whose answer was lost, or was 503 since nobody could be sure. Of
        such a one the log may have only a part, which its repeat makes whole."""
        known = {one.wamid for one in posted.sent}
        doubtful = {one.wamid for one in posted.sent if one.status in (0, 503)}
        assert known == posted.accepted | doubtful, posted.statuses()
        hung = [one for one in posted.sent if one.seconds >= ANSWER_S]
        assert not hung, f"{len(hung)} had no answer in {ANSWER_S} s"
        assert not [one for one in posted.sent if one.torn]
        on_log = await self._on_log(posted.mark)
        assert posted.accepted <= on_log.keys(), "answered 200, and lost"
        assert on_log.keys() <= known
        assert {on_log[wamid] for wamid in posted.accepted} == {1}, "once"

        async def archived() -> bool:
            return posted.accepted <= (await self._archived(posted.mark)).keys()

        await wait_until(archived, timeout_s=30, every_s=0.3)
        kept = await self._archived(posted.mark)
        assert kept.keys() <= known
        assert {*kept.values()} == {1}

    async def _on_log(self, mark: str) -> Counter[str]:
        addresses = self.stack.addresses()
        settings = LogSettings(redis_url=addresses.redis_url)
        found: Counter[str] = Counter()
        async with event_log(settings) as log:
            positions = {stream: Position(stream, b"0") for stream in log.streams(TOPIC)}
            while page := await log.read([*positions.values()], 500, 1):
                for position, events in page:
                    positions[position.stream] = position
                    found.update(Event.FromString(event).event_id for event in events)
        return Counter({wamid: n for wamid, n in found.items() if wamid.startswith(mark)})

    async def _archived(self, mark: str) -> Counter[str]:
        addresses = self.stack.addresses()
        found: Counter[str] = Counter()
        request = ListWebhooksRequest(page_size=1_000, filter=WebhookFilter(waba_ids=[mark]))
        async with addresses.channel("ingest") as rpc:
            stub = IngestAdminServiceStub(rpc)
            while True:
                page = await stub.ListWebhooks(request)
                found.update(phone for one in page.webhooks for phone in one.phone_number_ids)
                if not page.next_page_token:
                    return found
                request.page_token = page.next_page_token


@asynccontextmanager
async def suite(prepare: Callable[[Path], None] | None = None) -> AsyncIterator[Suite]:
    """A suite of the front door alone, on a folder that `prepare` may do something to before."""
    said: list[str] = []
    with passing_folder() as folder:
        if prepare:
            prepare(folder)
        async with stack.running(Place(folder), said.append, ("ingest",)) as running:
            yield Suite(running, said)
