"""The audit: what people and tools had done, on record before it happens. Whom they read about is
on record with `chassis.reads`.

Records are written in groups by one task; a call waits for its group. When Postgres does not take
them, or too many wait, calls are refused, and none goes unrecorded. Services' own calls are not in
it: what they do follows from something that is.
"""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from chassis import paging
from chassis.callers import Call
from chassis.clock import Clock, milliseconds_of
from chassis.failures import Unavailable
from chassis.groups import Groups
from chassis.postgres import Pool, delete_before
from chassis.times import milliseconds, timestamp
from chassis.transient import keep_at

_MOST_ENDED: Final = 2_000  # not written yet
_FORGET_EVERY: Final = timedelta(hours=1)
_LONGEST: Final = 200  # characters of what a caller wrote
_EVER: Final = 2**62
_NO_RESOURCES: Final = ("request_id", "wa_id", "user_id")


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
        self._groups: Groups[_Row] = Groups(
            self._write, _unavailable, "calls are refused: no audit"
        )
        self._ended: list[tuple[str, str]] = []

    async def begin(self, asked: Call, request: Message) -> str:
        """Put a call on record before it is served; returns its id. Raises `Unavailable` when it
        cannot be, and then it must not be served."""
        now_ms = milliseconds_of(self._clock.now())
        row = _Row(
            f"audit_{now_ms:012x}{secrets.token_hex(10)}",
            now_ms,
            asked.caller.name,
            asked.caller.role,
            asked.method,
            asked.purpose[:_LONGEST],
            resource_of(request)[:_LONGEST],
            getattr(request, "request_id", "")[:_LONGEST],
            "",
        )
        await self._groups.enqueue(row)
        return row.audit_id

    def end(self, audit_id: str, outcome: str) -> None:
        """Say what became of it, soon."""
        if len(self._ended) < _MOST_ENDED:  # else it stays without an end, which is true as well
            self._ended.append((audit_id, outcome))
            self._groups.wake()

    def serve(self, contract: Any, server: grpc.aio.Server) -> None:
        """Have it asked for by gRPC. `contract`: the package `merhaba.audit.v1`, which is given
        because the chassis knows no contract."""
        contract.add_AuditServiceServicer_to_server(_api(contract, self), server)

    async def run(self) -> None:
        """Write records until cancelled, and then what is left."""
        try:
            await self._groups.run()
        finally:
            while self._ended:
                await self._groups.flush()

    async def _write(self, begun: Sequence[_Row]) -> None:
        ended, self._ended = self._ended, []
        async with self._pool.acquire(timeout=10) as connection:
            if begun:
                await connection.executemany(
                    "INSERT INTO audit (audit_id, audit_time, caller, role, method, purpose,"
                    " resource, request_id, outcome) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                    begun,
                )
            if ended:
                await connection.executemany(
                    "UPDATE audit SET outcome = $2 WHERE audit_id = $1", ended
                )

    async def forget(self) -> None:
        """Delete what is older than is kept, until cancelled."""
        await keep_at(self.forget_old, self._clock, _FORGET_EVERY, "old records stay for now")

    async def forget_old(self) -> int:
        """Delete some of what is older than is kept; returns how many records that were."""
        before = milliseconds_of(self._clock.now() - self._keep)
        return await delete_before(self._pool, "audit", "audit_time", before)

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
            page, token = paging.page(query, found, size, lambda row: [row.audit_id])
            return contract.ListAuditRecordsResponse(
                audit_records=[
                    contract.AuditRecord(**{**row._asdict(), "audit_time": timestamp(row[1])})
                    for row in page
                ],
                next_page_token=token,
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
