"""Message templates: what may be created. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from simulator.refusals import Refused
from simulator.templates.buttons import Button, buttons_of
from simulator.templates.codes import listed
from simulator.templates.library import from_library
from simulator.templates.texts import (
    check_bare,
    check_examples,
    format_fault,
    too_long,
    variables_of,
)
from simulator.world.quality import Feedback

Status = Literal[
    "APPROVED", "PENDING", "REJECTED", "PAUSED", "DISABLED", "ARCHIVED", "PENDING_DELETION"
]

Category = Literal["MARKETING", "UTILITY", "AUTHENTICATION"]

_NAME = re.compile(r"[a-z0-9_]{1,512}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Za-z]{2,4})?")
_CATEGORIES = ("MARKETING", "UTILITY", "AUTHENTICATION")
_MEDIA_HEADERS = ("IMAGE", "VIDEO", "DOCUMENT", "GIF")
_OTHER_HEADERS = ("LOCATION", "PRODUCT")
# Shortest and longest message_send_ttl_seconds; -1 stands for 30 days.
_TTL = {"AUTHENTICATION": (30, 900), "UTILITY": (30, 43_200), "MARKETING": (43_200, 2_592_000)}

HasHandle = Callable[[str], bool]
"""Whether this is the handle of an uploaded sample."""


class Shape(NamedTuple):
    """What a send has to fill, in a message or in one card of a carousel."""

    header: str | None
    header_variables: tuple[str, ...]
    body_variables: tuple[str, ...]
    buttons: tuple[Button, ...]
    cards: tuple["Shape", ...] = ()
    limited_offer: bool = False
    expires: bool = False
    """Whether the limited-time offer needs its end."""


@dataclass(slots=True)
class Template:
    """One template in one language."""

    template_id: str
    waba_id: str
    name: str
    language: str
    category: str
    components: list[dict[str, Any]]
    named: bool
    shape: Shape
    status: Status = "PENDING"
    rejected_reason: str = "NONE"
    ttl_s: int | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    """What Graph only echoes."""
    feedback: Feedback = field(default_factory=Feedback)
    pauses: int = 0
    paced: int = 0
    """Messages sent since quality was last unknown, as pacing counts them."""
    held_until: float | None = None
    """Simulated seconds after which the first held message is decided; None: none is held."""
    edits: list[float] = field(default_factory=list)
    """When it was changed while approved, in the last 30 days."""

    def seen_by_graph(self) -> dict[str, Any]:
        """Every field of the template as Graph answers it."""
        seen: dict[str, Any] = {
            "name": self.name,
            "parameter_format": "NAMED" if self.named else "POSITIONAL",
            "components": listed(self.components, self.language)
            if self.category == "AUTHENTICATION"
            else self.components,
            "language": self.language,
            "status": self.status,
            "category": self.category,
            "rejected_reason": self.rejected_reason,
            "quality_score": {"score": self.feedback.told, "date": int(self.feedback.since)},
            **self.extras,
        }
        if self.ttl_s is not None:
            seen["message_send_ttl_seconds"] = self.ttl_s
        return seen | {"id": self.template_id}


def define(
    template_id: str, waba_id: str, body: Mapping[str, Any], has_handle: HasHandle
) -> Template:
    """A template, pending review, from the body of a creation call.

    Raises Refused (code 100 with a subcode) where Meta refuses the definition.
    """
    name, language, category = body.get("name"), body.get("language"), body.get("category")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Refused(100, "name: 1 to 512 of a-z, 0-9 and _ are required.")
    if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
        raise Refused(100, "language: a code such as tr or en_US is required.")
    if not isinstance(category, str) or category.upper() not in _CATEGORIES:
        raise Refused(100, f"category: must be one of {', '.join(_CATEGORIES)}.")
    named = str(body.get("parameter_format", "POSITIONAL")).upper() == "NAMED"
    body = from_library(body)
    template = Template(
        template_id, waba_id, name, language, category.upper(), [], named, Shape(None, (), (), ())
    )
    change(template, body, has_handle)
    template.extras = {
        key: body[key]
        for key in ("sub_category", "library_template_name", "cta_url_link_tracking_opted_out")
        if key in body
    }
    return template


def change(template: Template, body: Mapping[str, Any], has_handle: HasHandle) -> None:
    """Give a template the components and the time to live in `body`; Refused leaves it as it was.

    Editing replaces all components; what is not given stays.
    """
    components, ttl = body.get("components"), body.get("message_send_ttl_seconds")
    if ttl is not None:
        shortest, longest = _TTL[template.category]
        if not isinstance(ttl, int) or not (ttl == -1 or shortest <= ttl <= longest):
            raise Refused(100, f"message_send_ttl_seconds: -1 or {shortest} to {longest}.")
    if components is not None or not template.components:
        if not isinstance(components, list) or not all(isinstance(c, dict) for c in components):
            raise Refused(100, "components: a list of objects is required.")
        template.shape = _shape(components, template, has_handle)
        template.components = components
    template.ttl_s = template.ttl_s if ttl is None else ttl


def _shape(
    components: list[dict[str, Any]],
    template: Template,
    has_handle: HasHandle,
    *,
    card: bool = False,
) -> Shape:
    shape = Shape(None, (), (), ())
    seen: set[str] = set()
    # An offer shortens the body, wherever it stands.
    for component in sorted(components, key=lambda c: "offer" not in str(c.get("type")).lower()):
        kind = str(component.get("type", "")).upper()
        if kind in seen:
            raise format_fault(f"components: one {kind} at most.")
        seen.add(kind)
        shape = _with(shape, kind, component, template, has_handle, card=card)
    if "BODY" not in seen and not card:
        raise Refused(100, "components: a BODY is required.")
    if card and shape.header not in ("IMAGE", "VIDEO", "PRODUCT"):
        raise format_fault("cards: each needs a header of format IMAGE, VIDEO or PRODUCT.")
    if card and not shape.buttons:
        raise format_fault("cards: each needs a button.")
    _check_together(seen, shape, template, card=card)
    return shape


def _check_together(seen: set[str], shape: Shape, template: Template, *, card: bool) -> None:
    """What may stand beside what."""
    kinds = [b.type for b in shape.buttons]
    if "LIMITED_TIME_OFFER" in seen:
        if "FOOTER" in seen:
            raise format_fault("components: a limited-time offer has no footer.")
        if template.category != "MARKETING" or kinds not in (["URL"], ["COPY_CODE", "URL"]):
            raise format_fault("components: an offer is marketing, with a URL and maybe a code.")
    if "CAROUSEL" in seen and seen & {"HEADER", "FOOTER", "BUTTONS", "LIMITED_TIME_OFFER"}:
        raise format_fault("components: beside a carousel there is a body only.")
    if template.category != "AUTHENTICATION":
        if "OTP" in kinds:
            raise format_fault("components: an OTP button is for authentication templates.")
    elif seen - {"BODY", "FOOTER", "BUTTONS"} or set(kinds) != {"OTP"} or card:
        raise format_fault("components: an authentication template has an OTP button, no more.")


def _with(
    shape: Shape,
    kind: str,
    component: Mapping[str, Any],
    template: Template,
    has_handle: HasHandle,
    *,
    card: bool,
) -> Shape:
    match kind:
        case "HEADER":
            return _with_header(shape, component, template, has_handle)
        case "BODY" if template.category == "AUTHENTICATION":
            if "text" in component:
                raise format_fault("body: the text of an authentication template is Meta's.")
            return shape._replace(body_variables=("1",))
        case "BODY":
            longest = 160 if card else 600 if shape.limited_offer else 1024
            names = _body(component, longest, named=template.named)
            return shape._replace(body_variables=names)
        case "FOOTER":
            _footer(component, template)
            return shape
        case "BUTTONS":
            given = component.get("buttons")
            return shape._replace(buttons=buttons_of(given, card=card))
        case "CAROUSEL" if not card:
            return shape._replace(cards=_cards(component, template, has_handle))
        case "LIMITED_TIME_OFFER" if not card:
            offer = component.get("limited_time_offer")
            if not isinstance(offer, dict) or not isinstance(offer.get("text"), str):
                raise format_fault("limited_time_offer: text is required.")
            if not offer["text"]:
                raise format_fault("limited_time_offer: text is required.")
            if len(offer["text"]) > 16:
                raise too_long("limited_time_offer: text", 16)
            expires = offer.get("has_expiration") is True
            return shape._replace(limited_offer=True, expires=expires)
        case "CALL_PERMISSION_REQUEST":
            return shape
        case other:
            raise Refused(100, f"component type {other or '(none)'} is not known.")


def _with_header(
    shape: Shape, component: Mapping[str, Any], template: Template, has_handle: HasHandle
) -> Shape:
    header = str(component.get("format", "TEXT")).upper()
    if header == "TEXT":
        names = variables_of(component.get("text"), "header", 60, named=template.named)
        if len(names) > 1:
            raise format_fault("header: one variable at most.")
        check_bare(component["text"], "header")
        check_examples(names, component, "header", "header_text")
        return shape._replace(header=header, header_variables=names)
    if header == "GIF" and template.category != "MARKETING":
        raise format_fault("header: GIF is for marketing templates.")
    if header in _MEDIA_HEADERS:
        example = component.get("example")
        handles = example.get("header_handle") if isinstance(example, dict) else None
        if not isinstance(handles, list) or not handles:
            raise format_fault(f"header: a sample is required for {header} (header_handle).")
        if not isinstance(handles[0], str) or not has_handle(handles[0]):
            raise format_fault("header: header_handle is not the handle of an uploaded sample.")
    elif header not in _OTHER_HEADERS:
        raise Refused(100, f"header format {header} is not known.")
    return shape._replace(header=header)


def _body(component: Mapping[str, Any], longest: int, *, named: bool) -> tuple[str, ...]:
    text = component.get("text")
    names = variables_of(text, "body", longest, named=named, inner=True)
    if component.get("add_security_recommendation"):
        raise format_fault("body: security advice is for authentication templates.")
    check_examples(names, component, "body", "body_text")
    return names


def _footer(component: Mapping[str, Any], template: Template) -> None:
    if template.category == "AUTHENTICATION":
        minutes = component.get("code_expiration_minutes", 1)
        if "text" in component or not isinstance(minutes, int) or not 1 <= minutes <= 90:
            raise format_fault("footer: code_expiration_minutes must be 1 to 90.")
    elif variables_of(component.get("text"), "footer", 60, named=template.named):
        raise format_fault("footer: no variables are allowed.")


def _cards(
    component: Mapping[str, Any], template: Template, has_handle: HasHandle
) -> tuple[Shape, ...]:
    given = component.get("cards")
    if not isinstance(given, list) or not 2 <= len(given) <= 10:
        raise format_fault("carousel: 2 to 10 cards are required.")
    cards = []
    for card in given:
        inner = card.get("components") if isinstance(card, dict) else None
        if not isinstance(inner, list) or not all(isinstance(c, dict) for c in inner):
            raise format_fault("carousel: each card needs its components.")
        cards.append(_shape(inner, template, has_handle, card=True))
    if len({(c.header, tuple(b.type for b in c.buttons)) for c in cards}) > 1:
        raise format_fault("carousel: all cards must have the same components.")
    return tuple(cards)
