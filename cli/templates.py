"""`merhaba templates`: what Meta approves, checked, submitted, read back and looked at."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.table import Table
from rich.text import Text

from chassis.failures import FieldInvalid, Misconfigured
from cli.apply import files
from cli.apply.command import applied
from cli.apply.files import Declared
from cli.apply.kinds import TEMPLATE
from cli.calling import calling, pages
from cli.terminal import Console, echo
from cli.told import time_told, told
from merhaba.sender.v1 import (
    LintFinding,
    LintTemplateRequest,
    ListNumbersRequest,
    ListTemplatesRequest,
    NumberServiceStub,
    PreviewTemplateRequest,
    SyncTemplatesRequest,
    Template,
    TemplateServiceStub,
)

_SUFFIXES: Final = (".yaml", ".yml")
_WRONG: Final = 2

app = typer.Typer(help="What Meta approves.", no_args_is_help=True)

Paths = Annotated[list[Path], typer.Argument(help="YAML, or a folder of it.")]
Account = Annotated[str, typer.Option(help="Only of this WhatsApp Business Account.")]


@app.command()
def lint(
    paths: Paths,
    language: Annotated[str, typer.Option(help="Of the sentences: en or tr.")] = "en",
) -> None:
    """Check templates against Meta's rules; nothing is submitted.

    Exit code 0: Meta would review them, 2: it would refuse one.
    """

    async def ask() -> int:
        declared, refused, count = _read(paths), 0, 0
        async with calling("sender", TemplateServiceStub) as service:
            for one in declared:
                request = LintTemplateRequest(template=_template(one), language=language)
                for finding in (await service.LintTemplate(request)).findings:
                    error = finding.severity == LintFinding.SEVERITY_ERROR
                    refused, count = refused + error, count + 1
                    sign = "error" if error else "warning"
                    said = f"{sign} {finding.rule}: {finding.explanation} {finding.change}"
                    echo(str(one.mistake(said, f"template.{finding.field}")))
        echo(f"{len(declared)} templates, {refused} errors, {count - refused} warnings")
        return _WRONG if refused else 0

    with told():
        sys.exit(uvloop.run(ask()))


@app.command("list")
def list_templates(
    account: Account = "",
    name: Annotated[str, typer.Option(help="Part of the name.")] = "",
    language: Annotated[str, typer.Option(help="As Meta writes it: tr, en_US.")] = "",
    state: Annotated[
        list[str] | None, typer.Option(help="approved, paused, rejected, …; again for each.")
    ] = None,
) -> None:
    """Templates by name and language, as last heard from Meta."""

    async def ask() -> None:
        table = Table("name", "language", "state", "category", "quality", "id", "why")
        states = [_state(one) for one in state or ()]
        request = ListTemplatesRequest(
            waba_id=account, name_query=name, language=language, states=states
        )
        async with calling("sender", TemplateServiceStub) as service:
            async for page in pages(service.ListTemplates, request):
                for one in page.templates:
                    table.add_row(*_row(one))
        Console().print(table)

    with told():
        uvloop.run(ask())


@app.command()
def sync(account: Account = "") -> None:
    """Read every template from Meta and put the registry right."""

    async def ask() -> None:
        accounts = [account] if account else await _accounts()
        async with calling("sender", TemplateServiceStub) as service:
            for one in accounts:
                done = await service.SyncTemplates(SyncTemplatesRequest(waba_id=one))
                echo(
                    f"{one}: {done.added} added, {done.changed} changed, {done.removed} removed,"
                    f" {done.unchanged} unchanged"
                )

    with told():
        uvloop.run(ask())


@app.command()
def submit(
    paths: Paths,
    only_plan: Annotated[bool, typer.Option("--plan", help="Show what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Create at Meta, or edit there, what files declare.

    Exit code 0: it is so; 2: nothing was done, since something is wrong; 3: it was done in part.
    """
    with told():
        sys.exit(uvloop.run(applied(_read(paths), only_plan, yes)))


