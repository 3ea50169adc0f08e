"""Everything sender holds of a person: to be shown, and to be erased."""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import asyncpg
import msgspec
import orjson
from google.protobuf.json_format import MessageToDict

from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Connection, Effects, Pool
from chassis.privacy import Readers, Told, rows
from chassis.streams import Record
from chassis.tombstones import bury
from merhaba.event.v1 import Pricing
from merhaba.profile.v1 import ExportedRecord
from merhaba.sender.v1 import Campaign
from services.sender.body import FETCHED, files_of
from services.sender.delivery.nobody import anonymise
from services.sender.files.store import remove
from services.sender.model import Message, State
from services.sender.tables.naming import Named, named, unname
from services.sender.tables.rows import COLUMNS, update
from services.sender.tables.verdicts import unpack
from services.sender.tables.wamids import forget
from services.sender.wire import record_of, stamp

_AT_ONCE: Final = 1_000
# With the condition of the index on `home_id`
_THEIRS: Final = "(contact_id = ANY($1::text[]) OR home_id <> '' AND home_id = ANY($1::text[]))"
_MESSAGES: Final = (
    f"SELECT {COLUMNS}, decide_time, edition, verdicts, message_id AS place"
    f" FROM messages WHERE {_THEIRS}"
)
_WINDOWS: Final = (
    "SELECT *, contact_id || ' ' || phone_number_id AS place FROM windows"
    " WHERE contact_id = ANY($1::text[])"
)
_SATURATIONS: Final = (
    "SELECT *, contact_id AS place FROM saturations WHERE contact_id = ANY($1::text[])"
)
_PEOPLE: Final = (
    "SELECT *, contact_id AS place FROM people"
    " WHERE contact_id = ANY($1::text[]) OR person_id = ANY($1::text[])"
)
_NAMING: Final = "encode(definition, 'escape') ~* ANY($1::text[])"


