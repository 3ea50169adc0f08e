"""What the business asks of Meta: templates created, edited, deleted."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from chassis.failures import EtagMismatch
from services.sender.failures import (
    PlatformBusy,
    PlatformRefused,
    TemplateExists,
    TemplateLintFailed,
    TemplateNotFound,
    TemplateState,
    TemplateUsed,
)
from services.sender.model import DAY_MS, Template
from services.sender.templates.codes import choices
from services.sender.templates.draft import Draft, graph_ttl, submission, with_samples
from services.sender.templates.lint import Finding, Severity, lint
from services.sender.templates.reading import Management, described, differs, named, template_of

_EDITABLE: Final = frozenset({"APPROVED", "REJECTED", "PAUSED"})
_APPROVED: Final = "APPROVED"
_GONE: Final = frozenset({"DELETED", "PENDING_DELETION"})
_MONTH_MS: Final = 30 * DAY_MS
_EDITS_A_MONTH: Final = 10
_NOT_FOUND: Final = "2593002"
"""Meta's subcode: there is no such template."""
_TRIES: Final = 3


class Shelf(Protocol):
    """Where templates are kept."""

    def now(self) -> int: ...
    async def template(self, template_id: str) -> Template: ...
    async def named(self, waba_id: str, name: str, language: str = "") -> Sequence[Template]: ...
    async def put(self, template: Template, known: Template | None, asked: int) -> bool: ...
    async def edits(self, template_id: str) -> Sequence[int]: ...
    async def edited(self, template_id: str, times: Sequence[int]) -> None: ...
    async def used_by(self, waba_id: str, name: str) -> Sequence[str]: ...
    async def intended(self, request_id: str) -> bool: ...
    async def intend(self, request_id: str) -> None: ...
    async def refused(self, request_id: str) -> None: ...
    async def credential_of(self, waba_id: str) -> str: ...


class Samples(Protocol):
    """Examples of media."""

    async def check(self, file_id: str, header: str) -> None: ...
    async def place(self, file_id: str, credential: str) -> str: ...


class Submitted(NamedTuple):
    """What Meta took, and what the linter says of it."""

    templates: Sequence[Template]
    warnings: Sequence[Finding]


class Edit(NamedTuple):
    """What is to change; None stays."""

    category: str | None = None
    ttl_s: int | None = None
    draft: Draft | None = None
    """Of which the components count."""


