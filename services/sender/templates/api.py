"""TemplateService."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc

from chassis import paging
from chassis.answers import Answers
from chassis.failures import FieldInvalid
from merhaba.sender.v1 import (
    CreateTemplateRequest,
    CreateTemplateResponse,
    DeleteTemplateRequest,
    DeleteTemplateResponse,
    GetTemplateRequest,
    GetTemplateResponse,
    LintTemplateRequest,
    LintTemplateResponse,
    ListTemplatesRequest,
    ListTemplatesResponse,
    PreviewTemplateRequest,
    PreviewTemplateResponse,
    SyncTemplatesRequest,
    SyncTemplatesResponse,
    TemplateServiceServicer,
    UpdateTemplateRequest,
    UpdateTemplateResponse,
)
from merhaba.sender.v1 import Template as TemplateProto
from services.sender.failures import TemplateNotFound
from services.sender.templates.draft import standing
from services.sender.templates.lint import lint
from services.sender.templates.registry import Edit, Registry
from services.sender.templates.store import RegistryStore
from services.sender.templates.syncing import Syncing
from services.sender.templates.wire import draft_of, finding_proto, template_proto

_FIRST: Final = ("", "", "")
_CHANGEABLE: Final = ("category", "components", "message_ttl_duration")

Preview = Callable[[PreviewTemplateRequest], Awaitable[PreviewTemplateResponse]]
"""Shows what a contact would see."""


class TemplateApi(TemplateServiceServicer):
    """The registry of templates."""

    def __init__(
        self,
        registry: Registry,
        store: RegistryStore,
        syncing: Syncing,
        answers: Answers,
        preview: Preview,
    ) -> None:
        self._registry = registry
        self._store = store
        self._syncing = syncing
        self._answers = answers
        self._preview = preview

    async def CreateTemplate(
        self, request: CreateTemplateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> CreateTemplateResponse:
        """Submit a template to Meta."""
        _identified(request.request_id)
        wanted = request.template
        if not wanted.waba_id:
            raise FieldInvalid("template.waba_id", "missing; give one")
        if request.languages and wanted.language:
            raise FieldInvalid("languages", "the template has a language; give one or the other")
        draft = draft_of(wanted, list(dict.fromkeys(request.languages)))

        async def create() -> CreateTemplateResponse:
            made = await self._registry.create(draft, request.request_id)
            return CreateTemplateResponse(
                templates=[template_proto(one) for one in made.templates],
                findings=[finding_proto(one) for one in made.warnings],
            )

        return await self._answers.once(request, request.request_id, create, CreateTemplateResponse)

    async def GetTemplate(
        self, request: GetTemplateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetTemplateResponse:
        """Return one template as last heard from Meta."""
        if request.template_id:
            found = await self._store.template(request.template_id)
            return GetTemplateResponse(template=template_proto(found))
        for field in ("waba_id", "name", "language"):
            if not getattr(request, field):
                raise FieldInvalid(field, "missing; give it, or template_id")
        named = await self._store.named(request.waba_id, request.name, request.language)
        if not named:
            raise TemplateNotFound(
                "no such template; sync the account's",
                waba_id=request.waba_id,
                name=request.name,
                language=request.language,
            )
        return GetTemplateResponse(template=template_proto(named[0]))

    async def ListTemplates(
        self, request: ListTemplatesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListTemplatesResponse:
        """List templates by name and language."""
        query, n = paging.query(request), paging.size(request.page_size)
        after = paging.place(request.page_token, query, [str, str, str]) or _FIRST
        names = [TemplateProto.State.Name(s).removeprefix("STATE_") for s in request.states]
        found = await self._store.templates(
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

    async def UpdateTemplate(
        self, request: UpdateTemplateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> UpdateTemplateResponse:
        """Submit an edit to Meta."""
        _identified(request.request_id)
        if not request.template.template_id:
            raise FieldInvalid("template.template_id", "missing; give one")
        fields = _masked(request)
        known = await self._store.template(request.template.template_id)
        wanted = TemplateProto()
        wanted.CopyFrom(request.template)
        # How variables are named is fixed when a template is created
        wanted.parameter_format = (
            TemplateProto.PARAMETER_FORMAT_NAMED
            if known.named
            else TemplateProto.PARAMETER_FORMAT_POSITIONAL
        )
        draft = draft_of(wanted)
        edit = Edit(
            draft.category if "category" in fields else None,
            draft.ttl_s if "message_ttl_duration" in fields else None,
            draft if "components" in fields else None,
        )

        async def update() -> UpdateTemplateResponse:
            template_id, etag = known.template_id, wanted.etag
            done = await self._registry.edit(template_id, edit, request.request_id, etag)
            return UpdateTemplateResponse(
                template=template_proto(done.templates[0]),
                findings=[finding_proto(one) for one in done.warnings],
            )

        return await self._answers.once(request, request.request_id, update, UpdateTemplateResponse)

    async def DeleteTemplate(
        self, request: DeleteTemplateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> DeleteTemplateResponse:
        """Delete a template at Meta."""
        if not request.template_id and not (request.waba_id and request.name):
            raise FieldInvalid("template_id", "missing; give it, or waba_id and name")
        found = await self._registry.delete(request.template_id, request.waba_id, request.name)
        return DeleteTemplateResponse(templates=[template_proto(one) for one in found])

    async def SyncTemplates(
        self, request: SyncTemplatesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> SyncTemplatesResponse:
        """Read all templates of an account from Meta."""
        if not request.waba_id:
            raise FieldInvalid("waba_id", "missing; give one")
        return SyncTemplatesResponse(**(await self._syncing.sync(request.waba_id))._asdict())

    async def LintTemplate(
        self, request: LintTemplateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> LintTemplateResponse:
        """Check a template against Meta's rules."""
        match request.WhichOneof("source"):
            case "template":
                draft = draft_of(request.template)
            case "template_id":
                draft = standing(await self._store.template(request.template_id))
            case _:
                raise FieldInvalid("template", "missing; give one, or template_id")
        findings = lint(draft, request.language)
        return LintTemplateResponse(findings=[finding_proto(one) for one in findings])

    async def PreviewTemplate(
        self, request: PreviewTemplateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> PreviewTemplateResponse:
        """Show what a contact would see."""
        return await self._preview(request)


def _identified(request_id: str) -> None:
    if not request_id:
        raise FieldInvalid("request_id", "missing; give a UUID")


def _masked(request: UpdateTemplateRequest) -> list[str]:
    """The fields to change: those of the mask, or those that have a value."""
    wanted, paths = request.template, request.update_mask.paths
    if not paths:
        populated = {field.name for field, _ in wanted.ListFields()}
        return [field for field in _CHANGEABLE if field in populated]
    for path in paths:
        if path not in _CHANGEABLE:
            problem = f"{path} cannot be changed; {', '.join(_CHANGEABLE)} can"
            raise FieldInvalid("update_mask", problem)
        if path not in {field.name for field, _ in wanted.ListFields()}:
            raise FieldInvalid(f"template.{path}", "missing; Meta has no way back to none")
    return list(paths)