class Held:
    """What is kept of contacts, in whatever table. In Redis the limiters keep hashes of addresses
    and ids, for a day at most, which lead to nobody once these are gone."""

    def __init__(self, pool: Pool, effects: Effects, clock: Clock) -> None:
        self._pool = pool
        self._effects = effects
        self._clock = clock

    async def readers(self, who: Named) -> Readers:
        """Everything of a person, by dataset."""
        who = who._replace(contact_ids=await self._all(who.contact_ids))
        ids = who.contact_ids
        return {
            "message": rows(self._pool, "message", _MESSAGES, ids, _message),
            "window": rows(self._pool, "window", _WINDOWS, ids, _window),
            "saturation": rows(self._pool, "saturation", _SATURATIONS, ids, _saturation),
            "person": rows(self._pool, "person", _PEOPLE, ids, _person),
            "campaign": partial(self._campaigns, who),
        }

    async def _all(self, contact_ids: Sequence[str]) -> list[str]:
        """With all ids of which these stand for the person now."""
        found = await self._pool.fetch(
            "SELECT contact_id FROM people WHERE person_id = ANY($1::text[])", contact_ids
        )
        return list(dict.fromkeys([*contact_ids, *(row["contact_id"] for row in found)]))

    async def _campaigns(self, who: Named, after: str) -> AsyncIterator[Told]:
        for campaign_id in await self._naming(who, after):
            row = await self._pool.fetchrow(
                "SELECT name, definition FROM campaigns WHERE campaign_id = $1", campaign_id
            )
            assert row is not None  # campaigns are never deleted
            names = list(named(Campaign.FromString(row["definition"]), who))
            told = {"campaign_id": campaign_id, "name": row["name"], "named": names}
            yield Told("campaign", campaign_id, _record("campaign", 0, told) if names else None)

    async def _naming(self, who: Named, after: str) -> list[str]:
        """Campaigns in which they may be named."""
        found = await self._pool.fetch(
            f"SELECT campaign_id FROM campaigns WHERE {_NAMING} AND campaign_id > $2"
            " ORDER BY campaign_id",
            *(who.patterns(), after),
        )
        return [row["campaign_id"] for row in found]

    # --- to be erased -------------------------------------------------------------------------

    async def erase(self, who: Named) -> Mapping[str, int]:
        """Erase everything of a person, for good; what waits for them is called off, and what was
        sent is nobody's. Returns how many records of which kind."""
        ids: list[str] = []
        while len(found := await self._all(ids or who.contact_ids)) > len(ids):
            ids = found  # once more: a merge may have been followed until now
            await bury(self._pool, ids, self._clock.now())
        erased = {"message": 0}
        while part := await self._anonymise(ids):
            erased["message"] += part
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            for dataset, table in (("window", "windows"), ("saturation", "saturations")):
                status = await connection.execute(
                    f"DELETE FROM {table} WHERE contact_id = ANY($1::text[])", ids
                )
                erased[dataset] = int(status.split()[-1])
            # It holds the id alone, so nothing of it is told.
            await connection.execute(
                "DELETE FROM turnstiles WHERE contact_id = ANY($1::text[])", ids
            )
            status = await connection.execute(
                "DELETE FROM people WHERE contact_id = ANY($1::text[]) OR person_id = ANY($1)", ids
            )
            erased["person"] = int(status.split()[-1])
        erased["campaign"] = await self._unname(who._replace(contact_ids=ids))
        return erased

    async def _anonymise(self, contact_ids: Sequence[str]) -> int:
        """So many messages at once, which stand under nobody then; returns how many."""
        now = milliseconds_of(self._clock.now())
        messages: list[Message] = []

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            found = await connection.fetch(
                f"SELECT {COLUMNS} FROM messages WHERE {_THEIRS}"
                " ORDER BY message_id LIMIT $2 FOR UPDATE",
                *(contact_ids, _AT_ONCE),
            )
            messages[:] = [Message(*row) for row in found]
            fetched = {one for message in messages for one in files_of(message.body)}
            await remove(connection, sorted(one for one in fetched if one.startswith(FETCHED)))
            await forget(connection, [message.wamid for message in messages])
            happenings = [one for message in messages for one in anonymise(message, now)]
            await update(connection, messages)
            await connection.execute(
                "UPDATE messages SET contact_id = '', home_id = '', occurrence_id = '',"
                " context_wamid = '', traceparent = '', body = '', verdicts = ''"
                " WHERE message_id = ANY($1::text[])",
                [message.message_id for message in messages],
            )
            return [record_of(happening) for happening in happenings]

        await self._effects.apply((), work)
        return len(messages)

    async def _unname(self, who: Named) -> int:
        times = 0
        for campaign_id in await self._naming(who, ""):
            async with self._pool.acquire(timeout=10) as connection, connection.transaction():
                definition = await connection.fetchval(
                    "SELECT definition FROM campaigns WHERE campaign_id = $1 FOR UPDATE",
                    campaign_id,
                )
                campaign = Campaign.FromString(definition)
                if found := unname(campaign, who):
                    await connection.execute(
                        # A version of its own: nobody writes back what they read before
                        "UPDATE campaigns SET definition = $2, version = version + 1"
                        " WHERE campaign_id = $1",
                        *(campaign_id, campaign.SerializeToString()),
                    )
                times += found
        return times


def _message(row: asyncpg.Record) -> ExportedRecord:
    told = _columns(row)
    told["state"] = State(row["state"]).name.lower()
    told["body"] = orjson.loads(row["body"]) if row["body"] else None
    told["verdicts"] = [msgspec.structs.asdict(one) for one in unpack(row["verdicts"])]
    told["pricing"] = None
    if row["pricing"]:
        told["pricing"] = MessageToDict(
            Pricing.FromString(row["pricing"]), preserving_proto_field_name=True
        )
    return _record("message", row["plan_time"], told)


def _window(row: asyncpg.Record) -> ExportedRecord:
    return _record("window", row["last_time"], _columns(row))


def _saturation(row: asyncpg.Record) -> ExportedRecord:
    return _record("saturation", row["last_time"], _columns(row))


def _person(row: asyncpg.Record) -> ExportedRecord:
    return _record("person", row["change_time"], _columns(row))


def _columns(row: asyncpg.Record) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "place"}


def _record(dataset: str, time: int, told: Any) -> ExportedRecord:
    return ExportedRecord(
        service="sender", dataset=dataset, record_time=stamp(time), record_json=orjson.dumps(told)
    )
