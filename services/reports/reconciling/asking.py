"""Asks Meta, and keeps what it said: for whoever asks, and every day of its own accord."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final

import grpc
import structlog

from chassis.clock import Clock
from chassis.failures import FieldInvalid
from chassis.transient import keep_at
from merhaba.sender.v1 import BusinessNumber, ListNumbersRequest, NumberServiceStub
from services.reports.failures import PlatformRefused, PlatformUnavailable, ServiceUnavailable
from services.reports.reconciling.figures import Figure, Source, of_pricing, of_sent, of_templates
from services.reports.reconciling.graph import Analytics
from services.reports.reconciling.snapshots import Snapshots

_BACK: Final[Mapping[Source, timedelta]] = {
    "template": timedelta(days=89),
    "pricing": timedelta(days=364),
    "sent": timedelta(days=364),
}
"""How far back Meta tells, less a day for its clock."""
_SNAPSHOT: Final = timedelta(days=8)
"""Reads and taps are told of for seven days."""
_EVERY: Final = timedelta(hours=6)
_logger = structlog.get_logger()


class Asking:
    """Meta's figures of the accounts whose numbers the sender has."""

    def __init__(
        self, analytics: Analytics, snapshots: Snapshots, sender: grpc.aio.Channel, clock: Clock
    ) -> None:
        self._analytics = analytics
        self._snapshots = snapshots
        self._numbers: NumberServiceStub = NumberServiceStub(sender)
        self._clock = clock
        self._currencies: dict[str, str] = {}

    async def numbers(self, waba_id: str = "") -> list[BusinessNumber]:
        """Of an account, or of all. Raises `ServiceUnavailable`."""
        found: list[BusinessNumber] = []
        request = ListNumbersRequest(waba_id=waba_id, page_size=1_000)
        try:
            while True:
                page = await self._numbers.ListNumbers(request)
                found += page.numbers
                request.page_token = page.next_page_token
                if not request.page_token:
                    return found
        except grpc.aio.AioRpcError as error:
            raise ServiceUnavailable("sender") from error

    async def currency(self, waba_id: str) -> str:
        """In which Meta bills an account, which never changes."""
        found = self._currencies.get(waba_id) or await self._analytics.currency(waba_id)
        self._currencies[waba_id] = found
        return found

    async def figures(
        self, waba_id: str, source: Source, start: date, end: date, *, anew: bool = True
    ) -> list[Figure]:
        """Of days from `start` on and before `end`: as Meta says now, and of what it tells no
        longer as it said. `anew`: Meta is asked; else as it said last. Raises `PlatformRefused` and
        `PlatformUnavailable`."""
        if anew:
            await self._ask(waba_id, source, start, end)
        return await self._snapshots.read(waba_id, source, start, end)

    async def run(self) -> None:
        """Keep every day's figures, until cancelled."""
        await keep_at(self._snapshot, self._clock, _EVERY, "no snapshot of Meta's figures")

    async def _snapshot(self) -> None:
        if not self._analytics.usable:
            return
        today = self._clock.now().astimezone(UTC).date()
        accounts = {number.waba_id for number in await self.numbers() if number.waba_id}
        for waba_id in sorted(accounts):
            for source in _BACK:
                try:
                    await self._ask(waba_id, source, today - _SNAPSHOT, today + timedelta(days=1))
                except (PlatformRefused, PlatformUnavailable) as error:
                    _logger.warning(
                        "Meta did not tell its figures",
                        source=source,
                        code=error.facts.get("code", ""),
                    )

    async def _ask(self, waba_id: str, source: Source, start: date, end: date) -> None:
        try:
            await self._keep(waba_id, source, start, end)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # An answer of another shape than Meta documents
            raise PlatformUnavailable(source) from error

    async def _keep(self, waba_id: str, source: Source, start: date, end: date) -> None:
        now = self._clock.now()
        oldest = (now - _BACK[source]).astimezone(UTC).date()
        if end <= oldest:
            return
        first, last = _unix(max(start, oldest)), _unix(end)
        found: list[Figure] = []
        if source == "template":
            names = await self._analytics.template_names(waba_id)
            points = await self._analytics.templates(waba_id, sorted(names), first, last)
            found = of_templates(points, names)
        else:
            digits = {
                "".join(filter(str.isdigit, one.display_phone_number)): one.phone_number_id
                for one in await self.numbers(waba_id)
            }
            if not digits:
                raise FieldInvalid("waba_id", "the sender has no number of it; list them first")
            if source == "pricing":
                found = of_pricing(await self._analytics.pricing(waba_id, first, last), digits)
            else:
                for number, phone_number_id in digits.items():
                    points = await self._analytics.sent(waba_id, number, first, last)
                    found += of_sent(points, phone_number_id)
        await self._snapshots.keep(waba_id, found, now)


def _unix(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