class Registry:
    """Templates, as the business writes them.

    An effect at Meta may have happened though no answer came: so a request is written down before
    it goes there, and its repeat looks at Meta first.
    """

    def __init__(self, shelf: Shelf, platform: Management, samples: Samples) -> None:
        self._shelf = shelf
        self._platform = platform
        self._samples = samples

    async def create(self, draft: Draft, request_id: str) -> Submitted:
        """Submit a template in its languages, each once.

        Raises TemplateLintFailed, TemplateExists, FileNotFound, FileState, MediaUnsupported,
        PlatformRefused, PlatformBusy, PlatformUnavailable and NumberUnusable.
        """
        warnings = await self._checked(draft)
        credential = await self._shelf.credential_of(draft.waba_id)
        begun = await self._shelf.intended(request_id)
        seen = await self._at_meta(draft, credential)
        if seen and not begun:
            raise _exists(draft, next(iter(seen)))
        if missing := [one for one in draft.in_languages if one not in seen]:
            wanted = replace(draft, languages=missing) if draft.languages else draft
            wanted = await self._with_samples(wanted, credential)
            await self._shelf.intend(request_id)
            seen |= await self._submit(wanted, credential, request_id, begun)
        templates = [await self._keep(draft, seen[one]) for one in draft.in_languages]
        return Submitted(templates, warnings)

    async def _submit(
        self, draft: Draft, credential: str, request_id: str, begun: bool
    ) -> dict[str, dict[str, Any]]:
        """What Meta has then, by language."""
        verb = "upsert_message_templates" if draft.languages else "message_templates"
        try:
            answer = await self._platform.manage(
                "POST", f"{draft.waba_id}/{verb}", submission(draft), credential
            )
        except TemplateExists:
            if begun:  # the call before this one came through meanwhile
                return await self._at_meta(draft, credential)
            await self._shelf.refused(request_id)
            raise _exists(draft, draft.in_languages[0]) from None
        except (PlatformRefused, PlatformBusy):
            if not begun:
                await self._shelf.refused(request_id)
            raise
        made = answer["data"] if draft.languages else [answer]
        seen = [await described(self._platform, str(one["id"]), credential) for one in made]
        return {one["language"]: one for one in seen}

    async def edit(self, template_id: str, edit: Edit, request_id: str, etag: str) -> Submitted:
        """Submit an edit, once.

        Raises TemplateNotFound, EtagMismatch, TemplateState, and as `create`.
        """
        known = await self._shelf.template(template_id)
        begun = await self._shelf.intended(request_id)
        if etag and etag != str(known.version) and not begun:
            raise EtagMismatch(str(known.version))
        wanted = _wanted(known, edit)
        warnings = await self._checked(wanted)
        credential = await self._shelf.credential_of(known.waba_id)
        asked = self._shelf.now()
        if begun:
            known = await self._refreshed(known, credential)
        change = _change(known, wanted, edit, begun)
        if change:
            times = await self._allowed(known, change)
            if "components" in change:
                wanted = await self._with_samples(wanted, credential)
                change["components"] = list(wanted.components)
            await self._shelf.intend(request_id)
            try:
                await self._platform.manage("POST", template_id, change, credential)
            except (PlatformRefused, PlatformBusy):
                if not begun:
                    await self._shelf.refused(request_id)
                raise
            if known.state == _APPROVED:
                await self._shelf.edited(template_id, [*times, asked])
        opt_outs = wanted.opt_outs if edit.draft else known.opt_outs
        return Submitted(
            [await self._refreshed(known, credential, wanted.category, opt_outs)], warnings
        )

    async def _allowed(self, known: Template, change: Mapping[str, Any]) -> list[int]:
        """When it was edited of late. Raises TemplateState when Meta would not take an edit."""
        if known.state not in _EDITABLE:
            raise _state(known, f"Meta lets no {known.state.lower()} template be edited")
        times = await self._shelf.edits(known.template_id)
        if known.state != _APPROVED:
            return list(times)
        if "category" in change:
            raise _state(known, "the category of an approved template is fixed; create another")
        now = self._shelf.now()
        month = [time for time in times if time > now - _MONTH_MS]
        if month and month[-1] > now - DAY_MS:
            raise _state(known, "Meta lets an approved template be edited once a day; wait")
        if len(month) >= _EDITS_A_MONTH:
            raise _state(known, f"edited {len(month)} times in 30 days, which is the most; wait")
        return month

    async def delete(self, template_id: str, waba_id: str, name: str) -> list[Template]:
        """Delete a template in one language, or in all of a name.

        Raises TemplateNotFound, TemplateUsed, TemplateState, PlatformRefused, PlatformBusy,
        PlatformUnavailable and NumberUnusable.
        """
        if template_id:
            found: Sequence[Template] = [await self._shelf.template(template_id)]
            waba_id, name = found[0].waba_id, found[0].name
        else:
            found = await self._shelf.named(waba_id, name)
        if not found:
            raise TemplateNotFound(
                "no such template; sync the account's", waba_id=waba_id, name=name, language=""
            )
        there = [one for one in found if one.state not in _GONE]
        if not there:
            return list(found)
        if users := await self._shelf.used_by(waba_id, name):
            raise TemplateUsed(
                f"campaign {users[0]} sends it; end it first",
                campaign_id=users[0],
                count=str(len(users)),
            )
        for one in there:
            if one.state == "DISABLED":
                raise _state(one, "Meta lets no disabled template be deleted")
        await self._delete(waba_id, name, template_id)
        return [await self._deleted(one) if one in there else one for one in found]

    async def _delete(self, waba_id: str, name: str, template_id: str) -> None:
        credential = await self._shelf.credential_of(waba_id)
        one = f"&hsm_id={template_id}" if template_id else ""
        try:
            await self._platform.manage(
                "DELETE", f"{waba_id}/message_templates?name={name}{one}", credential=credential
            )
        except PlatformRefused as refused:
            if refused.facts["subcode"] != _NOT_FOUND:
                raise

    async def _deleted(self, known: Template) -> Template:
        now = self._shelf.now()
        for _ in range(_TRIES):
            gone = replace(known, state="DELETED", state_reason="", update_time=now)
            if known.state in _GONE or await self._shelf.put(gone, known, now):
                break
            known = await self._shelf.template(known.template_id)
        return await self._shelf.template(known.template_id)

    async def _checked(self, draft: Draft) -> list[Finding]:
        """Warnings of the linter. Raises TemplateLintFailed, and for files that are no examples
        FileNotFound, FileState and MediaUnsupported."""
        findings = lint(draft)
        errors = [one for one in findings if one.severity == Severity.ERROR]
        if errors:
            first = errors[0]
            raise TemplateLintFailed(
                f"template.{first.field}: {first.explanation} {first.change}",
                field=f"template.{first.field}",
                rule=first.rule,
                change=first.change,
                count=str(len(errors)),
            )
        for file_id, format_ in _samples(draft):
            await self._samples.check(file_id, format_)
        return findings

    async def _with_samples(self, draft: Draft, credential: str) -> Draft:
        handles = {one: await self._samples.place(one, credential) for one in sorted(draft.files)}
        return replace(draft, components=with_samples(draft.components, handles))

    async def _at_meta(self, draft: Draft, credential: str) -> dict[str, dict[str, Any]]:
        """What Meta has of it, by language."""
        languages = draft.in_languages
        found = await named(self._platform, draft.waba_id, credential, draft.name, languages)
        return {one["language"]: one for one in found if one["status"] not in _GONE}

    async def _keep(self, draft: Draft, seen: Mapping[str, Any]) -> Template:
        """Put what Meta took into the registry."""
        for _ in range(_TRIES):
            asked = self._shelf.now()
            stands = await self._shelf.named(draft.waba_id, draft.name, seen["language"])
            known = stands[0] if stands else None
            template = template_of(draft.waba_id, seen, known, asked)
            template.category, template.opt_outs = draft.category, draft.opt_outs
            template.library_name = template.library_name or draft.library_name
            if await self._shelf.put(template, known, asked):
                break
        return await self._shelf.template(str(seen["id"]))

    async def _refreshed(
        self,
        known: Template,
        credential: str,
        category: str | None = None,
        opt_outs: Sequence[str] | None = None,
    ) -> Template:
        """A template as Meta describes it now."""
        for _ in range(_TRIES):
            asked = self._shelf.now()
            seen = await described(self._platform, known.template_id, credential)
            template = template_of(known.waba_id, seen, known, asked)
            template.category = category or known.category
            template.opt_outs = known.opt_outs if opt_outs is None else opt_outs
            if not differs(known, template) or await self._shelf.put(template, known, asked):
                break
            known = await self._shelf.template(known.template_id)
        return await self._shelf.template(known.template_id)