@app.command()
def preview(
    template: Annotated[str, typer.Argument(help="A file of one, or the name of one that stands.")],
    language: Annotated[str, typer.Option(help="Which of its languages.")] = "",
    account: Account = "",
    contact: Annotated[str, typer.Option(help="Whose values fill it; none: examples.")] = "",
    image: Annotated[Path | None, typer.Option(help="Draw the bubble into this PNG.")] = None,
    dark: Annotated[bool, typer.Option(help="As on a dark screen.")] = False,
) -> None:
    """What somebody would see."""

    async def ask() -> None:
        request = PreviewTemplateRequest(
            contact_id=contact, language=language, include_image=image is not None, dark=dark
        )
        async with calling("sender", TemplateServiceStub) as service:
            if template.endswith(_SUFFIXES):
                declared = _read([Path(template)])
                if len(declared) != 1:
                    raise Misconfigured(f"{template}: give a file of one template")
                request.template.CopyFrom(_template(declared[0]))
            else:
                found = await _standing(service, template, language, account)
                request.template_id = found.template_id
            shown = await service.PreviewTemplate(request)
        echo(shown.text)
        for one in shown.variables:
            if one.missing:
                echo(f"{one.variable} has no value", err=True)
        if not shown.sendable:
            echo(f"not to be sent like this: {shown.problem}", err=True)
        if image is not None:
            image.write_bytes(shown.image)

    with told():
        uvloop.run(ask())


def _read(paths: Sequence[Path]) -> list[Declared]:
    """The templates of files; ends the command when they say something that cannot be."""
    try:
        declared, mistakes = files.read(paths)
    except OSError as error:
        raise Misconfigured(f"{error.filename}: {error.strerror}") from None
    if mistakes:
        raise Misconfigured("\n".join(map(str, mistakes)))
    return [one for one in declared if one.kind is TEMPLATE]


def _template(declared: Declared) -> Template:
    assert isinstance(declared.message, Template)
    return declared.message


async def _accounts() -> list[str]:
    """Of all numbers."""
    found: set[str] = set()
    request = ListNumbersRequest()
    async with calling("sender", NumberServiceStub) as service:
        async for page in pages(service.ListNumbers, request):
            found |= {one.waba_id for one in page.numbers}
        return sorted(found)


async def _standing(
    service: TemplateServiceStub, name: str, language: str, account: str
) -> Template:
    request = ListTemplatesRequest(
        waba_id=account, name_query=name, language=language, page_size=1000
    )
    found: list[Template] = []
    async for page in pages(service.ListTemplates, request):
        found += [one for one in page.templates if one.name == name]
    if not found:
        raise FieldInvalid("template", f"there is no template {name}; list them first")
    if accounts := {one.waba_id for one in found[1:]} - {found[0].waba_id}:
        known = ", ".join(sorted({found[0].waba_id, *accounts}))
        raise FieldInvalid("--account", f"{name} stands in the accounts {known}; say which")
    if len(found) > 1 and not language:
        known = ", ".join(one.language for one in found)
        raise FieldInvalid("--language", f"{name} stands in {known}; say which")
    return found[0]


def _state(name: str) -> Template.State.ValueType:
    try:
        return Template.State.Value(f"STATE_{name.upper()}")
    except ValueError:
        known = ", ".join(one.removeprefix("STATE_").lower() for one in Template.State.keys()[1:])
        raise FieldInvalid("--state", f"{name} is none of {known}") from None


def _row(one: Template) -> Sequence[str | Text]:
    category = one.effective_category.lower()
    if one.announced_category:
        when = time_told(one.announced_category_time)
        category += f" → {one.announced_category.lower()} {when}"
    why = "; ".join(filter(None, (one.state_reason, one.state_detail)))
    return (
        one.name,
        one.language,
        Template.State.Name(one.state).removeprefix("STATE_").lower(),
        category,
        one.quality_score.lower(),
        one.template_id,
        Text(why),
    )
