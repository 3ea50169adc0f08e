"""Message templates: what may be created, and whether a send fills one correctly. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from simulator.refusals import Refused, template_fault

Status = Literal["APPROVED", "PENDING", "REJECTED", "PAUSED", "DISABLED"]

_NAME = re.compile(r"[a-z0-9_]{1,512}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Za-z]{2,4})?")
_VARIABLE = re.compile(r"\{\{\s*([a-z0-9_]+)\s*\}\}")
_UNPRINTABLE = re.compile(r"[\n\t]| {5,}")
_CATEGORIES = ("MARKETING", "UTILITY", "AUTHENTICATION")
_MEDIA_HEADERS = ("IMAGE", "VIDEO", "DOCUMENT", "GIF", "LOCATION", "PRODUCT")
_MOST_BUTTONS = {"URL": 2, "PHONE_NUMBER": 1, "COPY_CODE": 1}
# What sub_type a send must name for a button of the template; others take no parameters.
_SUB_TYPES = {
    "QUICK_REPLY": "quick_reply",
    "URL": "url",
    "OTP": "url",
    "COPY_CODE": "copy_code",
    "FLOW": "flow",
    "CATALOG": "catalog",
    "MPM": "mpm",
    "SPM": "spm",
    "ORDER_DETAILS": "order_details",
    "VOICE_CALL": "voice_call",
}


class Button(NamedTuple):
    """A button as the template defines it; `url` holds its variable unfilled."""

    type: str
    text: str
    url: str = ""

    @property
    def needs_parameter(self) -> bool:
        return self.type in {"OTP", "COPY_CODE"} or "{{" in self.url


class Shape(NamedTuple):
    """What a send has to fill."""

    header: str | None
    header_variables: tuple[str, ...]
    body_variables: tuple[str, ...]
    buttons: tuple[Button, ...]


class Tappable(NamedTuple):
    """A button as a person sees it: a quick reply with its payload, or a link."""

    kind: Literal["quick_reply", "url"]
    text: str
    value: str


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

    def seen_by_graph(self) -> dict[str, Any]:
        """Every field of the template as Graph answers it."""
        return {
            "id": self.template_id,
            "name": self.name,
            "language": self.language,
            "status": self.status,
            "category": self.category,
            "parameter_format": "NAMED" if self.named else "POSITIONAL",
            "components": self.components,
            "rejected_reason": self.rejected_reason,
            "quality_score": {"score": "UNKNOWN"},
        }


@dataclass(slots=True)
class Templates:
    """The templates of all accounts, at most `most` for each."""

    most: int = 6000
    _by_key: dict[tuple[str, str, str], Template] = field(default_factory=dict)
    _by_id: dict[str, Template] = field(default_factory=dict)

    def add(self, template: Template) -> None:
        key = (template.waba_id, template.name, template.language)
        if key in self._by_key:
            raise template_fault(
                2388024,
                "Content in this language already exists",
                f"There is already {template.language} content for this template. "
                "Create a new template or delete this one first.",
            )
        if sum(1 for _ in self.of(template.waba_id)) >= self.most:
            raise template_fault(
                2388019,
                "Message template limit exceeded",
                f"This account holds {self.most} templates. Delete some first.",
            )
        self._by_key[key] = self._by_id[template.template_id] = template

    def find(self, waba_id: str, name: str, language: str) -> Template | None:
        return self._by_key.get((waba_id, name, language))

    def get(self, template_id: str) -> Template | None:
        return self._by_id.get(template_id)

    def of(self, waba_id: str) -> Iterator[Template]:
        return (t for t in self._by_key.values() if t.waba_id == waba_id)

    def remove(self, template: Template) -> None:
        del self._by_key[template.waba_id, template.name, template.language]
        del self._by_id[template.template_id]


def define(template_id: str, waba_id: str, body: Mapping[str, Any]) -> Template:
    """A template, pending review, from the body of a creation call.

    Raises Refused (code 100 with a subcode) where Meta refuses the definition.
    """
    name, language, category = body.get("name"), body.get("language"), body.get("category")
    components = body.get("components")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Refused(100, "name: 1 to 512 of a-z, 0-9 and _ are required.")
    if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
        raise Refused(100, "language: a code such as tr or en_US is required.")
    if not isinstance(category, str) or category.upper() not in _CATEGORIES:
        raise Refused(100, f"category: must be one of {', '.join(_CATEGORIES)}.")
    if not isinstance(components, list) or not all(isinstance(c, dict) for c in components):
        raise Refused(100, "components: a list of objects is required.")
    named = str(body.get("parameter_format", "POSITIONAL")).upper() == "NAMED"
    shape = _shape_of(components, category.upper(), named=named)
    return Template(
        template_id, waba_id, name, language, category.upper(), components, named, shape
    )


def _shape_of(components: list[dict[str, Any]], category: str, *, named: bool) -> Shape:
    header: str | None = None
    header_variables: tuple[str, ...] = ()
    body_variables: tuple[str, ...] | None = None
    buttons: tuple[Button, ...] = ()
    for component in components:
        text = component.get("text", "")
        match str(component.get("type", "")).upper():
            case "HEADER":
                header = str(component.get("format", "TEXT")).upper()
                if header not in ("TEXT", *_MEDIA_HEADERS):
                    raise Refused(100, f"header format {header} is not known.")
                if header == "TEXT":
                    header_variables = _variables(text, "header", 60, named=named)
                    if len(header_variables) > 1:
                        raise _format_fault("header: one variable at most.")
            case "BODY" if category == "AUTHENTICATION":
                body_variables = ("1",)
            case "BODY":
                body_variables = _variables(text, "body", 1024, named=named)
                if not text.strip():
                    raise Refused(100, "body: text is required.")
                if body_variables:
                    _check_body(text, component)
            case "FOOTER":
                if _variables(text, "footer", 60, named=named):
                    raise _format_fault("footer: no variables are allowed.")
            case "BUTTONS":
                buttons = _buttons(component.get("buttons"))
            case "CAROUSEL" | "LIMITED_TIME_OFFER":
                pass
            case other:
                raise Refused(100, f"component type {other or '(none)'} is not known.")
    if body_variables is None:
        raise Refused(100, "components: a BODY is required.")
    return Shape(header, header_variables, body_variables, buttons)


def _format_fault(details: str) -> Refused:
    return template_fault(2388073, "Message template format is incorrect", details)


def _variables(text: Any, where: str, limit: int, *, named: bool) -> tuple[str, ...]:
    if not isinstance(text, str):
        raise Refused(100, f"{where}: text is required.")
    if len(text) > limit:
        raise template_fault(
            2388040, "Character limit exceeded", f"{where}: {limit} characters at most."
        )
    names = tuple(dict.fromkeys(_VARIABLE.findall(text)))
    if "{{" in _VARIABLE.sub("", text):
        raise _format_fault(f"{where}: variables are written {{{{1}}}} or {{{{first_name}}}}.")
    if not named and names != tuple(str(n + 1) for n in range(len(names))):
        raise _format_fault(f"{where}: variables must be {{{{1}}}}, {{{{2}}}} ... in order.")
    if named and any(n.isdigit() for n in names):
        raise _format_fault(f"{where}: with parameter_format NAMED every variable has a name.")
    return names


def _check_body(text: str, component: Mapping[str, Any]) -> None:
    stripped = text.strip()
    first, last = _VARIABLE.match(stripped), list(_VARIABLE.finditer(stripped))[-1]
    if first or last.end() == len(stripped):
        raise template_fault(
            2388299,
            "Template variable at the edge",
            "body: a variable may not stand at the start or the end of the text.",
        )
    if not component.get("example"):
        raise _format_fault("body: an example for every variable is required.")


def _buttons(raw: Any) -> tuple[Button, ...]:
    if not isinstance(raw, list) or not 1 <= len(raw) <= 10:
        raise _format_fault("buttons: 1 to 10 are required.")
    found: list[Button] = []
    for given in raw:
        if not isinstance(given, dict):
            raise _format_fault("buttons: each must be an object.")
        kind = str(given.get("type", "")).upper()
        text, url = str(given.get("text", "")), str(given.get("url", ""))
        if kind not in {"OTP", "COPY_CODE", "CATALOG", "MPM", "SPM"} and not text:
            raise _format_fault(f"buttons: a {kind or 'button'} needs text.")
        if len(text) > 25:
            raise template_fault(
                2388040, "Character limit exceeded", "buttons: text has 25 characters at most."
            )
        if kind == "URL":
            variables = _VARIABLE.findall(url)
            if not url.startswith(("https://", "http://")) or len(url) > 2000:
                raise _format_fault("buttons: url must be a web address of at most 2000.")
            if len(variables) > 1 or (variables and not url.endswith("}}")):
                raise _format_fault("buttons: url has one variable at most, at its end.")
        found.append(Button(kind, text, url))
    for kind, most in _MOST_BUTTONS.items():
        if sum(b.type == kind for b in found) > most:
            raise _format_fault(f"buttons: {most} of type {kind} at most.")
    return tuple(found)


def fill(template: Template, components: Any) -> tuple[Tappable, ...]:
    """Check a send's components against the template; what the person can tap.

    Raises Refused with Meta's codes: 131008 (missing), 132000 (count), 132012 (format),
    132018 (text that no parameter may hold).
    """
    if components is None:
        components = []
    if not isinstance(components, list) or not all(isinstance(c, dict) for c in components):
        raise Refused(100, "template['components'] must be a list of objects.")
    shape = template.shape
    header = body = None
    given: dict[int, dict[str, Any]] = {}
    for component in components:
        match str(component.get("type", "")).lower():
            case "header":
                header = component
            case "body":
                body = component
            case "button":
                given[_index_of(component, shape)] = component
            case "carousel" | "limited_time_offer":
                pass
            case other:
                raise Refused(100, f"template['components'] has a type {other or '(none)'}.")
    _fill_header(template, header)
    _fill_texts("body", shape.body_variables, body, named=template.named)
    return tuple(_tappables(shape, given))


def _index_of(component: Mapping[str, Any], shape: Shape) -> int:
    try:
        index = int(component.get("index", ""))
    except (TypeError, ValueError):
        raise Refused(131008, "buttons: index is required.") from None
    if not 0 <= index < len(shape.buttons):
        raise Refused(132012, f"buttons: the template has no button at index {index}.")
    expected = _SUB_TYPES.get(shape.buttons[index].type)
    if str(component.get("sub_type", "")).lower() != expected:
        raise Refused(132012, f"buttons: the button at index {index} is not of that sub_type.")
    return index


def _parameters(component: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    parameters = component.get("parameters", []) if component else []
    if not isinstance(parameters, list) or not all(isinstance(p, dict) for p in parameters):
        raise Refused(100, "template['components']: parameters must be a list of objects.")
    return parameters


def _fill_header(template: Template, component: Mapping[str, Any] | None) -> None:
    expected = template.shape.header
    if expected is None or expected == "TEXT":
        _fill_texts("header", template.shape.header_variables, component, named=template.named)
        return
    parameters = _parameters(component)
    if not parameters:
        raise Refused(131008, f"header: a parameter of type {expected} is required.")
    received = str(parameters[0].get("type", "")).upper()
    accepted = {"IMAGE", "VIDEO"} if expected == "GIF" else {expected}
    if received not in accepted or not isinstance(parameters[0].get(received.lower()), dict):
        raise Refused(
            132012,
            f"header: Format mismatch, expected {expected}, received {received or 'UNKNOWN'}",
        )


def _fill_texts(
    where: str, variables: tuple[str, ...], component: Mapping[str, Any] | None, *, named: bool
) -> None:
    parameters = _parameters(component)
    if len(parameters) != len(variables):
        raise Refused(
            132000,
            f"{where}: number of localizable_params ({len(parameters)}) does not match the "
            f"expected number of params ({len(variables)})",
        )
    if named and {p.get("parameter_name") for p in parameters} != set(variables):
        raise Refused(132012, f"{where}: parameter_name must name each of the variables once.")
    for parameter in parameters:
        match parameter.get("type"):
            case "text":
                _check_text(where, parameter.get("text"))
            case "currency" | "date_time" as kind:
                if not isinstance(parameter.get(kind), dict):
                    raise Refused(131008, f"{where}: a {kind} parameter needs its object.")
            case other:
                raise Refused(132012, f"{where}: a parameter of type {other} is not accepted.")


def _check_text(where: str, text: Any) -> None:
    if not isinstance(text, str) or not text:
        raise Refused(131008, f"{where}: Parameter of type text is missing text value")
    if _UNPRINTABLE.search(text):
        raise Refused(
            132018,
            f"{where}: Param text cannot have new-line/tab characters or more than 4 "
            "consecutive spaces",
        )


def _tappables(shape: Shape, given: Mapping[int, dict[str, Any]]) -> Iterator[Tappable]:
    for index, button in enumerate(shape.buttons):
        parameters = _parameters(given.get(index))
        if button.needs_parameter and not parameters:
            raise Refused(
                131008, f"Button at index {index} of type {button.type.title()} needs a parameter"
            )
        first = parameters[0] if parameters else {}
        if button.type == "QUICK_REPLY":
            payload = first.get("payload", button.text)
            if not isinstance(payload, str) or not 1 <= len(payload) <= 256:
                raise Refused(131009, f"Button at index {index}: payload has 1 to 256 characters.")
            yield Tappable("quick_reply", button.text, payload)
        elif button.type == "URL":
            suffix = first.get("text", "") if "{{" in button.url else ""
            if "{{" in button.url and (not isinstance(suffix, str) or not suffix):
                raise Refused(131008, f"Button at index {index}: text is missing.")
            # The variable, if there is one, ends the address.
            yield Tappable("url", button.text, _VARIABLE.sub("", button.url) + suffix)
        elif button.type == "COPY_CODE":
            code = first.get("coupon_code")
            if not isinstance(code, str) or not 1 <= len(code) <= 20:
                raise Refused(131009, f"Button at index {index}: coupon_code has 1 to 20.")
