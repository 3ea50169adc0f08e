"""Postgres: the pool, migrations, and effects that happen once.

`Effects` is the heart of every service's reliability: one transaction drops the events that were
seen, changes the state and stores the bytes of everything that follows; then these are published,
and only then is the batch acknowledged. A row that a crash left behind is swept up and published.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from typing import Final, Protocol, TypeAlias
from urllib.parse import quote, urlsplit

import asyncpg
import msgspec
import psycopg
import structlog
from asyncpg.pgproto import pgproto
from asyncpg.pool import PoolConnectionProxy
from psycopg import sql
from yoyo import get_backend, read_migrations

from chassis.clock import Clock
from chassis.failures import Failure, Misconfigured
from chassis.ids import digest
from chassis.streams.log import EventLog, Record
from chassis.transient import transient

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Work = Callable[[Connection, Sequence[int]], Awaitable[Sequence[Record]]]
"""Given the transaction and the positions of events not seen before: change the state, and return
what follows from that."""

_SWEEP_EVERY: Final = timedelta(milliseconds=500)
_LEFT_BEHIND: Final = timedelta(seconds=5)  # longer than any publishing takes
_FORGET_EVERY: Final = 600  # sweeps
_SWEPT: Final = 100
_MIGRATION_LOCK_S: Final = 3
_CLOSING_S: Final = 5
_FORGOTTEN: Final = 50_000  # events at once
_NUMBER: Final = attrgetter("int")  # UUIDs compared as such cost more than all the rest

_logger = structlog.get_logger()


async def _no_reset(_connection: object) -> None:
    """Sessions hold no state (`SET LOCAL` and transaction locks only), so a released connection
    needs no reset query; that is worth two thirds more queries a second."""


@asynccontextmanager
async def database(dsn: str, schema: str, size: int = 8, **settings: str) -> AsyncIterator[Pool]:
    """A pool whose unqualified names mean `schema`. Every wait has a limit. `settings`: of
    Postgres, for these sessions."""
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=size,
            command_timeout=30,
            timeout=10,
            max_inactive_connection_lifetime=300,
            server_settings={
                "search_path": schema,
                "statement_timeout": "30s",
                "lock_timeout": "10s",
                "idle_in_transaction_session_timeout": "60s",
                "application_name": f"merhaba {schema}",
                "jit": "off",  # compiling costs more than these short statements
                **settings,
            },
            reset=_no_reset,
        )
    except (OSError, asyncpg.PostgresError) as error:
        raise Misconfigured(
            f"DATABASE_URL: no Postgres answers there ({type(error).__name__})"
        ) from None
    try:
        yield pool
    finally:
        # Not cancelled when it takes too long: what it waits for may not let itself be.
        closing = asyncio.create_task(pool.close(), name="closing the pool")
        await asyncio.wait([closing], timeout=_CLOSING_S)
        if not closing.done():
            pool.terminate()
            closing.cancel()
            await asyncio.wait([closing], timeout=_CLOSING_S)


def migrate(dsn: str, schema: str, folder: Path) -> int:
    """Bring a schema up to date: the chassis' tables, then the service's files in name order.

    Returns how many steps were applied. Safe to call from several processes at once, and again
    after one was killed. A step that waits too long for a lock on a table in use fails with
    Postgres' own words and may be tried again: whoever came after it would wait behind it.
    """
    # A lock of the session, which a process that is killed gives back. The migrator's own is a row,
    # which stays.
    with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as session:
        session.execute("SET statement_timeout = '60s'")
        session.execute("SELECT pg_advisory_lock(hashtext(%s))", [f"merhaba schema {schema}"])
        session.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        applied = 0
        with get_backend(_yoyo_url(dsn, schema)) as backend:
            for source in (Path(__file__).parent / "migrations", folder):
                todo = backend.to_apply(read_migrations(str(source)))
                backend.apply_migrations(todo)
                applied += len(todo)
        return applied


def _yoyo_url(dsn: str, schema: str) -> str:
    """The same database as the migrator spells it."""
    parts = urlsplit(dsn)
    options = quote(f"-c lock_timeout={_MIGRATION_LOCK_S}s")
    query = "&".join(filter(None, (parts.query, f"schema={quote(schema)}", f"options={options}")))
    return f"postgresql+psycopg://{parts.netloc}{parts.path}?{query}"


async def delete_before(
    within: "Pool | Connection", table: str, column: str, before: object, most: int = 5_000
) -> int:
    """Delete rows in which `column` is before a moment; returns how many. No more than `most`: a
    statement that took all might take too long, and be given up again and again."""
    statement = sql.SQL(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY("
        "SELECT ctid FROM {table} WHERE {column} < $1 LIMIT $2))"
    ).format(table=sql.Identifier(table), column=sql.Identifier(column))
    done = await within.execute(statement.as_string(), before, most)
    return int(done.split()[-1])


class Seal(Protocol):
    """Keeps what is written from whoever has the database alone."""

    async def seal(self, plain: bytes) -> bytes:
        """Seal what is about to be written."""
        ...

    async def open(self, sealed: bytes) -> bytes:
        """What was sealed."""
        ...


class Effects:
    """Changes of state with what follows from them, each exactly once in effect."""

    def __init__(
        self,
        pool: Pool,
        log: EventLog,
        clock: Clock,
        remember: timedelta,
        seal: Seal | None = None,
    ) -> None:
        """`remember`: how long a repeat of an event is recognised. `seal`: for what follows, while
        it waits to be published; without one it is kept as it is."""
        self._seal = seal
        self._pool = pool
        self._log = log
        self._clock = clock
        self._remember = remember
        self._published: list[int] = []

    async def apply(self, event_ids: Sequence[str], work: Work) -> int:
        """Do `work` for those of `event_ids` not seen before, once; returns how many they were.

        Without ids (an API call, a timer) work is done as it is. What follows is on the log when
        this returns, or it will be: an outage of the log after the commit is made up for by the
        sweeper.
        """
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            fresh = await self.unseen(connection, event_ids) if event_ids else []
            if event_ids and not fresh:
                return 0
            records = await work(connection, fresh)
            row = await self._store(connection, records) if records else None
        if row is not None:
            await self._publish(row, records)
        return len(fresh)

    async def unseen(self, connection: Connection, event_ids: Sequence[str]) -> list[int]:
        """The positions of events not seen before, each once; seen from this transaction on."""
        prints: dict[pgproto.UUID, int] = {}
        for position, event_id in enumerate(event_ids):
            prints.setdefault(pgproto.UUID(digest(event_id)), position)
        # In order, so that two transactions with the same events wait for, not deadlock, each other
        rows = await connection.fetch(
            "INSERT INTO seen (event) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING"
            " RETURNING event",
            sorted(prints, key=_NUMBER),
        )
        if len(rows) == len(prints):
            return list(prints.values())
        return sorted(prints[row["event"]] for row in rows)

    async def _store(self, connection: Connection, records: Sequence[Record]) -> int:
        plain = msgspec.msgpack.encode(records)
        row: int = await connection.fetchval(
            "INSERT INTO outbox (records) VALUES ($1) RETURNING outbox_id",
            plain if self._seal is None else await self._seal.seal(plain),
        )
        return row

    async def _publish(self, row: int, records: Sequence[Record]) -> None:
        try:
            await self._log.append(records)
        except Failure as error:
            _logger.warning("left to the sweeper", error=error.reason)
        else:
            self._published.append(row)

    async def run(self) -> None:
        """Delete what was published and sweep up what a crash left, until cancelled."""
        turn = 0
        while True:
            await self._clock.sleep(_SWEEP_EVERY)
            try:
                await self.sweep(_LEFT_BEHIND)
                if turn % _FORGET_EVERY == 0:
                    await self._forget()
            except Exception as error:
                if not transient(error):
                    raise
                _logger.warning("no sweep of the outbox", error=type(error).__name__)
            turn += 1

    async def sweep(self, left_behind: timedelta) -> int:
        """Publish rows older than `left_behind`; returns how many there were."""
        published, self._published = self._published, []
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            if published:
                await connection.execute("DELETE FROM outbox WHERE outbox_id = ANY($1)", published)
            rows = await connection.fetch(
                "SELECT outbox_id, records FROM outbox WHERE create_time < now() - $1::interval"
                " ORDER BY outbox_id LIMIT $2 FOR UPDATE SKIP LOCKED",
                left_behind,
                _SWEPT,
            )
            for row in rows:
                kept = row["records"]
                plain = kept if self._seal is None else await self._seal.open(kept)
                await self._log.append(msgspec.msgpack.decode(plain, type=list[Record]))
            if rows:
                _logger.warning("swept the outbox", rows=len(rows))
                await connection.execute(
                    "DELETE FROM outbox WHERE outbox_id = ANY($1)", [r["outbox_id"] for r in rows]
                )
        return len(rows)

    async def _forget(self) -> None:
        before = await self._pool.fetchval("SELECT now() - $1::interval", self._remember)
        while await delete_before(self._pool, "seen", "seen_time", before, _FORGOTTEN):
            pass
