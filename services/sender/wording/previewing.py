"""What a contact would see: as text, as a picture, and as what would be sent."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import structlog

from chassis.callers import call
from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid
from merhaba.sender.v1 import Binding as BindingProto
from merhaba.sender.v1 import (
    PreviewTemplateRequest,
    PreviewTemplateResponse,
    PreviewVariable,
    TemplateMessage,
)
from merhaba.sender.v1 import Template as TemplateProto
from services.sender.failures import ContactNotFound, TemplateNotFound, VariantNotFound
from services.sender.files.store import File
from services.sender.model import Binding, Campaign, Contact, Template, Variant
from services.sender.roles import sight
from services.sender.wording.binding_wire import checked_bindings
from services.sender.wording.bubble import draw
from services.sender.wording.checking import check_variant
from services.sender.wording.form import Form
from services.sender.wording.showing import bubble, examples, lines
from services.sender.wording.words import Filled, Words

_DOTS: Final = "•••"
_PICTURE: Final = 5 * 1024 * 1024  # the largest that Meta takes
_PICTURES: Final = 10  # one a card
_POLICIES: Final = {
    "fallback": BindingProto.MISSING_FALLBACK,
    "skip": BindingProto.MISSING_SKIP,
    "fail": BindingProto.MISSING_FAIL,
}
_NOBODY: Final = Contact("")
_logger = structlog.get_logger()


class Templates(Protocol):
    """The registry of templates, as previews need it."""

    async def template(self, template_id: str) -> Template: ...


class Campaigns(Protocol):
    """Campaigns, as previews need them."""

    async def definition(self, campaign_id: str) -> Campaign: ...
    async def materials(self, campaign: Campaign) -> tuple[Sequence[Template], Sequence[Any]]: ...


class Contacts(Protocol):
    """Profile, as previews need it."""

    async def read(
        self, contact_ids: Sequence[str], attributes: Sequence[str]
    ) -> Mapping[str, Contact]: ...


class Known(Protocol):
    """What is declared of attributes."""

    @property
    def personal(self) -> Callable[[str], bool]: ...


class Vocabulary(Protocol):
    """Knows which attributes lead to a person."""

    async def known(self) -> Known: ...


class Files(Protocol):
    """Files of ours, as previews need them."""

    async def find(self, file_id: str) -> File | None: ...
    def parts(self, file_id: str) -> AsyncIterator[bytes]: ...


class _Wanted(NamedTuple):
    """What is to be shown."""

    words: Words
    bound: bool
    """Values come from bindings; else from the template's examples."""


