"""Templates as files declare them, submitted to Meta and edited there."""

import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask

from chassis.failures import Invalid
from cli.apply.files import Declared
from cli.calling import pages
from merhaba.sender.v1 import (
    AppendFileRequest,
    CreateFileRequest,
    CreateTemplateRequest,
    File,
    FileServiceStub,
    LintFinding,
    LintTemplateRequest,
    ListNumbersRequest,
    ListTemplatesRequest,
    NumberServiceStub,
    Template,
    TemplateComponents,
    TemplateHeader,
    TemplateServiceStub,
    UpdateTemplateRequest,
)

_PAGE: Final = 500
_PART: Final = 1024 * 1024
_AUTHENTICATION: Final = "AUTHENTICATION"
_CHANGEABLE: Final = ("category", "components", "message_ttl_duration")


class Templates:
    """Templates, by name and language, and by account where there are several."""

    def __init__(
        self,
        templates: TemplateServiceStub,
        numbers: NumberServiceStub,
        files: FileServiceStub,
    ) -> None:
        self._templates = templates
        self._numbers = numbers
        self._files = files

    async def all(self) -> dict[str, Any]:
        """Every template that is not deleted."""
        accounts = await self._accounts()
        request = ListTemplatesRequest(page_size=_PAGE)
        found: dict[str, Any] = {}
        async for page in pages(self._templates.ListTemplates, request):
            for one in page.templates:
                found[f"{one.name} {one.language} {one.waba_id}"] = one
                if accounts == {one.waba_id}:
                    found[f"{one.name} {one.language}"] = one
        return found

    async def _accounts(self) -> set[str]:
        """Those that have a number."""
        request = ListNumbersRequest(page_size=_PAGE)
        found: set[str] = set()
        async for page in pages(self._numbers.ListNumbers, request):
            found |= {one.waba_id for one in page.numbers}
        return found

    async def check(self, declared: Declared, standing: Any) -> Any:
        """What it would be; raises Invalid for what Meta would refuse."""
        template = declared.message
        assert isinstance(template, Template)
        if not template.waba_id:
            accounts = sorted(await self._accounts())
            if len(accounts) != 1:
                known = ", ".join(accounts) or "none has a number"
                said = f"say which account it is for: {known}"
                raise Invalid(said, field="template.waba_id")
            template.waba_id = accounts[0]
        linted = await self._templates.LintTemplate(LintTemplateRequest(template=template))
        for one in linted.findings:
            if one.severity == LintFinding.SEVERITY_ERROR:
                said = f"{one.rule}: {one.explanation} {one.change}"
                raise Invalid(said, field=f"template.{one.field}")
        return settled(template, standing)

    async def make(self, declared: Declared) -> Any:
        """Submit it."""
        new = await self._with_files(declared)
        request = CreateTemplateRequest(request_id=str(uuid4()), template=new)
        return (await self._templates.CreateTemplate(request)).templates[0]

    async def change(self, declared: Declared, standing: Any, fields: Sequence[str]) -> None:
        """Submit the edit, if nobody changed it since it was read."""
        if fixed := [name for name in fields if name not in _CHANGEABLE]:
            said = f"{fixed[0]} is fixed for good; make another of a new name"
            raise Invalid(said, field=f"template.{fixed[0]}")
        new = await self._with_files(declared)
        new.template_id, new.etag = standing.template_id, standing.etag
        request = UpdateTemplateRequest(
            request_id=str(uuid4()), template=new, update_mask=FieldMask(paths=fields)
        )
        await self._templates.UpdateTemplate(request)

    async def _with_files(self, declared: Declared) -> Template:
        """With the ids of files that stand beside it, once they are uploaded."""
        new = Template.FromString(declared.message.SerializeToString())
        for header in (new.components.header, *(card.header for card in new.components.cards)):
            path = declared.file.parent / header.example_file_id
            if header.example_file_id and path.is_file():
                header.example_file_id = await self._uploaded(path)
        return new

    async def _uploaded(self, path: Path) -> str:
        data = path.read_bytes()
        mime_type = mimetypes.guess_type(path.name)[0] or ""
        begun = await self._files.CreateFile(
            CreateFileRequest(
                request_id=str(uuid4()), file=File(name=path.name, mime_type=mime_type)
            )
        )
        file_id = begun.file.file_id
        for start in range(0, len(data), _PART):
            part = data[start : start + _PART]
            last = start + _PART >= len(data)
            await self._files.AppendFile(
                AppendFileRequest(file_id=file_id, offset=start, data=part, last=last)
            )
        return file_id

    async def archive(self, standing: Any) -> None:
        """Never: a deleted template's name is gone for a month."""
        raise NotImplementedError


def settled(declared: Template, standing: Template | None) -> Template:
    """As it will be shown: what Meta adds by itself, and what it may be spelled like, is no
    difference."""
    found = Template()
    found.CopyFrom(declared)
    found.category = found.category.upper()
    if not found.parameter_format:
        found.parameter_format = Template.PARAMETER_FORMAT_POSITIONAL
    if standing is None:
        return found
    if not found.HasField("message_ttl_duration"):
        found.message_ttl_duration.CopyFrom(standing.message_ttl_duration)
        if not standing.HasField("message_ttl_duration"):
            found.ClearField("message_ttl_duration")
    found.sub_category = found.sub_category or standing.sub_category
    if found.library_template_name:
        found.components.CopyFrom(standing.components)
    else:
        _settle(found.components, standing.components, found.category)
    return found


def _settle(found: TemplateComponents, stands: TemplateComponents, category: str) -> None:
    if found.HasField("header"):
        _settle_header(found.header, stands.header)
    for one, other in zip(found.cards, stands.cards, strict=False):
        _settle_header(one.header, other.header)
    if category == _AUTHENTICATION:
        found.body.text = stands.body.text
        del found.body.examples[:]
        found.body.examples.extend(stands.body.examples)
        if found.HasField("footer"):
            found.footer.text = stands.footer.text
        for button, seen in zip(found.buttons, stands.buttons, strict=False):
            button.text = button.text or seen.text
            if button.otp.kind == seen.otp.kind:
                # Of whom a code is handed to Meta tells one at most, and of terms nothing
                button.otp.CopyFrom(seen.otp)


def _settle_header(found: TemplateHeader, stands: TemplateHeader) -> None:
    """Which file a handle was made from, Meta does not tell: it is the same as before."""
    if found.example_file_id and stands.example_handle and found.format == stands.format:
        found.ClearField("example_file_id")
        found.example_handle = stands.example_handle
