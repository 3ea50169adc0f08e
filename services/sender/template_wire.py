"""Between the contract's templates and Meta's JSON."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from chassis.failures import FieldInvalid, Unimplemented
from merhaba.sender.v1 import Template as TemplateProto
from merhaba.sender.v1 import (
    TemplateBody,
    TemplateButton,
    TemplateComponents,
    TemplateFooter,
    TemplateHeader,
    TemplateOtp,
    TemplatePlainButton,
    TemplateQuickReply,
    TemplateUrl,
    VariableExample,
)
from services.sender.model import Template
from services.sender.wire import stamp

_STATES: Final = set(TemplateProto.State.keys())
_PLAIN: Final = {
    TemplatePlainButton.KIND_CATALOG: "CATALOG",
    TemplatePlainButton.KIND_PRODUCTS: "MPM",
    TemplatePlainButton.KIND_PRODUCT: "SPM",
    TemplatePlainButton.KIND_ORDER_DETAILS: "ORDER_DETAILS",
    TemplatePlainButton.KIND_CONTACT_INFO_REQUEST: "REQUEST_CONTACT_INFO",
}
_PLAIN_BACK: Final = {name: kind for kind, name in _PLAIN.items()}
_OTP: Final = {
    TemplateOtp.KIND_COPY_CODE: "COPY_CODE",
    TemplateOtp.KIND_ONE_TAP: "ONE_TAP",
    TemplateOtp.KIND_ZERO_TAP: "ZERO_TAP",
}


def to_graph(template: TemplateProto) -> dict[str, Any]:
    """A template as POST /message_templates takes it."""
    for field in ("waba_id", "name", "language", "category"):
        if not getattr(template, field):
            raise FieldInvalid(f"template.{field}", "missing; give one")
    named = template.parameter_format == TemplateProto.PARAMETER_FORMAT_NAMED
    parts = template.components
    if parts.cards or parts.HasField("limited_time_offer") or parts.call_permission_request:
        raise Unimplemented("carousels, offers and call permissions cannot be created yet")
    components: list[dict[str, Any]] = []
    if parts.HasField("header"):
        components.append(_header(parts.header, named))
    components.append(_body(parts.body, template.category, named))
    if parts.footer.text:
        components.append({"type": "FOOTER", "text": parts.footer.text})
    if parts.buttons:
        buttons = [_button(button) for button in parts.buttons]
        components.append({"type": "BUTTONS", "buttons": buttons})
    return {
        "name": template.name,
        "language": template.language,
        "category": template.category.upper(),
        "parameter_format": "NAMED" if named else "POSITIONAL",
        "components": components,
    }


def _header(header: TemplateHeader, named: bool) -> dict[str, Any]:
    if header.format in {TemplateHeader.FORMAT_TEXT, TemplateHeader.FORMAT_UNSPECIFIED}:
        component: dict[str, Any] = {"type": "HEADER", "format": "TEXT", "text": header.text}
        if header.examples and named:
            component["example"] = {"header_text_named_params": _named(header.examples)}
        elif header.examples:
            component["example"] = {"header_text": [header.examples[0].example]}
        return component
    name = TemplateHeader.Format.Name(header.format).removeprefix("FORMAT_")
    component = {"type": "HEADER", "format": name}
    if header.example_file_id:
        raise Unimplemented("header examples are taken as handles, not yet as files")
    if header.example_handle:
        component["example"] = {"header_handle": [header.example_handle]}
    return component


def _body(body: TemplateBody, category: str, named: bool) -> dict[str, Any]:
    if category.upper() == "AUTHENTICATION":
        return {"type": "BODY", "add_security_recommendation": body.security_recommendation}
    component: dict[str, Any] = {"type": "BODY", "text": body.text}
    if body.examples and named:
        component["example"] = {"body_text_named_params": _named(body.examples)}
    elif body.examples:
        ordered = sorted(body.examples, key=lambda e: (len(e.variable), e.variable))
        component["example"] = {"body_text": [[example.example for example in ordered]]}
    return component


def _named(examples: Iterable[VariableExample]) -> list[dict[str, str]]:
    return [{"param_name": e.variable, "example": e.example} for e in examples]


def _button(button: TemplateButton) -> dict[str, Any]:
    match button.WhichOneof("action"):
        case "quick_reply":
            return {"type": "QUICK_REPLY", "text": button.text}
        case "url":
            found: dict[str, Any] = {"type": "URL", "text": button.text, "url": button.url.url}
            return {**found, "example": [button.url.example]} if button.url.example else found
        case "phone_number":
            number = button.phone_number
            return {"type": "PHONE_NUMBER", "text": button.text, "phone_number": number}
        case "copy_code_example":
            return {"type": "COPY_CODE", "example": button.copy_code_example}
        case "otp":
            found = {"type": "OTP", "otp_type": _OTP[button.otp.kind]}
            return {**found, "text": button.text} if button.text else found
        case "plain":
            return {"type": _PLAIN[button.plain.kind], "text": button.text}
        case None:
            raise FieldInvalid("template.components.buttons", "say what the button does")
        case other:
            raise Unimplemented(f"buttons of kind {other} cannot be created yet")


def template_proto(template: Template) -> TemplateProto:
    """A template as the contract shows it."""
    state = f"STATE_{template.state}"
    return TemplateProto(
        template_id=template.template_id,
        waba_id=template.waba_id,
        name=template.name,
        language=template.language,
        etag=str(template.update_time),
        category=template.category,
        effective_category=template.effective_category,
        announced_category=template.announced_category,
        announced_category_time=stamp(template.announced_time),
        state=TemplateProto.State.Value(state)
        if state in _STATES
        else TemplateProto.STATE_UNSPECIFIED,
        state_reason=template.state_reason,
        state_detail=template.state_detail,
        parameter_format=TemplateProto.PARAMETER_FORMAT_NAMED
        if template.named
        else TemplateProto.PARAMETER_FORMAT_POSITIONAL,
        components=_components(msgspec.json.decode(template.components)),
        create_time=stamp(template.create_time),
        update_time=stamp(template.update_time),
        sync_time=stamp(template.update_time),
    )


def _components(seen: Iterable[Mapping[str, Any]]) -> TemplateComponents:
    components = TemplateComponents()
    for part in seen:
        text = part.get("text", "")
        match str(part.get("type", "")).upper():
            case "HEADER":
                name = f"FORMAT_{str(part.get('format', 'TEXT')).upper()}"
                known = name in TemplateHeader.Format.keys()  # noqa: SIM118 - no mapping
                components.header.CopyFrom(
                    TemplateHeader(
                        format=TemplateHeader.Format.Value(name)
                        if known
                        else TemplateHeader.FORMAT_UNSPECIFIED,
                        text=text,
                    )
                )
            case "BODY":
                components.body.CopyFrom(TemplateBody(text=text))
            case "FOOTER":
                components.footer.CopyFrom(TemplateFooter(text=text))
            case "BUTTONS":
                components.buttons.extend(_seen_button(b) for b in part.get("buttons", ()))
    return components


def _seen_button(seen: Mapping[str, Any]) -> TemplateButton:
    button = TemplateButton(text=seen.get("text", ""))
    kind = str(seen.get("type", "")).upper()
    match kind:
        case "QUICK_REPLY":
            button.quick_reply.CopyFrom(TemplateQuickReply())
        case "URL":
            example = next(iter(seen.get("example") or []), "")
            button.url.CopyFrom(TemplateUrl(url=seen.get("url", ""), example=example))
        case "PHONE_NUMBER":
            button.phone_number = seen.get("phone_number", "")
        case "COPY_CODE":
            example = seen.get("example", "")
            button.copy_code_example = example if isinstance(example, str) else example[0]
        case "OTP":
            button.otp.CopyFrom(TemplateOtp())
        case _ if kind in _PLAIN_BACK:
            button.plain.CopyFrom(TemplatePlainButton(kind=_PLAIN_BACK[kind]))
    return button
