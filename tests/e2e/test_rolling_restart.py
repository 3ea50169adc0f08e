"""Every process is told to stop, one after the other and under load, as when a new version is
rolled out: no webhook goes without its answer, and nothing is lost."""

import asyncio
import signal
from collections import Counter
from urllib.parse import urlsplit

import psutil
import pytest

from chassis.testing import wait_until
from cli.play import story
from cli.stack import SERVICES
from merhaba.event.v1 import Identity
from merhaba.profile.v1 import ResolveContactRequest, StreamHistoryRequest
from services.ingest.tests.bodies import message
from tests.chaos.suite import processes, tell
from tests.ingest.load import load

PER_SECOND, CLIENTS = 60, 40


def listening(process: psutil.Process) -> set[int]:
    """Ports."""
    try:
        found = process.net_connections("tcp")
    except psutil.NoSuchProcess:
        return set()
    return {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}


async def restarted(addresses, service: str, process: psutil.Process) -> None:
    """Stop one process cleanly, and wait for the one that follows."""
    ports = listening(process)
    tell(process, signal.SIGTERM)

    def serves() -> bool:
        found = processes(addresses, service)
        return process not in found and any(listening(one) == ports for one in found)

    await wait_until(serves, timeout_s=120, every_s=0.2)


@pytest.mark.timeout(600)
async def test_a_rolling_restart_loses_nothing_and_answers_every_webhook(services, addresses):
    port = urlsplit(addresses.webhook_url).port
    async with load(port, addresses.app_secret, PER_SECOND, CLIENTS) as posted:
        await asyncio.sleep(1)
        for service in SERVICES:
            for process in processes(addresses, service):
                await restarted(addresses, service, process)
        await asyncio.sleep(1)
    # A balancer in front knows who is going; here connections are made to a port that both workers
    # share, and one that is made while a worker closes it is cut before anybody reads from it.
    cut = [one for one in posted.sent if not one.status]
    assert len(cut) <= len(posted.sent) / 50
    for one in cut:
        await posted.again(one)
    assert posted.statuses().keys() == {200}, posted.statuses()
    assert not [one for one in posted.sent if one.torn]

    await story.until_processed(services, 120, lambda _: None)
    writer = Identity(kind=Identity.KIND_WA_ID, value=message("any")["from"])
    found = await services.profile.ResolveContact(ResolveContactRequest(identities=[writer]))
    history: Counter[str] = Counter()
    asked = StreamHistoryRequest(contact_ids=[found.contact_id], names=["message_received"])
    async for page in services.profile.StreamHistory(asked):
        history.update(event.event_id for one in page.histories for event in one.events)
    assert {history[one.wamid] for one in posted.sent} == {1}
