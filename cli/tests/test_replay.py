"""`merhaba replay` as an operator runs it after a restore, against a running ingest."""

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from chassis.ids import fresh_id
from chassis.testing import wait_until
from cli.tests.running import Ended, ended, ran, started
from merhaba.ingest.v1 import ListWebhooksRequest
from services.ingest.tests.bodies import message, value, webhook
from services.ingest.tests.conftest import API_TOKEN, Front


def opens() -> dict[str, str]:
    return {
        "INGEST_TARGET": f"127.0.0.1:{os.environ['GRPC_PORT']}",
        "API_TOKEN": API_TOKEN,
    }


SOON = timedelta(minutes=10)


async def run(*arguments: str) -> Ended:
    return await ran("replay", *arguments, **opens())


def told(moment: datetime) -> str:
    """As an operator writes it: to the second, in UTC without saying so."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}"


async def posted(front: Front, count: int) -> tuple[datetime, list[str]]:
    """Webhooks in the archive, and the second since which these and no others came."""
    now = datetime.now(UTC)
    since = now.replace(microsecond=0) + timedelta(seconds=1)
    while datetime.now(UTC) < since:
        await asyncio.sleep(0.05)
    wamids = [fresh_id("wamid") for _ in range(count)]
    for wamid in wamids:
        async with await front.post(webhook(value(messages=[message(wamid)]))) as answer:
            assert answer.status == 200
    request = ListWebhooksRequest(page_size=100)
    request.start_time.FromDatetime(since)
    request.end_time.FromDatetime(since + SOON)  # other tests archive webhooks of years to come

    async def archived() -> bool:
        return len((await front.admin.ListWebhooks(request)).webhooks) == count

    await wait_until(archived, timeout_s=60)
    return since, wamids


async def seen(front: Front, wamids: Sequence[str]) -> Counter[str]:
    """How often each of the messages is on the log."""
    events = await front.events("inbound.message")
    return Counter(e.event_id for e in events if e.message_received.wamid in wamids)


async def test_what_was_archived_goes_through_again_as_the_same_events(front: Front) -> None:
    since, wamids = await posted(front, 3)
    before = await seen(front, wamids)
    assert sorted(before.values()) == [1, 1, 1]
    code, output, _ = await run("--since", told(since), "--until", told(since + SOON))
    assert (code, output) == (0, "3 webhooks, 3 events; 0 could not be read\n")
    assert await seen(front, wamids) == dict.fromkeys(before, 2)


async def test_only_what_came_in_the_period_goes_through_again(front: Front) -> None:
    since, wamids = await posted(front, 2)
    early = ("--since", told(since - timedelta(days=2)), "--until", told(since - timedelta(days=1)))
    code, output, _ = await run(*early)
    assert (code, output) == (0, "0 webhooks, 0 events; 0 could not be read\n")
    assert set((await seen(front, wamids)).values()) == {1}


async def test_one_that_was_broken_off_goes_on_where_it_stood(front: Front) -> None:
    since, wamids = await posted(front, 40)  # so many seconds
    until = told(datetime.now(UTC) + timedelta(seconds=1))
    period = ("--since", told(since), "--until", until)
    slowly = await started("replay", *period, "--per-second", "1", **opens())

    async def some_went() -> bool:
        return sum((await seen(front, wamids)).values()) > len(wamids)

    await wait_until(some_went, timeout_s=60)
    slowly.send_signal(signal.SIGINT)
    code, _, errors = await ended(slowly)
    assert code == 130, errors
    assert "Traceback" not in errors
    found = re.search(r"--cursor (\S+)", errors)
    assert found, errors
    code, output, _ = await run(*period, "--cursor", found[1])
    assert code == 0
    assert int(output.split()[0]) < len(wamids)
    assert min((await seen(front, wamids)).values()) == 2, "none is left out"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--since", "2026-01-01", "--cursor", "nonsense"), "cursor"),
        (("--since", "yesterday"), "--since"),
        ((), "--since"),
    ],
)
async def test_what_cannot_be_asked_is_told(
    front: Front, arguments: Sequence[str], problem: str
) -> None:
    code, output, errors = await run(*arguments)
    assert (code, output) == (2, "")
    assert problem in errors
    assert "Traceback" not in errors
