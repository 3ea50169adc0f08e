"""`merhaba numbers`: the business's phone numbers, and how they are doing."""

from typing import Annotated

import typer
import uvloop
from rich.table import Table

from cli.calling import calling, pages
from cli.terminal import Console, echo
from merhaba.sender.v1 import (
    BusinessNumber,
    GetNumberRequest,
    ListNumbersRequest,
    NumberServiceStub,
    PauseNumberRequest,
    RegisterNumberRequest,
    ResumeNumberRequest,
)

app = typer.Typer(help="The business's phone numbers.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="Meta's phone number id.")]


@app.command("list")
def list_numbers(
    account: Annotated[str, typer.Option(help="Only of this WhatsApp Business Account.")] = "",
) -> None:
    """Numbers by id."""

    async def ask() -> None:
        table = Table(
            "id", "number", "name", "state", "quality", "a second", "limit", "today", "circuit"
        )
        request = ListNumbersRequest(waba_id=account)
        async with calling("sender", NumberServiceStub) as service:
            async for page in pages(service.ListNumbers, request):
                for one in page.numbers:
                    table.add_row(*_row(one))
        Console().print(table)

    uvloop.run(ask())


@app.command()
def register(
    phone_number_id: Id,
    account: Annotated[
        str, typer.Option(help="Its WhatsApp Business Account, where Meta does not tell it.")
    ] = "",
    credential: Annotated[
        str, typer.Option(help="The access token's name in CLOUD_API_TOKENS.")
    ] = "default",
    limit: Annotated[
        float, typer.Option(help="Messages a second, below what Meta allows; 0: what it allows.")
    ] = 0,
    marketing: Annotated[
        bool, typer.Option(help="Send marketing through the endpoint for it.")
    ] = False,
) -> None:
    """Add a number that is registered with Meta. The same again does no harm."""

    async def ask() -> None:
        wanted = BusinessNumber(
            phone_number_id=phone_number_id,
            waba_id=account,
            credential_name=credential,
            throughput_limit=limit,
            marketing_endpoint=marketing,
        )
        async with calling("sender", NumberServiceStub) as service:
            answer = await service.RegisterNumber(RegisterNumberRequest(number=wanted))
        _tell(answer.number)

    uvloop.run(ask())


@app.command()
def refresh(phone_number_id: Id) -> None:
    """Ask Meta about a number now."""

    async def ask() -> None:
        request = GetNumberRequest(phone_number_id=phone_number_id, refresh=True)
        async with calling("sender", NumberServiceStub) as service:
            answer = await service.GetNumber(request)
        _tell(answer.number)

    uvloop.run(ask())


@app.command()
def pause(
    phone_number_id: Id,
    reason: Annotated[str, typer.Option(help="For those who come later.")] = "",
) -> None:
    """Let nothing leave from a number; messages wait."""

    async def ask() -> None:
        request = PauseNumberRequest(phone_number_id=phone_number_id, reason=reason)
        async with calling("sender", NumberServiceStub) as service:
            answer = await service.PauseNumber(request)
        _tell(answer.number)

    uvloop.run(ask())


@app.command()
def resume(phone_number_id: Id) -> None:
    """Let messages leave again."""

    async def ask() -> None:
        request = ResumeNumberRequest(phone_number_id=phone_number_id)
        async with calling("sender", NumberServiceStub) as service:
            answer = await service.ResumeNumber(request)
        _tell(answer.number)

    uvloop.run(ask())


def _row(one: BusinessNumber) -> tuple[str, ...]:
    pace = f"{one.current_throughput:g}"
    if one.current_throughput != one.throughput_limit:
        pace += f" of {one.throughput_limit:g}"
    circuit = BusinessNumber.Circuit.Name(one.circuit).removeprefix("CIRCUIT_").lower()
    return (
        one.phone_number_id,
        one.display_phone_number,
        one.verified_name,
        _state(one),
        one.quality_rating,
        pace,
        one.messaging_limit.removeprefix("TIER_").lower(),
        str(one.daily_recipients),
        circuit,
    )


def _state(one: BusinessNumber) -> str:
    state = BusinessNumber.State.Name(one.state).removeprefix("STATE_").lower()
    return f"{state}: {one.state_reason}" if one.state_reason else state


def _tell(one: BusinessNumber) -> None:
    echo(f"{one.phone_number_id} {one.display_phone_number} {_state(one)}")