class Previewing:
    """Answers PreviewTemplate."""

    def __init__(
        self,
        templates: Templates,
        campaigns: Campaigns,
        contacts: Contacts,
        vocabulary: Vocabulary,
        files: Files,
        drafted: Callable[[TemplateProto], Template],
        read: Callable[[bytes], TemplateMessage],
        clock: Clock,
    ) -> None:
        """`drafted` is a template that nobody submitted; `read` what a message's body says."""
        self._templates = templates
        self._campaigns = campaigns
        self._contacts = contacts
        self._vocabulary = vocabulary
        self._files = files
        self._drafted = drafted
        self._read = read
        self._clock = clock
        self._drawing = asyncio.Lock()

    async def preview(self, request: PreviewTemplateRequest) -> PreviewTemplateResponse:
        """Fill a template in for somebody, and send nothing."""
        now = milliseconds_of(self._clock.now())
        words = await self._words(request)
        contact = await self._contact(request, words)
        form = words.form(request.language or contact.language, usable_only=False)
        if form is None and request.WhichOneof("source") != "campaign_variant":
            (form,) = words.forms  # somebody said which
        if form is None:
            spoken = request.language or contact.language
            raise TemplateNotFound(
                f"{words.variant.template} has no language for {spoken or 'them'}; give language",
                waba_id="",
                name=words.variant.template,
                language=spoken,
            )
        if request.contact_id:
            filled = words.fill(form, contact, now)
            masked = await self._hidden(words)
        else:
            filled, masked = _exemplary(form), frozenset[str]()
        return await self._answer(request, words, form, filled, masked, contact, now)

    async def _words(self, request: PreviewTemplateRequest) -> Words:
        match request.WhichOneof("source"):
            case "campaign_variant":
                if request.bindings:
                    raise FieldInvalid("bindings", "the campaign's variant has its own")
                return await self._of_campaign(request)
            case "template":
                template = self._drafted(request.template)
            case "template_id":
                template = await self._templates.template(request.template_id)
            case _:
                raise FieldInvalid("template", "missing; give one, or say which")
        bindings = checked_bindings(request.bindings, "bindings")
        variant = Variant("preview", template.name, 1.0, bindings)
        if bindings:
            check_variant(variant, [template], "")
        return Words(variant, [template])

    async def _of_campaign(self, request: PreviewTemplateRequest) -> Words:
        named = request.campaign_variant
        campaign = await self._campaigns.definition(named.campaign_id)
        templates, _ = await self._campaigns.materials(campaign)
        for variant in campaign.variants:
            if variant.name == named.variant:
                return Words(variant, templates, campaign)
        raise VariantNotFound(
            "the campaign has no such variant",
            campaign_id=named.campaign_id,
            variant=named.variant,
        )

    async def _contact(self, request: PreviewTemplateRequest, words: Words) -> Contact:
        if not request.contact_id:
            return _NOBODY
        _logger.info(
            "audit", read="preview", contact_id=request.contact_id, caller=call.get().caller.name
        )
        found = await self._contacts.read([request.contact_id], sorted(words.needs))
        if request.contact_id not in found:
            raise ContactNotFound("profile knows no such contact", contact_id=request.contact_id)
        return found[request.contact_id]

    async def _hidden(self, words: Words) -> frozenset[str]:
        """Variables whose values the caller may not see."""
        if sight(call.get().caller.role).personal:
            return frozenset()
        personal = (await self._vocabulary.known()).personal
        return frozenset(
            one.binding.variable
            for one in words.compiled
            if one.expression.events or any(map(personal, one.expression.attributes))
        )

    async def _answer(
        self,
        request: PreviewTemplateRequest,
        words: Words,
        form: Form,
        filled: Filled,
        masked: frozenset[str],
        contact: Contact,
        now: int,
    ) -> PreviewTemplateResponse:
        values = {**filled.values, **filled.links}
        lacking = {lack.variable for lack in filled.lacks}
        for variable in masked & values.keys() - lacking:
            values[variable] = _veiled(values[variable])
        shown = bubble(form, values, now, contact.zone or "UTC")
        answer = PreviewTemplateResponse(
            text=lines(shown), sendable=not filled.problem, problem=filled.problem
        )
        if not filled.problem:
            answer.message.CopyFrom(self._read(form.body(values)))
        policies = {one.binding.variable: one.binding for one in words.compiled}
        for variable in form.blanks:
            if variable in values or variable in lacking or variable in form.required:
                answer.variables.append(
                    _told(variable, values, lacking, masked, policies, bool(request.contact_id))
                )
        if request.include_image:
            # It takes a tenth of a second, for which nothing else is to wait; fonts are shared, and
            # pictures may be large: one at a time.
            async with self._drawing:
                pictures = await self._bytes(values)
                answer.image = await asyncio.to_thread(
                    draw, shown, dark=request.dark, pictures=pictures
                )
        return answer

    async def _bytes(self, values: Mapping[str, Any]) -> dict[str, bytes]:
        """Pictures that are files of ours, by id. What lies elsewhere is not fetched for a look."""
        found: dict[str, bytes] = {}
        for value in values.values():
            file_id = value.get("id", "") if isinstance(value, dict) else ""
            if len(found) == _PICTURES:
                break
            if isinstance(file_id, str) and file_id.startswith("file_"):
                file = await self._files.find(file_id)
                if file is not None and file.ready and file.size_bytes <= _PICTURE:
                    found[file_id] = b"".join([part async for part in self._files.parts(file_id)])
        return found


def _exemplary(form: Form) -> Filled:
    values = {name: text for name, text in examples(form).items() if name in form.blanks}
    missing = sorted(form.required - values.keys())
    return Filled(values, {}, [], f"unbound_{missing[0]}" if missing else "")


def _veiled(value: Any) -> Any:
    """The same without what it says."""
    if isinstance(value, dict):
        return {"id": "0"} if value.keys() & {"link", "id"} else {}
    if isinstance(value, list):
        return []
    return _DOTS if isinstance(value, str) else 0


def _told(
    variable: str,
    values: Mapping[str, Any],
    lacking: set[str],
    masked: frozenset[str],
    bindings: Mapping[str, Binding],
    of_contact: bool,
) -> PreviewVariable:
    value = values.get(variable)
    source = PreviewVariable.SOURCE_EXPRESSION if of_contact else PreviewVariable.SOURCE_EXAMPLE
    if variable in lacking:
        source = PreviewVariable.SOURCE_FALLBACK
    binding = bindings.get(variable)
    return PreviewVariable(
        variable=variable,
        value=_written(value),
        missing=variable in lacking or value is None,
        policy=_POLICIES[binding.missing] if binding else BindingProto.MISSING_UNSPECIFIED,
        source=PreviewVariable.SOURCE_UNSPECIFIED if value is None else source,
        masked=variable in masked and variable not in lacking and value is not None,
    )


def _written(value: Any) -> str:
    if isinstance(value, dict) and value.keys() & {"link", "id"}:
        return str(value.get("link") or value.get("id"))
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return "" if value is None else str(value)
