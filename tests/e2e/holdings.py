"""Everything the suite keeps anywhere, as bytes to be searched."""

import gzip
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import zstandard
from redis.asyncio import Redis

from services.profile.vault.envelope import Envelope
from services.profile.vault.keys import Vault
from services.profile.vault.master_keys import LocalMasterKeys
from services.profile.vault.seal import Sort, Tampered

_SEALED = {
    ("profile", "contacts", "document"): Sort.DOCUMENT,
    ("profile", "events", "body"): Sort.EVENT,
    ("profile", "consents", "line"): Sort.CONSENT,
}
_ENVELOPED = {
    ("profile", "outbox", "records"),
    ("profile", "requests", "digest"),
    ("profile", "requests", "response"),
    ("profile", "erasures", "identities"),
}
_ZSTD = b"\x28\xb5\x2f\xfd"

Place = tuple[str, bytes]
"""Where something is, and what."""


def opened(value: Any) -> Iterator[bytes]:
    """A value as bytes, and what is compressed in it."""
    raw = value if isinstance(value, bytes) else str(value).encode()
    yield raw
    start = raw.find(_ZSTD)
    while start >= 0:
        with suppress(zstandard.ZstdError):
            yield zstandard.ZstdDecompressor().decompressobj().decompress(raw[start:])
        start = raw.find(_ZSTD, start + 1)
    for decompress in (zlib.decompress, gzip.decompress):
        with suppress(zlib.error, OSError, EOFError):
            yield decompress(raw)


async def in_postgres(url: str, master_key: str) -> AsyncIterator[Place]:
    """Every column of every table; what is sealed is opened with the keys that are left."""
    masters = LocalMasterKeys(f"laptop:{master_key}")
    vault, envelope = Vault(masters), Envelope(masters)
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_type = 'BASE TABLE'"
            " AND table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        rows = await connection.fetch("SELECT contact_id, master_id, wrapped FROM profile.keys")
        keys = await vault.open([(str(row[0]), row[1], row[2]) for row in rows])
        for schema, table in tables:
            where = f"{schema}.{table}"
            for row in await connection.fetch(f'SELECT * FROM "{schema}"."{table}"'):
                for column, value in row.items():
                    if value is None:
                        continue
                    place = (schema, table, column)
                    for raw in opened(value):
                        yield f"{where}.{column}", raw
                    if sort := _SEALED.get(place):
                        if (key := keys.get(str(row["contact_id"]))) is not None:
                            yield f"{where}.{column} opened", key.open(sort, value)
                    elif place in _ENVELOPED:
                        with suppress(Tampered, msgspec.MsgspecError):
                            yield f"{where}.{column} opened", await envelope.open(value)
    finally:
        await connection.close()


async def in_redis(url: str) -> AsyncIterator[Place]:
    """Every key with all it holds."""
    redis: Any = Redis.from_url(url)
    try:
        async for key in redis.scan_iter(count=1_000):
            name = key.decode(errors="replace")
            yield name, key
            match (await redis.type(key)).decode():
                case "stream":
                    for _, fields in await redis.xrange(key):
                        for value in fields.values():
                            for raw in opened(value):
                                yield name, raw
                case "string":
                    yield name, await redis.get(key)
                case "hash":
                    for pair in (await redis.hgetall(key)).items():
                        for value in pair:
                            yield name, value
                case "zset":
                    for value in await redis.zrange(key, 0, -1):
                        yield name, value
                case "set":
                    for value in await redis.smembers(key):
                        yield name, value
                case "list":
                    for value in await redis.lrange(key, 0, -1):
                        yield name, value
    finally:
        await redis.aclose()


def in_files(folder: Path) -> Iterator[Place]:
    """What processes said, and Redis's own files; of the simulator, which is Meta, nothing."""
    for file in sorted(folder.rglob("*")):
        told = file.suffix == ".log" and file.name != "simulator.log"
        if file.is_file() and (told or "redis" in file.relative_to(folder).parts[0]):
            for raw in opened(file.read_bytes()):
                yield str(file.relative_to(folder)), raw
