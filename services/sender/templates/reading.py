"""Templates as Meta lists them."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import msgspec

from services.sender.model import DAY_MS, Template
from services.sender.templates.codes import with_buttons_of_codes
from services.sender.templates.draft import ttl_of
from services.sender.templates.seen import mappings, text

_FIELDS: Final = ",".join(
    (
        *("id", "name", "language", "status", "category", "parameter_format", "components"),
        *("rejected_reason", "quality_score", "message_send_ttl_seconds", "sub_category"),
        *("cta_url_link_tracking_opted_out", "library_template_name"),
    )
)
_PAGE: Final = "200"
_AUTHENTICATION: Final = "AUTHENTICATION"
_NAMED_VARIABLE: Final = re.compile(r"\{\{\s*(?!\d+\s*\}\})[a-z0-9_]+\s*\}\}")

Query = Mapping[str, str]


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


async def listed(
    platform: Management, waba_id: str, credential: str, query: Query
) -> AsyncIterator[dict[str, Any]]:
    """Templates of an account, page by page. Raises as `manage`."""
    after: dict[str, str] = {}
    while True:
        asked = urlencode({"fields": _FIELDS, "limit": _PAGE, **query, **after})
        page = await platform.manage(
            "GET", f"{waba_id}/message_templates?{asked}", credential=credential
        )
        for one in page.get("data", []):
            yield one
        paging = page.get("paging", {})
        if "next" not in paging:
            return
        after = {"after": paging["cursors"]["after"]}


async def named(
    platform: Management, waba_id: str, credential: str, name: str, languages: Sequence[str]
) -> list[dict[str, Any]]:
    """Those of exactly this name, in these languages: Meta may find more. Raises as `manage`."""
    return [
        one
        async for one in listed(platform, waba_id, credential, {"name": name})
        if one["name"] == name and one["language"] in languages
    ]


async def described(platform: Management, template_id: str, credential: str) -> dict[str, Any]:
    """One template. Raises as `manage`."""
    return await platform.manage("GET", f"{template_id}?fields={_FIELDS}", credential=credential)


def template_of(
    waba_id: str, seen: Mapping[str, Any], known: Template | None, now: int
) -> Template:
    """A template as Meta describes it; what Meta does not tell is as it was `known`."""
    if known is not None and known.template_id != str(seen["id"]):
        known = None  # another of the same name
    category = str(seen["category"]).upper()
    told = mappings(_told_of(seen.get("components", [])))
    parts = with_buttons_of_codes(told) if category == _AUTHENTICATION else told
    components = msgspec.json.encode(parts)
    quality, quality_time = _quality(seen, known)
    announced, announced_time = _announced(category, known, now)
    same_state = known is not None and known.state == seen["status"]
    same_parts = known is not None and known.components == components
    return Template(
        template_id=str(seen["id"]),
        waba_id=waba_id,
        name=seen["name"],
        language=seen["language"],
        category=known.category if known else category,
        effective_category=category,
        announced_category=announced,
        announced_time=announced_time,
        state=seen["status"],
        state_reason=_reason(seen) or (known.state_reason if known and same_state else ""),
        state_detail=known.state_detail if known and same_state else "",
        named=_named(seen, parts),
        components=components,
        create_time=known.create_time if known else now,
        update_time=now,
        components_time=known.components_time if known and same_parts else now,
        quality=quality,
        quality_time=quality_time,
        ttl_s=ttl_of(seen.get("message_send_ttl_seconds")),
        sub_category=str(seen.get("sub_category") or ""),
        link_tracking_disabled=seen.get("cta_url_link_tracking_opted_out") is True,
        library_name=str(
            seen.get("library_template_name") or (known.library_name if known else "")
        ),
        opt_outs=known.opt_outs if known else (),
        sync_time=now,
        version=known.version if known else 1,
    )


def differs(one: Template, other: Template) -> bool:
    """Whether two readings of a template say something different."""
    return _told(one) != _told(other)


def _told(template: Template) -> tuple[object, ...]:
    when = {"update_time", "sync_time", "version", "components_time", "create_time"}
    when |= {"state_reason"} if template.state != "REJECTED" else set()
    values = (getattr(template, f) for f in template.__struct_fields__ if f not in when)
    return tuple(tuple(v) if isinstance(v, list) else v for v in values)


def _told_of(seen: Any) -> Any:
    """The same without what is null, which says nothing."""
    if isinstance(seen, dict):
        return {key: _told_of(one) for key, one in seen.items() if one is not None}
    return [_told_of(one) for one in seen if one is not None] if isinstance(seen, list) else seen


def _named(seen: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> bool:
    """Old templates do not say; their texts do."""
    if told := text(seen, "parameter_format"):
        return told.upper() == "NAMED"
    return any(_NAMED_VARIABLE.search(text(part, "text")) for part in parts)


def _reason(seen: Mapping[str, Any]) -> str:
    """Why it was rejected; why it is paused Meta tells in webhooks alone."""
    told = str(seen.get("rejected_reason") or "")
    return "" if told == "NONE" else told


def _quality(seen: Mapping[str, Any], known: Template | None) -> tuple[str, int]:
    told = seen.get("quality_score")
    if isinstance(told, dict) and isinstance(score := told.get("score"), str):
        date = told.get("date")
        return score, int(date) * 1000 if isinstance(date, int | float) else 0
    return (known.quality, known.quality_time) if known else ("", 0)


def _announced(category: str, known: Template | None, now: int) -> tuple[str, int]:
    """What is still to come: not what has come, nor what Meta did not do in a day."""
    if known is None or known.announced_category in {"", category}:
        return "", 0
    if known.announced_time + DAY_MS < now:
        return "", 0
    return known.announced_category, known.announced_time
