"""Files that somebody brought, and where they stand at Meta, in Postgres."""

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from chassis.postgres import Connection, Pool
from services.sender.failures import FileNotFound, FileState, OffsetMismatch

_COLUMNS: Final = "file_id, name, mime_type, size_bytes, sha256, animated, create_time, expire_time"
_AT_ONCE: Final = 20
_SPARE_MS: Final = 86_400_000
"""An upload is not used in its last day: its message may wait."""


class File(Struct):
    """A file; its bytes are beside it."""

    file_id: str
    name: str
    mime_type: str
    size_bytes: int = 0
    sha256: str = ""
    """Hexadecimal, of the whole; empty while bytes are to come."""
    animated: bool = False
    create_time: int = 0
    expire_time: int = 0
    """0: never."""

    @property
    def ready(self) -> bool:
        """Whether all bytes have arrived."""
        return bool(self.sha256)


class Uploaded(NamedTuple):
    """Where a content stands at Meta."""

    phone_number_id: str
    media_id: str
    expire_time: int


class FileStore:
    """Files and uploads."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self, file: File) -> File:
        """Store a file without bytes, unless it is known; returns the one that stands."""
        await self._pool.execute(
            f"INSERT INTO files ({_COLUMNS}, change_time)"  # noqa: S608 - fixed names
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $7) ON CONFLICT DO NOTHING",
            *(file.file_id, file.name, file.mime_type, file.size_bytes, file.sha256),
            *(file.animated, file.create_time, file.expire_time),
        )
        found = await self.find(file.file_id)
        assert found is not None  # it was begun just now
        return found

    async def find(self, file_id: str) -> File | None:
        """A file by its id."""
        row = await self._pool.fetchrow(
            f"SELECT {_COLUMNS} FROM files WHERE file_id = $1",  # noqa: S608 - fixed names
            file_id,
        )
        return None if row is None else File(*row)

    async def get(self, file_id: str, now: int) -> File:
        """A file by its id; raises FileNotFound, also when its time is over."""
        found = await self.find(file_id)
        if found is None or (found.expire_time and found.expire_time <= now):
            raise FileNotFound("no such file; create it anew", file_id=file_id)
        return found

    async def append(self, file_id: str, offset: int, data: bytes, now: int) -> int:
        """Add bytes at the end; those that have arrived already are passed over. Returns how many
        there are. Raises FileNotFound, FileState and OffsetMismatch."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            file = await _locked(connection, file_id)
            if file.ready and offset + len(data) > file.size_bytes:
                raise FileState("the file is complete", file_id=file_id, state="ready")
            if offset > file.size_bytes:
                raise OffsetMismatch(
                    f"{file.size_bytes} bytes have arrived; go on from there",
                    file_id=file_id,
                    size_bytes=str(file.size_bytes),
                )
            new = data[file.size_bytes - offset :]
            if new:
                await connection.execute(
                    "INSERT INTO file_parts (file_id, position, data) VALUES ($1, $2, $3)",
                    *(file_id, file.size_bytes, new),
                )
                await connection.execute(
                    "UPDATE files SET size_bytes = size_bytes + $2, change_time = $3"
                    " WHERE file_id = $1",
                    *(file_id, len(new), now),
                )
            return file.size_bytes + len(new)

    async def finish(self, file: File, as_id: str = "") -> File:
        """A file is complete: with its type and hash, and under another id when one is given and
        not known yet. Returns the one that stands."""
        stands = as_id or file.file_id
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            if as_id and await connection.fetchval(
                "SELECT true FROM files WHERE file_id = $1", as_id
            ):
                await remove(connection, [file.file_id])
            else:
                await connection.execute(
                    "UPDATE files SET file_id = $2, mime_type = $3, sha256 = $4, animated = $5"
                    " WHERE file_id = $1",
                    *(file.file_id, stands, file.mime_type, file.sha256, file.animated),
                )
                if as_id:
                    await connection.execute(
                        "UPDATE file_parts SET file_id = $2 WHERE file_id = $1",
                        *(file.file_id, as_id),
                    )
        found = await self.find(stands)
        if found is None:
            raise FileNotFound("the file is gone; create it anew", file_id=stands)
        return found

    async def parts(self, file_id: str) -> AsyncIterator[bytes]:
        """The bytes of a file, in parts."""
        position = -1
        while True:
            row = await self._pool.fetchrow(
                "SELECT position, data FROM file_parts WHERE file_id = $1 AND position > $2"
                " ORDER BY position LIMIT 1",
                *(file_id, position),
            )
            if row is None:
                return
            position = row["position"]
            yield row["data"]

    async def remove(self, file_id: str) -> None:
        """A file is not wanted any more."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            await remove(connection, [file_id])

    async def sweep(self, now: int, begun_before: int) -> int:
        """Remove some files whose time is over or that nobody completed, and uploads that Meta
        forgot; returns how many files."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            rows = await connection.fetch(
                "SELECT file_id FROM files WHERE (expire_time > 0 AND expire_time <= $1)"
                " OR (sha256 = '' AND change_time < $2) LIMIT $3 FOR UPDATE SKIP LOCKED",
                *(now, begun_before, _AT_ONCE),
            )
            await remove(connection, [row["file_id"] for row in rows])
        await self._pool.execute("DELETE FROM uploads WHERE expire_time <= $1", now)
        return len(rows)

    # --- at Meta ------------------------------------------------------------------------------

    async def uploaded(self, phone_number_id: str, file: File, now: int) -> Uploaded | None:
        """Where a content stands for a number, for a day yet."""
        row = await self._pool.fetchrow(
            "SELECT phone_number_id, media_id, expire_time FROM uploads WHERE phone_number_id = $1"
            " AND sha256 = $2 AND mime_type = $3 AND expire_time > $4",
            *(phone_number_id, file.sha256, file.mime_type, now + _SPARE_MS),
        )
        return None if row is None else Uploaded(*row)

    async def uploads(self, file: File, now: int) -> list[Uploaded]:
        """Where a content stands."""
        rows = await self._pool.fetch(
            "SELECT phone_number_id, media_id, expire_time FROM uploads WHERE sha256 = $1"
            " AND mime_type = $2 AND expire_time > $3 ORDER BY phone_number_id",
            *(file.sha256, file.mime_type, now),
        )
        return [Uploaded(*row) for row in rows]

    async def put_upload(self, file: File, upload: Uploaded) -> None:
        """A content was put on Meta."""
        await self._pool.execute(
            "INSERT INTO uploads (phone_number_id, sha256, mime_type, media_id, expire_time)"
            " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (phone_number_id, sha256, mime_type)"
            " DO UPDATE SET media_id = excluded.media_id, expire_time = excluded.expire_time",
            *(upload.phone_number_id, file.sha256, file.mime_type),
            *(upload.media_id, upload.expire_time),
        )

    async def forget_upload(self, phone_number_id: str, media_id: str) -> None:
        """Meta does not know an upload any more."""
        await self._pool.execute(
            "DELETE FROM uploads WHERE phone_number_id = $1 AND media_id = $2",
            *(phone_number_id, media_id),
        )


async def _locked(connection: Connection, file_id: str) -> File:
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM files WHERE file_id = $1 FOR UPDATE",  # noqa: S608 - fixed names
        file_id,
    )
    if row is None:
        raise FileNotFound("no such file; create it anew", file_id=file_id)
    return File(*row)


async def remove(connection: Connection, file_ids: Sequence[str]) -> None:
    """Files are not wanted any more."""
    await connection.execute("DELETE FROM file_parts WHERE file_id = ANY($1::text[])", file_ids)
    await connection.execute("DELETE FROM files WHERE file_id = ANY($1::text[])", file_ids)
