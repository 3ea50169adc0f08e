"""NumberService."""

from collections.abc import Callable
from typing import Any, Final, Protocol

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from chassis import paging
from chassis.failures import FieldInvalid
from merhaba.sender.v1 import (
    BusinessNumber,
    GetNumberRequest,
    GetNumberResponse,
    ListNumbersRequest,
    ListNumbersResponse,
    NumberServiceServicer,
    PauseNumberRequest,
    PauseNumberResponse,
    RegisterNumberRequest,
    RegisterNumberResponse,
    ResumeNumberRequest,
    ResumeNumberResponse,
    UpdateNumberRequest,
    UpdateNumberResponse,
)
from services.sender.delivery.pace import Pace
from services.sender.failures import NumberUnusable
from services.sender.model import Number
from services.sender.numbers.facts import throughput
from services.sender.numbers.keeping import Keeping
from services.sender.numbers.store import NumberStore
from services.sender.wire import stamp

_SETTABLE: Final = (
    "portfolio_id",
    "credential_name",
    "throughput_limit",
    "reply_share",
    "marketing_endpoint",
)
_REASON: Final = 200
_AVAILABLE: Final = "AVAILABLE"


class Limiter(Protocol):
    """What makes messages of a number wait."""

    async def pace(self, number: Number) -> Pace: ...
    async def close(self, phone_number_id: str) -> None: ...


