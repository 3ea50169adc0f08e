"""The registry of templates, kept in step with Meta."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlencode

import msgspec

from services.sender.failures import TemplateExists
from services.sender.model import Template

_FIELDS: Final = (
    "id,name,language,status,category,parameter_format,components,rejected_reason,quality_score"
)


class Synced(NamedTuple):
    """What a sync learned."""

    added: int
    changed: int
    removed: int
    unchanged: int


class Shelf(Protocol):
    """Where templates are kept."""

    async def named(self, waba_id: str, name: str, language: str = "") -> Sequence[Template]: ...
    async def templates(
        self,
        waba_id: str,
        name: str,
        language: str,
        category: str,
        states: Sequence[str],
        after: tuple[str, str, str],
        n: int,
    ) -> Sequence[Template]: ...
    async def template(self, template_id: str) -> Template: ...
    async def request_of(self, template_id: str) -> str: ...
    async def put_template(self, template: Template, request_id: str = "") -> None: ...
    async def remove_templates(self, waba_id: str, kept: Sequence[str], now: int) -> int: ...
    async def credential_of(self, waba_id: str) -> str: ...


class Management(Protocol):
    """Meta's management calls."""

    async def manage(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        credential: str = "default",
    ) -> dict[str, Any]:
        """Raises PlatformRefused, PlatformBusy, PlatformUnavailable, TemplateExists or
        NumberUnusable."""
        ...


class Registry:
    """Templates: what the business asks of Meta, and what Meta says."""

    def __init__(self, shelf: Shelf, platform: Management, now: Callable[[], int]) -> None:
        self.shelf = shelf
        self._platform = platform
        self.now = now

    async def create_template(
        self, waba_id: str, wanted: Mapping[str, Any], request_id: str
    ) -> Template:
        """Submit a template (Meta's JSON), once per request."""
        name, language = wanted["name"], wanted["language"]
        known = await self.shelf.named(waba_id, name, language)
        if known and await self.shelf.request_of(known[0].template_id) == request_id:
            return known[0]
        for seen in await self._listed(waba_id, {"name": name, "language": language}):
            if seen["name"] == name:
                # An earlier call of this request may have ended unclear: then Meta has it, and
                # the registry has not.
                if known or not _same(seen, wanted):
                    raise _exists(waba_id, name, language)
                return await self._put(waba_id, seen, request_id)
        credential = await self.shelf.credential_of(waba_id)
        answer = await self._platform.manage(
            "POST", f"{waba_id}/message_templates", wanted, credential
        )
        return await self._put(waba_id, {**wanted, **answer}, request_id)

    async def sync_templates(self, waba_id: str) -> Synced:
        """Read all templates of an account from Meta and put the registry right."""
        seen = await self._listed(waba_id, {})
        added = changed = 0
        for one in seen:
            known = await self.shelf.named(waba_id, one["name"], one["language"])
            template = _template(waba_id, one, self.now())
            if not known:
                added += 1
            elif _known(known[0]) == _known(template):
                continue
            else:
                changed += 1
            request_id = await self.shelf.request_of(template.template_id)
            await self.shelf.put_template(template, request_id)
        removed = await self.shelf.remove_templates(
            waba_id, [str(one["id"]) for one in seen], self.now()
        )
        return Synced(added, changed, removed, len(seen) - added - changed)

    async def _listed(self, waba_id: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        credential = await self.shelf.credential_of(waba_id)
        found: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            asked = urlencode({"fields": _FIELDS, "limit": "200", **query, **after})
            page = await self._platform.manage(
                "GET", f"{waba_id}/message_templates?{asked}", credential=credential
            )
            found += page.get("data", [])
            paging = page.get("paging", {})
            if "next" not in paging:
                return found
            after = {"after": paging["cursors"]["after"]}

    async def _put(self, waba_id: str, seen: Mapping[str, Any], request_id: str) -> Template:
        template = _template(waba_id, seen, self.now())
        await self.shelf.put_template(template, request_id)
        # Meta's word may have come in a webhook meanwhile, for a template nobody knew yet.
        if template.state == "PENDING":
            for one in await self._listed(waba_id, {"name": template.name}):
                if str(one["id"]) == template.template_id and one["status"] != "PENDING":
                    template = _template(waba_id, {**seen, **one}, self.now())
                    await self.shelf.put_template(template, request_id)
        return template


def _template(waba_id: str, seen: Mapping[str, Any], now: int) -> Template:
    reason = str(seen.get("rejected_reason") or "")
    return Template(
        template_id=str(seen["id"]),
        waba_id=waba_id,
        name=seen["name"],
        language=seen["language"],
        category=seen["category"],
        effective_category=seen["category"],
        announced_category="",
        announced_time=0,
        state=seen["status"],
        state_reason="" if reason == "NONE" else reason,
        state_detail="",
        named=str(seen.get("parameter_format", "")).upper() == "NAMED",
        components=msgspec.json.encode(seen["components"]),
        create_time=now,
        update_time=now,
    )


def _known(template: Template) -> tuple[object, ...]:
    return (
        template.template_id,
        template.effective_category,
        template.state,
        template.components,
    )


def _same(seen: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(seen[key] == wanted[key] for key in ("language", "components"))


def _exists(waba_id: str, name: str, language: str) -> TemplateExists:
    return TemplateExists(
        f"{name} exists in {language}; edit it or choose another name",
        waba_id=waba_id,
        name=name,
        language=language,
    )
