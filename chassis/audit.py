"""The audit: what people and tools had done, on record before it happens, and whom they read about.

Records are written in groups by one task; a call waits for its group. When Postgres does not take
them, or too many wait, calls are refused, and none goes unrecorded. Services' own calls are not in
it: what they do follows from something that is.
"""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

import grpc
import structlog
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from chassis import paging
from chassis.callers import Call, call_with_purpose
from chassis.clock import Clock, milliseconds_of
from chassis.failures import Unavailable
from chassis.postgres import Pool
from chassis.times import milliseconds, timestamp
from chassis.transient import keep_at, transient

_MOST_WAITING: Final = 2_000
_AT_ONCE: Final = 200
_FORGET_EVERY: Final = timedelta(hours=1)
_FORGOTTEN: Final = 5_000  # rows at once
_LONGEST: Final = 200  # characters of what a caller wrote
_EVER: Final = 2**62
_NO_RESOURCES: Final = ("request_id", "wa_id", "user_id")
_logger = structlog.get_logger()


class _Row(NamedTuple):
    audit_id: str
    audit_time: int
    caller: str
    role: str
    method: str
    purpose: str
    resource: str
    request_id: str
    outcome: str


class Audit:
    """The record of one service."""

    def __init__(self, pool: Pool, clock: Clock, keep: timedelta) -> None:
        """`keep`: how long a record stays."""
        self._pool = pool
        self._clock = clock
        self._keep = keep
        self._waiting: list[tuple[_Row, asyncio.Future[None]]] = []
        self._ended: list[tuple[str, str]] = []
        self._wake = asyncio.Event()

    async def begin(self, asked: Call, request: Message) -> str:
        """Put a call on record before it is served; returns its id. Raises `Unavailable` when it
        cannot be, and then it must not be served."""
        return await self._add(asked, resource_of(request), getattr(request, "request_id", ""), "")

    def end(self, audit_id: str, outcome: str) -> None:
        """Say what became of it, soon."""
        if len(self._ended) < _MOST_WAITING:  # else it stays without an end, which is true as well
            self._ended.append((audit_id, outcome))
            self._wake.set()

    async def read(self, resource: str) -> None:
        """Put on record that the call which this task serves reads of a person; only then may the
        answer leave. Raises `FieldInvalid` without a purpose, and `Unavailable`."""
        await self._add(call_with_purpose(), resource, "", "OK")

    async def _add(self, asked: Call, resource: str, request_id: str, outcome: str) -> str:
        if len(self._waiting) >= _MOST_WAITING:
            raise _unavailable()
        now_ms = milliseconds_of(self._clock.now())
        row = _Row(
            f"audit_{now_ms:012x}{secrets.token_hex(10)}",
            now_ms,
            asked.caller.name,
            asked.caller.role,
            asked.method,
            asked.purpose[:_LONGEST],
            resource[:_LONGEST],
            request_id[:_LONGEST],
            outcome,
        )
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((row, written))
        self._wake.set()
        await written
        return row.audit_id

    def serve(self, contract: Any, server: grpc.aio.Server) -> None:
        """Have it asked for by gRPC. `contract`: the package `merhaba.audit.v1`, which is given
        because the chassis knows no contract."""
        contract.add_AuditServiceServicer_to_server(_api(contract, self), server)

    async def run(self) -> None:
        """Write records until cancelled, and then what is left."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting or self._ended:
                    await self._write()
        finally:
            while self._ended:
                await self._write()

    async def _write(self) -> None:
        begun, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
        ended, self._ended = self._ended[:_AT_ONCE], self._ended[_AT_ONCE:]
        failure: Exception | None = None
        try:
            async with self._pool.acquire(timeout=10) as connection:
                if begun:
                    await connection.executemany(
                        "INSERT INTO audit VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                        [row for row, _ in begun],
                    )
                if ended:
                    await connection.executemany(
                        "UPDATE audit SET outcome = $2 WHERE audit_id = $1", ended
                    )
        except Exception as error:
            failure = _unavailable()
            if not transient(error):
                raise
            _logger.warning("calls are refused: no audit", error=type(error).__name__)
        finally:
            for _, written in begun:
                if written.done():
                    continue
                if failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(failure)

    async def forget(self) -> None:
        """Delete what is older than is kept, until cancelled."""
        await keep_at(self.forget_old, self._clock, _FORGET_EVERY, "old records stay for now")

    async def forget_old(self) -> int:
        """Delete some of what is older than is kept; returns how many records that were."""
        done = await self._pool.execute(
            "DELETE FROM audit WHERE ctid IN"
            " (SELECT ctid FROM audit WHERE audit_time < $1 LIMIT $2)",
            *(milliseconds_of(self._clock.now() - self._keep), _FORGOTTEN),
        )
        return int(done.split()[-1])

    async def records(
        self, caller: str, resource: str, start: int, end: int, before: str, limit: int
    ) -> Sequence[_Row]:
        """Records, newest first, before one; empty texts are no condition. Times are milliseconds,
        the last excluded."""
        rows = await self._pool.fetch(
            "SELECT audit_id, audit_time, caller, role, method, purpose, resource, request_id,"
            " outcome FROM audit WHERE ($1 = '' OR caller = $1) AND ($2 = '' OR resource = $2)"
            " AND audit_time >= $3 AND audit_time < $4 AND ($5 = '' OR audit_id < $5)"
            " ORDER BY audit_id DESC LIMIT $6",
            *(caller, resource, start, end, before, limit),
        )
        return [_Row(*row) for row in rows]


def _api(contract: Any, audit: Audit) -> Any:
    class AuditApi(contract.AuditServiceServicer):  # type: ignore[misc]  # a class that is given
        async def ListAuditRecords(self, request: Any, _context: object) -> Any:  # noqa: N802
            size, query = paging.size(request.page_size), paging.query(request)
            (before,) = paging.place(request.page_token, query, [str]) or ("",)
            found = await audit.records(
                request.caller,
                request.resource,
                milliseconds(request.start_time),
                milliseconds(request.end_time) or _EVER,
                before,
                size + 1,
            )
            more = len(found) > size
            return contract.ListAuditRecordsResponse(
                audit_records=[
                    contract.AuditRecord(**{**row._asdict(), "audit_time": timestamp(row[1])})
                    for row in found[:size]
                ],
                next_page_token=paging.token(query, [found[size - 1].audit_id]) if more else "",
            )

    return AuditApi()


def resource_of(request: Message) -> str:
    """The id, else the name, of what a request is about: of the request itself or of the one noun
    in it. Ids of the suite say nothing of a person; those of WhatsApp are left out.
    """
    inside = [
        getattr(request, field.name)
        for field in request.DESCRIPTOR.fields
        if field.message_type and not field.is_repeated and request.HasField(field.name)
    ]
    for message in (request, *inside):
        for wanted in (_is_id, _is_name):
            for field in message.DESCRIPTOR.fields:
                if wanted(field) and (value := getattr(message, field.name)):
                    return str(value)
    return ""


def _is_id(field: FieldDescriptor) -> bool:
    return _is_text(field) and field.name.endswith("_id") and not field.name.endswith(_NO_RESOURCES)


def _is_name(field: FieldDescriptor) -> bool:
    return _is_text(field) and field.name == "name"


def _is_text(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated


def _unavailable() -> Unavailable:
    return Unavailable("the call cannot be put on record, so it is refused; try again")
