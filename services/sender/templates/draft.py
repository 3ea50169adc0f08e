"""A template as somebody wants it: what is checked and submitted. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from services.sender.model import Template

MONTH_S: Final = 30 * 86_400
_LONGEST: Final = -1
"""How Meta writes 30 days for what it delivers for less by itself."""


class Draft(Struct, frozen=True):
    """A template in Meta's words."""

    waba_id: str
    name: str
    language: str
    category: str
    """Upper case."""
    named: bool | None
    """Variables have names; None: nobody said, which is no."""
    components: Sequence[Mapping[str, Any]]
    ttl_s: int = 0
    sub_category: str = ""
    link_tracking_disabled: bool = False
    library_name: str = ""
    opt_outs: Sequence[str] = ()
    languages: Sequence[str] = ()
    """Instead of the one: Meta writes the text in each."""
    files: frozenset[str] = frozenset()
    """Ids of files that stand as examples in `components` until they are uploaded."""
    stands: bool = False
    """Meta has it already, and has added what is its own."""

    @property
    def in_languages(self) -> Sequence[str]:
        """Every language that is asked for."""
        return self.languages or [self.language]


def standing(template: Template) -> Draft:
    """A template of the registry, to be checked."""
    return Draft(
        template.waba_id,
        template.name,
        template.language,
        template.effective_category.upper(),
        template.named,
        msgspec.json.decode(template.components),
        template.ttl_s,
        template.sub_category,
        template.link_tracking_disabled,
        template.library_name,
        template.opt_outs,
        stands=True,
    )


def graph_ttl(ttl_s: int, category: str) -> int:
    """Meta's `message_send_ttl_seconds`."""
    return _LONGEST if ttl_s == MONTH_S and category != "MARKETING" else ttl_s


def ttl_of(seen: Any) -> int:
    """What `message_send_ttl_seconds` says; Meta writes it as a number or as text."""
    try:
        seconds = int(seen or 0)
    except (TypeError, ValueError):
        return 0
    return MONTH_S if seconds == _LONGEST else seconds


def submission(draft: Draft) -> dict[str, Any]:
    """The body of a call that creates the template."""
    body: dict[str, Any] = {"name": draft.name, "category": draft.category}
    if draft.languages:
        body["languages"] = list(draft.languages)
    else:
        body["language"] = draft.language
    if draft.named is not None:
        body["parameter_format"] = "NAMED" if draft.named else "POSITIONAL"
    if draft.library_name:
        body["library_template_name"] = draft.library_name
        if inputs := [_library_input(one) for one in buttons_in(draft.components)]:
            body["library_template_button_inputs"] = inputs
    else:
        body["components"] = list(draft.components)
    if draft.ttl_s:
        body["message_send_ttl_seconds"] = graph_ttl(draft.ttl_s, draft.category)
    if draft.sub_category:
        body["sub_category"] = draft.sub_category
    if draft.link_tracking_disabled:
        body["cta_url_link_tracking_opted_out"] = True
    return body


def buttons_in(components: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The buttons below a message."""
    return [b for part in components if part.get("type") == "BUTTONS" for b in part["buttons"]]


def _library_input(button: Mapping[str, Any]) -> dict[str, Any]:
    """A button of a template of the library, made one's own."""
    given = {key: value for key, value in button.items() if key != "text"}
    if button["type"] == "URL":
        url = {"base_url": button["url"]}
        if example := button.get("example"):
            url["url_suffix_example"] = example[0]
        return {"type": "URL", "url": url}
    return given


def with_samples(
    components: Sequence[Mapping[str, Any]], handles: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The same with the handles of uploaded files in the place of their ids."""
    return [_with_samples(part, handles) for part in components]


def _with_samples(part: Mapping[str, Any], handles: Mapping[str, str]) -> dict[str, Any]:
    found = dict(part)
    if found.get("type") == "CAROUSEL":
        found["cards"] = [
            {**card, "components": with_samples(card["components"], handles)}
            for card in found["cards"]
        ]
    example = found.get("example", {})
    if found.get("type") == "HEADER" and "header_handle" in example:
        (sample,) = example["header_handle"]
        found["example"] = {**example, "header_handle": [handles.get(sample, sample)]}
    return found
