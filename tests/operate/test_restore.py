"""A backup is taken of a running suite and restored elsewhere, with the commands of the page: what
came after it is read again from the log, nothing is sent twice, and who was erased is gone."""

import asyncio
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import grpc
import pytest

from bench.running import passing_folder
from chassis import embedded
from chassis.ids import fresh_id
from chassis.testing import wait_until
from cli import stack
from cli.clients import Clients, clients
from cli.doors import Doors, text_message
from cli.place import Place, Secrets
from cli.play import definitions, story
from merhaba.event.v1 import Identity
from merhaba.profile.v1 import (
    ContactRef,
    EraseContactRequest,
    Erasure,
    GetErasureRequest,
    ListEventsRequest,
    ResolveContactRequest,
)
from services.profile.vault.keys import Vault
from services.profile.vault.master_keys import LocalMasterKeys
from services.profile.vault.seal import Tampered
from tests.deploy.conftest import ROOT
from tests.e2e.command import merhaba
from tests.e2e.people import introduction, order, phones

PAGE = (ROOT / "docs" / "operate" / "backup.md").read_text()
PATIENCE_S = 90
KEPT = (
    "SELECT 'people', count(*) FROM profile.contacts"
    # What became of messages is told by who knows it: the restored sender tells it anew
    " UNION ALL SELECT name, count(*) FROM profile.events"
    " WHERE name !~ '^message_' OR name = 'message_received' GROUP BY name"
    " UNION ALL SELECT 'consents', count(*) FROM profile.consents"
    " UNION ALL SELECT 'messages', count(*) FROM sender.messages"
    " UNION ALL SELECT 'left', count(*) FROM sender.messages WHERE sent_time > 0"
    " UNION ALL SELECT 'states', count(*) FROM segment.contact_states"
    " UNION ALL SELECT 'occurrences', count(*) FROM segment.occurrences"
    " UNION ALL SELECT 'facts', count(*) FROM reports.message_facts"
)


class Suite:
    """A running suite, as its customers and operators meet it."""

    def __init__(
        self, running: stack.Stack, services: Clients, session: aiohttp.ClientSession
    ) -> None:
        self.addresses = running.addresses()
        self.data = running.place.folder
        self.services = services
        self.session = session
        self.doors = Doors(session, self.addresses)

    async def handled(self) -> None:
        """Return when everything on the log is, and Meta has said what became of all messages."""
        drained = {"timeout_s": PATIENCE_S, "hurry": True}
        await story.until_processed(self.services, PATIENCE_S, lambda _: None)
        assert (await story.control(self.session, self.addresses, "drain", drained))["drained"]
        await story.until_processed(self.services, PATIENCE_S, lambda _: None)

    async def sent(self) -> int:
        """How many messages Meta took from this suite."""
        told = await story.summary_of_simulator(self.session, self.addresses)
        assert not told["ledger/duplicates"].get("duplicates"), told
        return int(told["summary"]["accepted"])

    async def sends(self, count: int) -> None:
        """Return when Meta took so many messages."""

        async def taken() -> bool:
            return await self.sent() == count

        await wait_until(taken, timeout_s=PATIENCE_S, every_s=0.3)

    async def contact(self, phone: str) -> str:
        """Who has a number; empty: nobody."""
        whom = Identity(kind="KIND_WA_ID", value=phone)
        try:
            found = await self.services.profile.ResolveContact(
                ResolveContactRequest(identities=[whom])
            )
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
            return ""
        return str(found.contact_id)

    async def wrote(self, phone: str) -> Counter[str]:
        """What a person wrote to us, as profile has it."""
        asked = ListEventsRequest(
            contact_id=await self.contact(phone), names=["message_received"], page_size=100
        )
        found = await self.services.profile.ListEvents(asked)
        return Counter(one.message_received.content.text for one in found.events)

    async def write(self, phone: str, text: str) -> None:
        """A person writes to us."""
        wamid = fresh_id("wamid")
        number = definitions.NUMBER, definitions.WABA
        await self.doors.webhook(text_message(wamid, phone, *number, text, datetime.now(UTC)))

    async def rows(self, statement: str) -> list[Any]:
        connection = await asyncpg.connect(self.addresses.database_url)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    async def erased(self, phone: str) -> None:
        """Return when a person is erased everywhere."""
        asked = GetErasureRequest(request_id=fresh_id("era"))
        ref = ContactRef(identity=Identity(kind="KIND_WA_ID", value=phone))
        await self.services.privacy.EraseContact(
            EraseContactRequest(request_id=asked.request_id, contact=ref)
        )

        async def everywhere() -> bool:
            erasure = (await self.services.privacy.GetErasure(asked)).erasure
            return bool(erasure.state == Erasure.STATE_ERASED)

        await wait_until(everywhere, timeout_s=PATIENCE_S)

    async def command(self, *arguments: str) -> str:
        """What `merhaba` answers."""
        done = await asyncio.to_thread(merhaba, *arguments, data=self.data)
        assert done.returncode == 0, done.stderr
        return done.stdout


@asynccontextmanager
async def life(folder: Path) -> AsyncIterator[Suite]:
    """A suite on a folder."""
    async with (
        stack.running(Place(folder), lambda _: None) as running,
        clients(running.addresses()) as services,
        aiohttp.ClientSession() as session,
    ):
        yield Suite(running, services, session)


