"""`merhaba audit`: what people and tools had done, of all services or of one, newest first."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated

import typer
import uvloop
from rich.table import Table

from chassis.policy import read_policy
from chassis.rpc import channel
from chassis.times import stamped
from cli.calling import pages
from cli.target import target_of
from cli.terminal import Console
from cli.told import time_told, told
from merhaba.audit.v1 import AuditRecord, AuditServiceStub, ListAuditRecordsRequest
from services import POLICY


def audit(
    service: Annotated[str, typer.Option(help="Of one service; else of all.")] = "",
    caller: Annotated[str, typer.Option(help="What one key did.")] = "",
    resource: Annotated[str, typer.Option(help="What was done to one thing, by its id.")] = "",
    since: Annotated[datetime | None, typer.Option(help="In UTC.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 50,
) -> None:
    """Who had what done, when, and what came of it."""
    asked = ListAuditRecordsRequest(
        caller=caller,
        resource=resource,
        start_time=stamped(since.replace(tzinfo=UTC) if since else None),
        page_size=min(limit, 1_000),
    )
    services = [service] if service else list(read_policy(POLICY).services)

    async def ask() -> None:
        table = Table("time", "who", "role", "what", "of", "outcome", "for")
        with told():
            for record in await _newest(services, asked, limit):
                table.add_row(
                    time_told(record.audit_time),
                    *(record.caller, record.role, record.method.removeprefix("merhaba.")),
                    *(record.resource, record.outcome or "unknown", record.purpose),
                )
        Console().print(table)

    uvloop.run(ask())


async def _newest(
    services: list[str], asked: ListAuditRecordsRequest, limit: int
) -> list[AuditRecord]:
    """The newest of all services' records."""
    found: list[AuditRecord] = []
    for service in services:
        async with aclosing(_of(service, asked)) as records:
            count = 0
            async for record in records:
                found.append(record)
                count += 1
                if count == limit:
                    break
    found.sort(key=lambda record: record.audit_time.ToNanoseconds(), reverse=True)
    return found[:limit]


async def _of(service: str, asked: ListAuditRecordsRequest) -> AsyncGenerator[AuditRecord, None]:
    async with channel(*target_of(service), purpose="operations") as opened:
        stub = AuditServiceStub(opened)
        async for page in pages(stub.ListAuditRecords, asked):
            for record in page.audit_records:
                yield record
