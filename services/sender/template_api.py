"""TemplateService."""

from typing import Any, Final

import grpc

from chassis import paging
from chassis.failures import FieldInvalid, Unimplemented
from merhaba.sender.v1 import (
    CreateTemplateRequest,
    CreateTemplateResponse,
    GetTemplateRequest,
    GetTemplateResponse,
    ListTemplatesRequest,
    ListTemplatesResponse,
    SyncTemplatesRequest,
    SyncTemplatesResponse,
    TemplateServiceServicer,
)
from merhaba.sender.v1 import Template as TemplateProto
from services.sender.failures import TemplateNotFound
from services.sender.registry import Registry
from services.sender.template_wire import template_proto, to_graph

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
