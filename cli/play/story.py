"""The story that is played: history through the public doors, then the last orders, live."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, TypeVar

import aiohttp
from google.protobuf.duration_pb2 import Duration

from chassis.ids import derived_id
from cli.clients import Clients
from cli.doors import Doors, text_message
from cli.play.definitions import NUMBER, WABA
from cli.samples import Customer, Samples, consent_event, customer_event, invoice_event
from cli.stack import Addresses
from merhaba.ingest.v1 import GetLagRequest

T = TypeVar("T")
Advance = Callable[[int], None]

_BATCH: Final = 100
_POSTING: Final = 4
LIVE: Final = 60
"""Invoices at the end of the history that are played live."""
_LIVE_EVERY: Final = timedelta(milliseconds=250)


def wrote(customer: Customer) -> bool:
    """A third of the customers agreed by writing on WhatsApp, the others on the shop's form."""
    return int(customer.customer) % 3 == 0


def silent(customer: Customer) -> bool:
    """One in ten never agreed to anything."""
    return int(customer.customer) % 10 == 7


def history_items(samples: Samples, shift: timedelta) -> list[dict[str, Any]]:
    """Everything for the tracking door, oldest first, but for the invoices that come live."""
    items = [customer_event(c, shift) for c in samples.customers.values()]
    items += [
        consent_event(c, shift)
        for c in samples.customers.values()
        if not wrote(c) and not silent(c)
    ]
    items += [invoice_event(i, shift) for i in samples.invoices[:-LIVE]]
    return sorted(items, key=lambda item: str(item["timestamp"]))


def history_messages(samples: Samples, shift: timedelta) -> list[dict[str, Any]]:
    """Webhooks of the customers who wrote START to the shop on the day of their first order."""
    return [
        text_message(
            f"wamid.{derived_id('start', c.customer)}",
            c.phone.lstrip("+"),
            NUMBER,
            WABA,
            "START",
            c.since + shift,
        )
        for c in samples.customers.values()
        if wrote(c) and not silent(c)
    ]


async def post_history(doors: Doors, samples: Samples, shift: timedelta, advance: Advance) -> None:
    """Post the whole history, a few batches at a time."""
    gate = asyncio.Semaphore(_POSTING)

    async def track(batch: Sequence[dict[str, Any]]) -> None:
        async with gate:
            await doors.track(batch)
            advance(len(batch))

    async def webhook(body: dict[str, Any]) -> None:
        async with gate:
            await doors.webhook(body)
            advance(1)

    async with asyncio.TaskGroup() as tasks:
        for batch in _batches(history_items(samples, shift), _BATCH):
            tasks.create_task(track(batch))
        for body in history_messages(samples, shift):
            tasks.create_task(webhook(body))


async def play_live(doors: Doors, samples: Samples, run: int, advance: Advance) -> None:
    """The last invoices, one after the other, each as it happens: their time is now."""
    for invoice in samples.invoices[-LIVE:]:
        item = invoice_event(invoice, datetime.now(UTC) - invoice.time)
        item["messageId"] += f":{run}"
        item["properties"]["order_id"] += f":{run}"
        await doors.track([item])
        advance(1)
        await asyncio.sleep(_LIVE_EVERY.total_seconds())


async def introduce(session: aiohttp.ClientSession, addresses: Addresses, samples: Samples) -> None:
    """Tell the simulator which people there are."""
    people = [
        {"wa_id": c.phone.lstrip("+"), "identity_mode": "phone", "locale": "en_GB"}
        for c in samples.customers.values()
    ]
    await control(session, addresses, "people", people)


async def control(
    session: aiohttp.ClientSession, addresses: Addresses, what: str, body: object
) -> Any:
    """Ask the simulator's control for something."""
    async with session.post(
        f"{addresses.simulator_url}/control/{what}",
        json=body,
        headers={"Authorization": f"Bearer {addresses.control_token}"},
        timeout=aiohttp.ClientTimeout(total=120),
    ) as response:
        response.raise_for_status()
        return await response.json()


async def summary_of_simulator(session: aiohttp.ClientSession, addresses: Addresses) -> Any:
    """What the simulator counted, and whom it saw getting something twice."""
    counted: dict[str, Any] = {}
    for what in ("summary", "ledger/duplicates"):
        async with session.get(
            f"{addresses.simulator_url}/control/{what}",
            headers={"Authorization": f"Bearer {addresses.control_token}"},
        ) as response:
            response.raise_for_status()
            counted[what] = await response.json()
    return counted


async def until_processed(clients: Clients, within_s: float, tell: Callable[[float], None]) -> None:
    """Return when every group has handled everything on the log.

    `tell` gets the age of what is oldest, in seconds, while waiting.
    """
    quiet = 0
    async with asyncio.timeout(within_s):
        while quiet < 3:
            lag = await clients.ingest.GetLag(GetLagRequest())
            oldest = max((_seconds(g.oldest_duration) for g in lag.groups), default=0.0)
            busy = any(
                g.pending_entry_count or g.unread_entry_count or _seconds(g.oldest_duration)
                for g in lag.groups
            )
            quiet = 0 if busy else quiet + 1
            tell(oldest)
            await asyncio.sleep(0.2)


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
