"""RateCardService: what Meta charges, by date."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc

from chassis import paging
from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid, RequestIdReused
from chassis.ids import derived_id
from merhaba.sender.v1 import (
    GetRateCardRequest,
    GetRateCardResponse,
    ListRateCardsRequest,
    ListRateCardsResponse,
    RateCardServiceServicer,
    UploadRateCardRequest,
    UploadRateCardResponse,
)
from merhaba.sender.v1 import Rate as RateProto
from merhaba.sender.v1 import RateCard as RateCardProto
from services.sender.failures import RateCardInvalid, RateCardNotFound
from services.sender.model import NEVER
from services.sender.rulebook import PRICED
from services.sender.rulebook.rate_card_store import RateCardStore
from services.sender.rules.rates import Rate, RateCard, card_at, check, parse
from services.sender.wire import at, stamp

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_LATEST: Final = (NEVER, "")


class RateCardApi(RateCardServiceServicer):
    """Cards are added, never changed."""

    def __init__(self, store: RateCardStore, moved: Callable[[], None], clock: Clock) -> None:
        """`moved` tells whoever asks held messages again that the rules changed."""
        self._store = store
        self._moved = moved
        self._clock = clock

    async def UploadRateCard(
        self, request: UploadRateCardRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> UploadRateCardResponse:
        """Store a card."""
        if not request.request_id:
            raise FieldInvalid("request_id", "missing; give a UUID")
        given = request.rate_card
        if not _CURRENCY.fullmatch(given.currency_code):
            raise FieldInvalid("rate_card.currency_code", "not ISO 4217, such as USD")
        if not given.HasField("effective_time"):
            raise FieldInvalid("rate_card.effective_time", "missing; say when it begins")
        if given.free_service_messages < 0:
            raise FieldInvalid("rate_card.free_service_messages", "negative")
        now = milliseconds_of(self._clock.now())
        card = RateCard(
            derived_id("rates", request.request_id),
            given.waba_id,
            given.currency_code,
            given.name,
            given.free_service_messages,
            at(given, "effective_time"),
            now,
            _rates(request),
        )
        stored = await self._store.add(card, PRICED, now)
        card.create_time = stored.create_time
        if stored != card:
            raise RequestIdReused(request.request_id)
        self._moved()
        return UploadRateCardResponse(rate_card=_proto(stored, stored.rates))

    async def GetRateCard(
        self, request: GetRateCardRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetRateCardResponse:
        """Return a card by id, or the one in force."""
        if request.rate_card_id:
            card = await self._store.get(request.rate_card_id)
        else:
            time = at(request, "effective_time") or milliseconds_of(self._clock.now())
            found = card_at(await self._store.of(request.waba_id), request.waba_id, time)
            if found is None:
                raise RateCardNotFound("no rate card is in force; upload one", rate_card_id="")
            card = found
        return GetRateCardResponse(rate_card=_proto(card, card.rates))

    async def ListRateCards(
        self, request: ListRateCardsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListRateCardsResponse:
        """List cards without their rates."""
        query, n = paging.query(request), paging.size(request.page_size)
        before = paging.place(request.page_token, query, [int, str]) or _LATEST
        found = await self._store.list(request.waba_id, before, n)
        last = (found[-1].effective_time, found[-1].rate_card_id) if len(found) == n else None
        return ListRateCardsResponse(
            rate_cards=[_proto(card, ()) for card in found],
            next_page_token=paging.token(query, last) if last else "",
        )


def _rates(request: UploadRateCardRequest) -> list[Rate]:
    given = request.rate_card.rates
    if request.csv and given:
        raise FieldInvalid("csv", "the card has rates already; give one or the other")
    if request.csv:
        try:
            return parse(request.csv.decode())
        except UnicodeDecodeError as error:
            raise RateCardInvalid("not UTF-8", line="", column="", problem="encoding") from error
    rates = [
        Rate(r.market, list(r.country_codes), r.category, r.tier_start, r.price_micros)
        for r in given
    ]
    check(rates)
    return rates


def _proto(card: RateCard, rates: Sequence[Rate]) -> RateCardProto:
    return RateCardProto(
        rate_card_id=card.rate_card_id,
        waba_id=card.waba_id,
        currency_code=card.currency,
        effective_time=stamp(card.effective_time),
        name=card.name,
        rates=[
            RateProto(
                market=rate.market,
                country_codes=rate.country_codes,
                category=rate.category,
                tier_start=rate.tier_start,
                price_micros=rate.price_micros,
            )
            for rate in rates
        ],
        free_service_messages=card.free_service_messages,
        create_time=stamp(card.create_time),
    )
