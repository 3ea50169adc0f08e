"""A base of contacts as profile keeps it, made in bulk: copies of a few that it made itself."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, cast

import asyncpg
import msgspec

from bench.running import note
from chassis.postgres import Connection
from chassis.settings import LogSettings
from chassis.streams import EventLog, Record
from cli.place import Secrets
from merhaba.event.v1 import Event
from services.profile.app import new_contact_id
from services.profile.person.identity import BlindIndex, normalised
from services.profile.person.model import Document, Identity, Kind, Member, Standing
from services.profile.tables.rows import MEMBER, MEMBERS, Sealer, keys_of, members_of
from services.profile.vault.keys import Vault
from services.profile.vault.master_keys import LocalMasterKeys, decoded

SCOPE: Final = "track:shop"
_AT_ONCE: Final = 5_000
_CATEGORIES: Final = ("dress", "shoes", "books", "garden", "toys")
_CITIES: Final = ("İstanbul", "Ankara", "İzmir", "Bursa", "Adana")


def customer(number: int) -> str:
    """The business's own id of a person."""
    return f"customer-{number:08d}"


def event(number: int, person: int, time_ms: int) -> Event:
    """What people do: mostly look, sometimes write or buy."""
    found = Event(event_id=f"bench/{number}", source=SCOPE)
    found.event_time.FromMilliseconds(time_ms - number % 86_400_000)
    found.received_time.FromMilliseconds(time_ms)
    found.identities.add(kind=Kind.EXTERNAL_ID, scope=SCOPE, value=customer(person))
    category = _CATEGORIES[number % len(_CATEGORIES)]
    which = number % 10
    if which == 0:
        found.tracked.name = "order_completed"
        found.tracked.properties_json = (
            b'{"order_id":"o%d","total":129.9,"currency":"TRY","products":[{"sku":"s%d",'
            b'"category":"%b","price":129.9,"quantity":1}]}'
            % (number, number % 500, category.encode())
        )
    elif which == 1:
        found.identified.traits_json = (
            f'{{"city":"{_CITIES[number % 5]}","first_name":"Deniz","plan":"gold"}}'.encode()
        )
    elif which == 2:
        found.message_received.wamid = f"wamid.{number}"
        found.message_received.phone_number_id = "1000"
        found.message_received.content.kind = "text"
        found.message_received.content.text = "Siparişim nerede kaldı, çok merak ettim"
    else:
        found.tracked.name = "product_viewed"
        found.tracked.properties_json = b'{"sku":"s%d","category":"%b","price":59.9}' % (
            number % 500,
            category.encode(),
        )
    return found


def records(numbers: range, people: Sequence[int], time_ms: int) -> Iterator[Record]:
    """Events as ingest puts them onto the log, one of each person in turn."""
    for at, number in enumerate(numbers):
        person = people[at % len(people)]
        said = event(number, person, time_ms)
        yield Record("inbound.track", customer(person), said.SerializeToString())


async def caught_up(log: EventLog, group: str, topic: str) -> None:
    """Return when a group has finished all of a topic."""
    while True:
        lags = [one for one in await log.lag([topic]) if one.group == group]
        if lags and all(not one.behind for one in lags):
            return
        await asyncio.sleep(0.05)


class Base:
    """The contacts of one stack, from the outside."""

    def __init__(self, database_url: str, secrets: Secrets) -> None:
        self._url = database_url
        self._vault = Vault(LocalMasterKeys(f"laptop:{secrets.master_key}"))
        self._index = BlindIndex(decoded("INDEX_KEY", secrets.index_key))

    async def copy(self, start: int, end: int) -> None:
        """Make contacts `start` up to `end`, each a copy of one that profile made."""
        connection = await asyncpg.connect(
            self._url, server_settings={"search_path": "profile", "synchronous_commit": "off"}
        )
        try:
            rows = await connection.fetch(f"SELECT {MEMBER} FROM {MEMBERS} LIMIT 500")  # noqa: S608 - constants
            keys = await keys_of(rows, self._vault)
            models = members_of(rows, keys)
            for first in range(start, end, _AT_ONCE):
                people = range(first, min(first + _AT_ONCE, end))
                await self._some(connection, models, people)
                if first // 100_000 != (first + _AT_ONCE) // 100_000:
                    note(f"  {first + _AT_ONCE:,} contacts")
            # Now, not by itself in the middle of what is measured
            await connection.execute("VACUUM (ANALYZE) contacts, identities, keys, standings")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()

    def document(self, model: Document, number: int) -> Document:
        """What is kept of a person: what a model did, under another identity."""
        who: Identity = normalised(Kind.EXTERNAL_ID, SCOPE, customer(number))
        (known,) = model.identities.values()
        return msgspec.structs.replace(model, identities={who: known})

    async def _some(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        models: Sequence[Member],
        people: range,
    ) -> None:
        ids = [new_contact_id() for _ in people]
        documents: dict[str, Document] = {}
        identities: list[tuple[bytes, str]] = []
        stood: dict[str, Standing | None] = {}
        for contact_id, number in zip(ids, people, strict=True):
            model = models[number % len(models)]
            document = documents[contact_id] = self.document(model.document, number)
            identities += [(self._index(who), contact_id) for who in document.identities]
            stood[contact_id] = model.standing
        async with connection.transaction():
            opened = await self._vault.make(cast(Connection, connection), ids)
            sealed = Sealer(self._vault, opened).documents(documents.items())
            await connection.copy_records_to_table(
                "contacts",
                columns=("contact_id", "create_time", "update_time", "document", "standing"),
                records=[
                    (
                        contact_id,
                        documents[contact_id].create_time,
                        documents[contact_id].create_time,
                        document,
                        msgspec.json.encode(stood[contact_id]).decode(),
                    )
                    for contact_id, document in zip(ids, sealed, strict=True)
                ],
            )
            await connection.copy_records_to_table("identities", records=identities)
            await connection.copy_records_to_table(
                "standings",
                records=[(i, one.score, one.due) for i, one in stood.items() if one is not None],
            )


def log_of(redis_url: str) -> LogSettings:
    """Settings of the log, for who fills it."""
    return LogSettings(redis_url=redis_url)