def blocks(part: str) -> list[str]:
    """The commands of a part of the page."""
    text = PAGE.partition(f"\n## {part}\n")[2].partition("\n## ")[0]
    return re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)


async def shell(commands: str, **places: str | Path) -> None:
    """Run commands of the page as an operator does."""
    programs = (embedded._postgres_programs(), Path(embedded._redis_program()).parent)
    path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", commands],
        env={**{name: str(value) for name, value in places.items()}, "PATH": path},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stderr}"


def redis_cli(url: str) -> str:
    return f"redis-cli -s {url.removeprefix('unix://')}"


@asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Postgres and Redis on a folder, and no service yet."""
    sockets = embedded.run_folder()
    sockets.chmod(0o755)
    started = []
    try:
        for start in (embedded.start_postgres, embedded.start_redis):
            started.append(start(folder, sockets))
        yield started[0].url, started[1].url
    finally:
        for server in started:
            server.stop()
        shutil.rmtree(sockets, ignore_errors=True)


def own_for_postgres(folder: Path) -> None:
    """Postgres refuses root's processes, so for root its files are somebody else's."""
    user = embedded._unprivileged()
    for path in (folder, *folder.rglob("*")) if user is not None else ():
        os.chown(path, user.pw_uid, user.pw_gid)


@pytest.fixture
def folder() -> Any:
    with passing_folder() as made:
        yield made


@pytest.mark.timeout(600)
async def test_what_was_lost_is_read_again_nothing_leaves_twice_and_who_was_erased_is_gone(
    folder: Path,
) -> None:
    stays, gone, late = phones(3)
    begun = datetime.now(UTC) - timedelta(seconds=1)
    before, after, backup = folder / "before", folder / "after", folder / "backup"
    for place in (before, after, backup):
        place.mkdir(mode=0o755)
    places = {"BACKUP": backup, "REDIS_DATA": before / "redis"}
    take_postgres, take_redis = blocks("Take one")
    put_postgres, put_redis, hold, release = blocks("Restore")

    async with life(before) as suite:
        await definitions.define(suite.services, suite.addresses, suite.session, 1)
        people = [item for phone in (stays, gone, late) for item in introduction(phone)]
        await suite.doors.track([*people, order(stays, "o1", 80), order(gone, "o2", 80)])
        for phone in (stays, gone, late):
            await suite.write(phone, "before")
        await suite.sends(2)  # each order is thanked for
        await suite.handled()
        await suite.erased(gone)
        urls = {
            "DATABASE_URL": suite.addresses.database_url,
            "REDIS": redis_cli(suite.addresses.redis_url),
        }
        await shell(take_postgres, **places, **urls)

        # What the backup of Postgres does not have
        await suite.write(stays, "after")
        await suite.doors.track([order(stays, "o3", 80)])
        await suite.sends(
            3
        )  # not at once: Meta takes one message to the same person every six seconds
        await suite.handled()
        kept = await suite.rows(KEPT)
        await shell(take_redis, **places, **urls)
        await suite.erased(late)

    shutil.copy(before / "secrets.json", after)
    await shell(put_postgres, BACKUP=backup, POSTGRES_DATA=after / "postgres")
    own_for_postgres(after / "postgres")
    await shell(put_redis, BACKUP=backup, REDIS_DATA=after / "redis")
    async with servers(after) as (database_url, redis_url):
        await shell(hold, DATABASE_URL=database_url, REDIS=redis_cli(redis_url))
        await without_the_master_key_nobody_is_read(database_url)

    async with life(after) as suite:
        # Meta would know both; the simulator forgets
        await definitions.number(suite.services, suite.addresses, suite.session)
        await definitions.templates(suite.services, suite.addresses)
        await story.until_processed(suite.services, PATIENCE_S, lambda _: None)
        told = await suite.command("replay", "--since", f"{begun:%Y-%m-%dT%H:%M:%S}")
        assert "; 0 could not be read" in told
        await story.until_processed(suite.services, PATIENCE_S, lambda _: None)
        assert {text: (await suite.wrote(stays))[text] for text in ("before", "after")} == {
            "before": 1,
            "after": 1,
        }
        assert (await suite.wrote(late))["before"] == 1
        assert await suite.contact(gone) == "", "no replay brings back who was erased"

        await shell(release, DATABASE_URL=suite.addresses.database_url)
        found = dict(tuple(row) for row in await suite.rows(KEPT))
        wanted = dict(tuple(row) for row in kept)
        # That the last one left only a status tells, when it is read after its message was made
        assert found.pop("left") - wanted.pop("left") in (-1, 0)
        assert found == wanted
        assert await suite.sent() == 0, "what left before does not leave again"

        await suite.command("erase-contact", late, "--yes")
        assert await suite.contact(late) == ""
        await suite.command("replay", "--since", f"{begun:%Y-%m-%dT%H:%M:%S}")
        await story.until_processed(suite.services, PATIENCE_S, lambda _: None)
        assert await suite.contact(late) == ""

        await suite.doors.track([order(stays, "o4", 80)])
        await suite.sends(1)  # life goes on


async def without_the_master_key_nobody_is_read(database_url: str) -> None:
    """The database alone tells of nobody."""
    another = Vault(LocalMasterKeys(f"laptop:{Secrets().master_key}"))
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch("SELECT contact_id, master_id, wrapped FROM profile.keys")
    finally:
        await connection.close()
    assert rows
    with pytest.raises(Tampered):
        await another.open([(str(row[0]), row[1], row[2]) for row in rows])
