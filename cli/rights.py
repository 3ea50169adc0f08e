"""`merhaba consents`, `export-contact` and `erase-contact`: what people may ask for."""

import asyncio
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid4

import grpc
import orjson
import typer
import uvloop
from rich.status import Status
from rich.text import Text

from chassis.rpc import channel
from chassis.times import stamped
from cli.target import target_of
from cli.terminal import Console, echo
from cli.told import told
from merhaba.event.v1 import Identity
from merhaba.profile.v1 import (
    ContactRef,
    EraseContactRequest,
    Erasure,
    ExportConsentsRequest,
    ExportContactRequest,
    GetErasureRequest,
    PrivacyServiceStub,
)

consents = typer.Typer(help="What people agreed to.", no_args_is_help=True)

_FORMATS: Final = {
    "iys": ExportConsentsRequest.FORMAT_IYS_CSV,
    "iso27560": ExportConsentsRequest.FORMAT_ISO27560_NDJSON,
}
_TRIES: Final = 10  # without anything new in between
_AGAIN_S: Final = 2.0

Out = Annotated[Path, typer.Option(help="The file to write.")]
Ref = Annotated[
    str,
    typer.Argument(help="A contact's id, a phone number, an e-mail address, or KIND:SCOPE:VALUE."),
]
Target = Annotated[str, typer.Option(help="host:port of profile.")]


@consents.command("export")
def export_consents(
    out: Out,
    form: Annotated[Literal["iys", "iso27560"], typer.Option("--format")] = "iys",
    since: Annotated[
        datetime | None, typer.Option(help="Only what was entered from then on, in UTC.")
    ] = None,
    purpose: Annotated[list[str] | None, typer.Option(help="Only these; again for each.")] = None,
    target: Target = "",
) -> None:
    """The ledger in the order of entry: for İYS (CSV), or as records after ISO/IEC TS 27560."""

    async def ask() -> None:
        request = ExportConsentsRequest(
            format=_FORMATS[form],
            purposes=purpose or [],
            start_time=stamped(since.replace(tzinfo=UTC) if since else None),
        )
        rows = 0
        async with _privacy(target, "export of consents") as privacy:
            with out.open("wb") as file, _status() as status:
                async for response in _resumed(privacy.ExportConsents, request):
                    file.write(response.rows)
                    rows += response.row_count
                    status.update(f"{rows} rows")
        echo(f"{rows} rows in {out}", err=True)

    with told():
        uvloop.run(ask())


def export_contact(contact: Ref, out: Out, target: Target = "") -> None:
    """Everything that is held of a person, by every service, one JSON object a line."""

    async def ask() -> None:
        request = ExportContactRequest(contact=_reference(contact))
        counts: dict[str, int] = {}
        async with _privacy(target, "request of the person") as privacy:
            with out.open("wb") as file, _status() as status:
                async for response in _resumed(privacy.ExportContact, request):
                    for one in response.records:
                        head = {"service": one.service, "dataset": one.dataset}
                        if one.HasField("record_time"):
                            head["record_time"] = one.record_time.ToJsonString()
                        record = orjson.Fragment(one.record_json)
                        file.write(orjson.dumps({**head, "record": record}) + b"\n")
                        counts[one.service] = counts.get(one.service, 0) + 1
                    status.update(_counted(counts))
        echo(f"{_counted(counts)} in {out}", err=True)

    with told():
        uvloop.run(ask())


def erase_contact(
    contact: Ref,
    request_id: Annotated[str, typer.Option(help="Of a request that was made before.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    target: Target = "",
) -> None:
    """Erase a person from every service, and wait until all have; the output is their receipts."""
    if not yes:
        typer.confirm("Erase this person everywhere? It cannot be undone", abort=True, err=True)

    async def ask() -> None:
        async with _privacy(target, "request of the person") as privacy:
            answer = await privacy.EraseContact(
                EraseContactRequest(
                    request_id=request_id or str(uuid4()), contact=_reference(contact)
                )
            )
            erasure = answer.erasure
            with _status() as status:
                while erasure.state != Erasure.STATE_ERASED:
                    waits = ", ".join(erasure.pending_services)
                    status.update(Text(f"{erasure.request_id}: {waits} {erasure.last_failure}"))
                    await asyncio.sleep(0.2)
                    asked = GetErasureRequest(request_id=erasure.request_id)
                    erasure = (await privacy.GetErasure(asked)).erasure
        for receipt in erasure.receipts:
            count = sum(receipt.records.values())
            echo(f"{receipt.service} {count} {receipt.sha256}")

    with told():
        uvloop.run(ask())


@asynccontextmanager
async def _privacy(target: str, purpose: str) -> AsyncIterator[PrivacyServiceStub]:
    async with channel(*target_of("profile", target), purpose=purpose) as opened:
        yield PrivacyServiceStub(opened)


async def _resumed(call: Callable[[Any], AsyncIterable[Any]], request: Any) -> AsyncIterator[Any]:
    """A stream that goes on where it broke off."""
    tries = 0
    while True:
        try:
            async for response in call(request):
                if response.cursor != request.cursor:
                    tries = 0
                request.cursor = response.cursor
                yield response
        except grpc.aio.AioRpcError as error:
            tries += 1
            if error.code() != grpc.StatusCode.UNAVAILABLE or tries > _TRIES:
                raise
            await asyncio.sleep(_AGAIN_S)
        else:
            return


def _reference(text: str) -> ContactRef:
    try:
        return ContactRef(contact_id=str(UUID(text)))
    except ValueError:
        kind, scope, value = ([*text.split(":", 2), "", ""])[:3]
    named = f"KIND_{kind.upper()}"
    if value and named in Identity.Kind.keys():  # noqa: SIM118 - no mapping
        return ContactRef(identity=Identity(kind=named, scope=scope, value=value))  # type: ignore[arg-type]  # names are accepted
    usual = "KIND_EMAIL" if "@" in text else "KIND_WA_ID"
    return ContactRef(identity=Identity(kind=usual, value=text))  # type: ignore[arg-type]


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} of {service}" for service, count in counts.items()) or "nothing yet"


def _status() -> Status:
    return Console(file=sys.stderr).status("…")