def _wanted(known: Template, edit: Edit) -> Draft:
    """The template as it would be."""
    draft = edit.draft
    return Draft(
        known.waba_id,
        known.name,
        known.language,
        edit.category or known.category,
        known.named,
        msgspec.json.decode(known.components) if draft is None else draft.components,
        known.ttl_s if edit.ttl_s is None else edit.ttl_s,
        known.sub_category,
        known.link_tracking_disabled,
        opt_outs=known.opt_outs if draft is None else draft.opt_outs,
        files=frozenset() if draft is None else draft.files,
        stands=draft is None,
    )


def _change(known: Template, wanted: Draft, edit: Edit, begun: bool) -> dict[str, Any]:
    """The body of the call that edits it; empty when it is so already."""
    change: dict[str, Any] = {}
    if edit.category and edit.category != known.category:
        change["category"] = wanted.category
    stands = msgspec.json.decode(known.components)
    if begun and wanted.category == "AUTHENTICATION":
        same = choices(wanted.components) == choices(stands)
    elif begun:  # an example that was uploaded before has another handle now
        same = _without_samples(wanted.components) == _without_samples(stands)
    else:
        same = list(wanted.components) == stands
    if not same:
        change["components"] = list(wanted.components)
    if wanted.ttl_s != known.ttl_s:
        change["message_send_ttl_seconds"] = graph_ttl(wanted.ttl_s, wanted.category)
    return change


def _without_samples(components: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    handles = {h for part in _parts(components) for h in _handles(part)}
    return with_samples(components, dict.fromkeys(handles, ""))


def _samples(draft: Draft) -> list[tuple[str, str]]:
    """Files that stand as examples, and the formats of their headers."""
    return [
        (handle, part["format"])
        for part in _parts(draft.components)
        for handle in _handles(part)
        if handle in draft.files
    ]


def _parts(components: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All components, those of cards too."""
    cards = [card for part in components for card in part.get("cards", ())]
    return [*components, *(part for card in cards for part in card["components"])]


def _handles(part: Mapping[str, Any]) -> Sequence[str]:
    found: Sequence[str] = part.get("example", {}).get("header_handle", ())
    return found


def _exists(draft: Draft, language: str) -> TemplateExists:
    return TemplateExists(
        f"{draft.name} exists in {language}; edit it or choose another name",
        waba_id=draft.waba_id,
        name=draft.name,
        language=language,
    )


def _state(template: Template, problem: str) -> TemplateState:
    return TemplateState(problem, template_id=template.template_id, state=template.state)