class NumberApi(NumberServiceServicer):
    """The registry of business numbers."""

    def __init__(
        self,
        store: NumberStore,
        keeping: Keeping,
        limiter: Limiter,
        authorised: Callable[[str], object],
    ) -> None:
        """`authorised` raises NumberUnusable for a credential that is not set."""
        self._store = store
        self._keeping = keeping
        self._limiter = limiter
        self._authorised = authorised

    async def RegisterNumber(
        self, request: RegisterNumberRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> RegisterNumberResponse:
        """Add a number that is registered with Meta."""
        wanted = request.number
        if not wanted.phone_number_id:
            raise FieldInvalid("number.phone_number_id", "missing; give one")
        number = Number(
            phone_number_id=wanted.phone_number_id,
            waba_id=wanted.waba_id,
            portfolio_id="",
            display_phone_number="",
            verified_name="",
            throughput_level="",
            throughput=0,
            messaging_limit="",
            quality_rating="",
            paused=False,
            state_reason="",
            create_time=0,
            update_time=0,
            sync_time=0,
        )
        for field in _SETTABLE:
            self._set(number, wanted, field)
        return RegisterNumberResponse(
            number=await self._proto(await self._keeping.register(number))
        )

    async def GetNumber(
        self, request: GetNumberRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetNumberResponse:
        """Return one number."""
        number = await self._store.number(request.phone_number_id)
        if request.refresh:
            number = await self._keeping.refresh(number)
        return GetNumberResponse(number=await self._proto(number))

    async def ListNumbers(
        self, request: ListNumbersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListNumbersResponse:
        """List numbers by id."""
        query, n = paging.query(request), paging.size(request.page_size)
        (after,) = paging.place(request.page_token, query, [str]) or ("",)
        found = await self._store.numbers(request.waba_id, after, n)
        last = found[-1].phone_number_id if len(found) == n else ""
        return ListNumbersResponse(
            numbers=[await self._proto(number) for number in found],
            next_page_token=paging.token(query, [last]) if last else "",
        )

    async def UpdateNumber(
        self, request: UpdateNumberRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> UpdateNumberResponse:
        """Change what the mask names."""
        wanted = request.number
        fields = _masked(wanted, request.update_mask)

        def change(number: Number) -> bool:
            before = [getattr(number, field) for field in _SETTABLE]
            for field in fields:
                self._set(number, wanted, field)
            number.throughput = throughput(number.throughput_level, number.throughput_limit)
            return before != [getattr(number, field) for field in _SETTABLE]

        number = await self._store.change(
            wanted.phone_number_id, change, self._keeping.now(), wanted.etag
        )
        return UpdateNumberResponse(number=await self._proto(number))

    async def PauseNumber(
        self, request: PauseNumberRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> PauseNumberResponse:
        """Let nothing leave from a number."""
        if len(request.reason) > _REASON:
            raise FieldInvalid("reason", f"at most {_REASON} characters", limit=str(_REASON))

        def pause(number: Number) -> bool:
            if number.paused:
                return False
            number.paused, number.state_reason = True, request.reason or "paused"
            return True

        number = await self._store.change(request.phone_number_id, pause, self._keeping.now())
        return PauseNumberResponse(number=await self._proto(number))

    async def ResumeNumber(
        self, request: ResumeNumberRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ResumeNumberResponse:
        """Let messages leave again."""
        now = self._keeping.now()
        over = await self._over(await self._store.number(request.phone_number_id), now)

        def resume(number: Number) -> bool:
            lifts = bool(number.restriction) and _restriction(number) == over
            if lifts:
                number.restriction, number.restricted_until = "", 0
                number.restriction_reason = ""
            if number.restricted(now):
                raise NumberUnusable(
                    "Meta restricts the number; settle it in WhatsApp Manager",
                    phone_number_id=number.phone_number_id,
                    problem=number.restriction_reason,
                )
            if not number.paused:
                return lifts
            number.paused, number.state_reason = False, ""
            return True

        number = await self._store.change(request.phone_number_id, resume, now)
        await self._limiter.close(number.phone_number_id)
        return ResumeNumberResponse(number=await self._proto(number))

    async def _over(self, number: Number, now: int) -> tuple[str, int] | None:
        """The restriction that is over by what Meta says when it is asked: it posts the end of few,
        and an appeal may end any."""
        if not number.restricted(now):
            return None
        number = await self._keeping.refresh(number)
        return _restriction(number) if number.health == _AVAILABLE else None

    def _set(self, number: Number, wanted: BusinessNumber, field: str) -> None:
        """Take over one setting; raises FieldInvalid and NumberUnusable."""
        match field:
            case "credential_name":
                name = wanted.credential_name or "default"
                self._authorised(name)
                number.credential_name = name
            case "throughput_limit":
                if not 0 <= wanted.throughput_limit <= 100_000:
                    raise FieldInvalid("number.throughput_limit", "0 to 100,000 a second")
                # What was read may be written back without becoming a limit
                if wanted.throughput_limit != number.throughput:
                    number.throughput_limit = wanted.throughput_limit
            case "reply_share":
                given = wanted.reply_share if wanted.HasField("reply_share") else None
                if given is not None and not 0 <= given < 1:
                    raise FieldInvalid("number.reply_share", "0 to below 1")
                number.reply_share = given
            case "portfolio_id":
                number.portfolio_id = wanted.portfolio_id
            case "marketing_endpoint":
                number.marketing_endpoint = wanted.marketing_endpoint

    async def _proto(self, number: Number) -> BusinessNumber:
        """A number as the contract shows it."""
        restricted = number.restricted(self._keeping.now())
        state, reason = BusinessNumber.STATE_ACTIVE, ""
        if restricted:
            state, reason = BusinessNumber.STATE_RESTRICTED, number.restriction_reason
        elif number.paused:
            state, reason = BusinessNumber.STATE_PAUSED, number.state_reason
        pace = await self._limiter.pace(number)
        return BusinessNumber(
            phone_number_id=number.phone_number_id,
            waba_id=number.waba_id,
            portfolio_id=number.portfolio_id,
            etag=str(number.version),
            display_phone_number=number.display_phone_number,
            verified_name=number.verified_name,
            country_code=number.country_code,
            state=state,
            state_reason=reason,
            credential_name=number.credential_name,
            throughput_level=number.throughput_level,
            throughput_limit=number.throughput,
            current_throughput=pace.throughput,
            reply_share=number.reply_share,
            messaging_limit=number.messaging_limit,
            daily_recipients=pace.daily_recipients,
            quality_rating=number.quality_rating,
            health=number.health,
            marketing_endpoint=number.marketing_endpoint,
            circuit=BusinessNumber.Circuit.ValueType(pace.circuit),
            circuit_retry_time=stamp(pace.retry_time),
            create_time=stamp(number.create_time),
            update_time=stamp(number.update_time),
            sync_time=stamp(number.sync_time),
        )


def _restriction(number: Number) -> tuple[str, int]:
    return number.restriction_reason, number.restricted_until


def _masked(wanted: BusinessNumber, mask: FieldMask) -> list[str]:
    """The fields to change: those of the mask, or those that have a value."""
    if not mask.paths:
        populated = {field.name for field, _ in wanted.ListFields()}
        return [field for field in _SETTABLE if field in populated]
    for path in mask.paths:
        if path not in _SETTABLE:
            problem = f"{path} cannot be changed; {', '.join(_SETTABLE)} can"
            raise FieldInvalid("update_mask", problem)
    return list(mask.paths)
