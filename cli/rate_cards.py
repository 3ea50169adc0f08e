"""`merhaba rate-cards`: what Meta charges, by date."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
import uvloop
from rich.table import Table

from chassis.failures import Misconfigured
from chassis.times import stamped
from cli.calling import calling, pages
from cli.terminal import Console, echo
from cli.told import time_told, told
from merhaba.sender.v1 import (
    ListRateCardsRequest,
    RateCard,
    RateCardServiceStub,
    UploadRateCardRequest,
)

app = typer.Typer(help="What Meta charges, by date.", no_args_is_help=True)

Account = Annotated[str, typer.Option(help="Of this WhatsApp Business Account alone.")]


@app.command()
def load(
    file: Annotated[Path, typer.Argument(help="A CSV file; samples/rate_cards shows its columns.")],
    currency: Annotated[str, typer.Option(help="ISO 4217, such as USD.")],
    effective: Annotated[datetime, typer.Option(help="From when on it holds, in UTC.")],
    account: Account = "",
    name: Annotated[
        str, typer.Option(help="What people call it; the file's name if left out.")
    ] = "",
    free_answers: Annotated[
        int, typer.Option(help="Answers a month that cost a number nothing.")
    ] = 0,
) -> None:
    """Add a card. A card is never changed: the next one takes its place from its date on. The same
    file with the same options again adds nothing."""
    with told():
        try:
            csv = file.read_bytes()
        except OSError as error:
            raise Misconfigured(f"{file}: {error.strerror}") from None

    async def ask() -> None:
        card = RateCard(
            waba_id=account,
            currency_code=currency,
            effective_time=stamped(effective.replace(tzinfo=UTC)),
            name=name or file.stem,
            free_service_messages=free_answers,
        )
        same = sha256(card.SerializeToString(deterministic=True) + csv).digest()
        request = UploadRateCardRequest(
            request_id=str(UUID(bytes=same[:16])), rate_card=card, csv=csv
        )
        async with calling("sender", RateCardServiceStub) as service:
            stored = (await service.UploadRateCard(request)).rate_card
        begins = time_told(stored.effective_time)
        echo(f"{stored.rate_card_id} {stored.name}: {len(stored.rates)} prices from {begins}")

    uvloop.run(ask())


@app.command("list")
def list_cards(account: Account = "") -> None:
    """Cards, the latest first."""

    async def ask() -> None:
        table = Table("id", "name", "currency", "account", "from", "free answers")
        request = ListRateCardsRequest(waba_id=account)
        async with calling("sender", RateCardServiceStub) as service:
            async for page in pages(service.ListRateCards, request):
                for card in page.rate_cards:
                    table.add_row(
                        card.rate_card_id,
                        card.name,
                        card.currency_code,
                        card.waba_id or "all",
                        time_told(card.effective_time),
                        str(card.free_service_messages),
                    )
        Console().print(table)

    uvloop.run(ask())
