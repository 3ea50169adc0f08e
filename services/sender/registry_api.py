"""TemplateService and NumberService."""

from typing import Any, Final

import grpc

from chassis import paging
from chassis.failures import FieldInvalid, Unimplemented
from merhaba.sender.v1 import (
    BusinessNumber,
    CreateTemplateRequest,
    CreateTemplateResponse,
    GetNumberRequest,
    GetNumberResponse,
    GetTemplateRequest,
    GetTemplateResponse,
    ListNumbersRequest,
    ListNumbersResponse,
    ListTemplatesRequest,
    ListTemplatesResponse,
    NumberServiceServicer,
    PauseNumberRequest,
    PauseNumberResponse,
    RegisterNumberRequest,
    RegisterNumberResponse,
    ResumeNumberRequest,
    ResumeNumberResponse,
    SyncTemplatesRequest,
    SyncTemplatesResponse,
    TemplateServiceServicer,
)
from merhaba.sender.v1 import Template as TemplateProto
from services.sender.model import Number, TemplateNotFound
from services.sender.registry import Registry
from services.sender.template_wire import template_proto, to_graph
from services.sender.wire import stamp

_FIRST: Final = ("", "", "")


class TemplateApi(TemplateServiceServicer):
    """What is not here yet answers UNIMPLEMENTED."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def CreateTemplate(
        self, request: CreateTemplateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> CreateTemplateResponse:
        """Submit a template to Meta."""
        if not request.request_id:
            raise FieldInvalid("request_id", "missing; give a UUID")
        if request.languages:
            raise Unimplemented("templates are created one language at a time yet")
        wanted = to_graph(request.template)
        created = await self._registry.create_template(
            request.template.waba_id, wanted, request.request_id
        )
        return CreateTemplateResponse(templates=[template_proto(created)])

    async def GetTemplate(
        self, request: GetTemplateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetTemplateResponse:
        """Return one template as last heard from Meta."""
        shelf = self._registry.shelf
        if request.template_id:
            return GetTemplateResponse(
                template=template_proto(await shelf.template(request.template_id))
            )
        found = await shelf.named(request.waba_id, request.name, request.language)
        if not found:
            raise TemplateNotFound(
                "no such template; sync the account's",
                waba_id=request.waba_id,
                name=request.name,
                language=request.language,
            )
        return GetTemplateResponse(template=template_proto(found[0]))

    async def ListTemplates(
        self, request: ListTemplatesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListTemplatesResponse:
        """List templates by name and language."""
        query, n = paging.query(request), paging.size(request.page_size)
        after = paging.place(request.page_token, query, [str, str, str]) or _FIRST
        names = [TemplateProto.State.Name(s).removeprefix("STATE_") for s in request.states]
        found = await self._registry.shelf.templates(
            request.waba_id,
            request.name_query,
            request.language,
            request.category,
            names,
            after,
            n,
        )
        last = found[-1] if len(found) == n else None
        return ListTemplatesResponse(
            templates=[template_proto(template) for template in found],
            next_page_token=paging.token(query, (last.name, last.language, last.template_id))
            if last
            else "",
        )

    async def SyncTemplates(
        self, request: SyncTemplatesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> SyncTemplatesResponse:
        """Read all templates of an account from Meta."""
        if not request.waba_id:
            raise FieldInvalid("waba_id", "missing; give one")
        return SyncTemplatesResponse(
            **(await self._registry.sync_templates(request.waba_id))._asdict()
        )


class NumberApi(NumberServiceServicer):
    """What is not here yet answers UNIMPLEMENTED."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def RegisterNumber(
        self, request: RegisterNumberRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> RegisterNumberResponse:
        """Add a number that is registered with Meta."""
        wanted = request.number
        for field in ("phone_number_id", "waba_id"):
            if not getattr(wanted, field):
                raise FieldInvalid(f"number.{field}", "missing; give one")
        number = Number(
            phone_number_id=wanted.phone_number_id,
            waba_id=wanted.waba_id,
            portfolio_id=wanted.portfolio_id,
            display_phone_number="",
            verified_name="",
            throughput_level="",
            throughput=0,
            messaging_limit="",
            quality_rating="",
            paused=False,
            state_reason="",
            create_time=self._registry.now(),
            update_time=0,
            sync_time=0,
        )
        registered = await self._registry.register_number(
            number, wanted.credential_name, wanted.throughput_limit
        )
        return RegisterNumberResponse(number=_number(registered))

    async def GetNumber(
        self, request: GetNumberRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetNumberResponse:
        """Return one number."""
        number = await self._registry.shelf.number(request.phone_number_id)
        if request.refresh:
            await self._registry.refresh(number, number.throughput)
            await self._registry.shelf.put_number(number)
        return GetNumberResponse(number=_number(number))

    async def ListNumbers(
        self, request: ListNumbersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListNumbersResponse:
        """List numbers by id."""
        query, n = paging.query(request), paging.size(request.page_size)
        (after,) = paging.place(request.page_token, query, [str]) or ("",)
        found = await self._registry.shelf.numbers(request.waba_id, after, n)
        last = found[-1].phone_number_id if len(found) == n else ""
        return ListNumbersResponse(
            numbers=[_number(number) for number in found],
            next_page_token=paging.token(query, [last]) if last else "",
        )

    async def PauseNumber(
        self, request: PauseNumberRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> PauseNumberResponse:
        """Let nothing leave from a number."""
        number = await self._registry.shelf.pause_number(
            request.phone_number_id, True, request.reason or "paused", self._registry.now()
        )
        return PauseNumberResponse(number=_number(number))

    async def ResumeNumber(
        self, request: ResumeNumberRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ResumeNumberResponse:
        """Let messages leave again."""
        number = await self._registry.shelf.pause_number(
            request.phone_number_id, False, "", self._registry.now()
        )
        return ResumeNumberResponse(number=_number(number))


def _number(number: Number) -> BusinessNumber:
    paused = BusinessNumber.STATE_PAUSED
    return BusinessNumber(
        phone_number_id=number.phone_number_id,
        waba_id=number.waba_id,
        portfolio_id=number.portfolio_id,
        etag=str(number.update_time),
        display_phone_number=number.display_phone_number,
        verified_name=number.verified_name,
        state=paused if number.paused else BusinessNumber.STATE_ACTIVE,
        state_reason=number.state_reason,
        credential_name="default",
        throughput_level=number.throughput_level,
        throughput_limit=number.throughput,
        current_throughput=number.throughput,
        messaging_limit=number.messaging_limit,
        quality_rating=number.quality_rating,
        create_time=stamp(number.create_time),
        update_time=stamp(number.update_time),
        sync_time=stamp(number.sync_time),
    )
