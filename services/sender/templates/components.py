"""A template's components as the contract has them, and as Meta writes them: both ways, exactly."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration

from merhaba.sender.v1 import (
    TemplateBody,
    TemplateCard,
    TemplateComponents,
    TemplateFooter,
    TemplateHeader,
    TemplateOffer,
    VariableExample,
)
from services.sender.templates.buttons import button_of, graph_button
from services.sender.templates.seen import body_examples, kind, mapping, mappings, text, texts

_MINUTE_S: Final = 60
_FORMATS: Final = {
    value: name.removeprefix("FORMAT_")
    for name, value in TemplateHeader.Format.items()
    if value != TemplateHeader.FORMAT_UNSPECIFIED
}
_FORMATS_BACK: Final = {name: value for value, name in _FORMATS.items()}


def graph_components(parts: TemplateComponents, *, named: bool) -> list[dict[str, Any]]:
    """Meta's `components` array. What breaks a rule of Meta's is written as it is: the linter says
    so. The example of a media header is its handle, or the id of the file that is to be uploaded.
    """
    found: list[dict[str, Any]] = []
    if parts.HasField("header"):
        found.append(_graph_header(parts.header, named))
    if parts.HasField("limited_time_offer"):
        offer = parts.limited_time_offer
        inner = {"text": offer.text, "has_expiration": offer.expires}
        found.append({"type": "LIMITED_TIME_OFFER", "limited_time_offer": inner})
    if parts.HasField("body"):
        found.append(_graph_body(parts.body, named))
    if parts.HasField("footer"):
        found.append(_graph_footer(parts.footer))
    if parts.buttons:
        found.append({"type": "BUTTONS", "buttons": [graph_button(b) for b in parts.buttons]})
    if parts.cards:
        cards = [{"components": _graph_card(card, named)} for card in parts.cards]
        found.append({"type": "CAROUSEL", "cards": cards})
    if parts.call_permission_request:
        found.append({"type": "CALL_PERMISSION_REQUEST"})
    return found


def _graph_card(card: TemplateCard, named: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if card.HasField("header"):
        found.append(_graph_header(card.header, named))
    if card.HasField("body"):
        found.append(_graph_body(card.body, named))
    if card.buttons:
        found.append({"type": "BUTTONS", "buttons": [graph_button(b) for b in card.buttons]})
    return found


def _graph_header(header: TemplateHeader, named: bool) -> dict[str, Any]:
    found = {"type": "HEADER", "format": _FORMATS.get(header.format, "TEXT")}
    if found["format"] == "TEXT":
        found["text"] = header.text
    example: dict[str, Any] = {}
    if header.examples and named:
        example["header_text_named_params"] = _graph_named(header.examples)
    elif header.examples:
        example["header_text"] = [one.example for one in header.examples]
    if sample := header.example_handle or header.example_file_id:
        example["header_handle"] = [sample]
    return {**found, "example": example} if example else found


def _graph_body(body: TemplateBody, named: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "BODY"}
    if body.text or not body.security_recommendation:
        found["text"] = body.text
    if body.security_recommendation:
        found["add_security_recommendation"] = True
    if body.examples and named:
        found["example"] = {"body_text_named_params": _graph_named(body.examples)}
    elif body.examples:
        ordered = sorted(body.examples, key=_place)
        found["example"] = {"body_text": [[one.example for one in ordered]]}
    return found


def _graph_footer(footer: TemplateFooter) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "FOOTER"}
    if footer.HasField("code_expiration_duration"):
        minutes, rest = divmod(footer.code_expiration_duration.seconds, _MINUTE_S)
        # Parts of a minute are for the linter to find
        found["code_expiration_minutes"] = minutes + rest / _MINUTE_S if rest else minutes
    if footer.text or "code_expiration_minutes" not in found:
        found["text"] = footer.text
    return found


def _graph_named(examples: Iterable[VariableExample]) -> list[dict[str, str]]:
    return [{"param_name": one.variable, "example": one.example} for one in examples]


def _place(example: VariableExample) -> int:
    return int(example.variable) if example.variable.isdecimal() else 0


def components_of(seen: Sequence[Mapping[str, Any]]) -> TemplateComponents:
    """What Meta's `components` array says; what nobody knows is left out."""
    found = TemplateComponents()
    for part in seen:
        match kind(part):
            case "HEADER":
                found.header.CopyFrom(_header(part))
            case "LIMITED_TIME_OFFER":
                offer = mapping(part.get("limited_time_offer"))
                found.limited_time_offer.CopyFrom(
                    TemplateOffer(
                        text=text(offer, "text"), expires=offer.get("has_expiration") is True
                    )
                )
            case "BODY":
                found.body.CopyFrom(_body(part))
            case "FOOTER":
                found.footer.CopyFrom(_footer(part))
            case "BUTTONS":
                found.buttons.extend(button_of(one) for one in mappings(part.get("buttons")))
            case "CAROUSEL":
                found.cards.extend(_card(one) for one in mappings(part.get("cards")))
            case "CALL_PERMISSION_REQUEST":
                found.call_permission_request = True
    return found


def _card(seen: Mapping[str, Any]) -> TemplateCard:
    found = TemplateCard()
    for part in mappings(seen.get("components")):
        match kind(part):
            case "HEADER":
                found.header.CopyFrom(_header(part))
            case "BODY":
                found.body.CopyFrom(_body(part))
            case "BUTTONS":
                found.buttons.extend(button_of(one) for one in mappings(part.get("buttons")))
    return found


def _header(part: Mapping[str, Any]) -> TemplateHeader:
    example = mapping(part.get("example"))
    format_ = _FORMATS_BACK.get(kind(part, "format") or "TEXT", TemplateHeader.FORMAT_UNSPECIFIED)
    return TemplateHeader(
        format=format_,
        text=text(part, "text"),
        examples=[
            *_positional(example.get("header_text")),
            *_named(example.get("header_text_named_params")),
        ],
        example_handle=next(iter(texts(example.get("header_handle"))), ""),
    )


def _body(part: Mapping[str, Any]) -> TemplateBody:
    example = mapping(part.get("example"))
    return TemplateBody(
        text=text(part, "text"),
        examples=[
            *_positional(body_examples(part)),
            *_named(example.get("body_text_named_params")),
        ],
        security_recommendation=part.get("add_security_recommendation") is True,
    )


def _footer(part: Mapping[str, Any]) -> TemplateFooter:
    found = TemplateFooter(text=text(part, "text"))
    minutes = part.get("code_expiration_minutes")
    if isinstance(minutes, int):
        found.code_expiration_duration.CopyFrom(Duration(seconds=minutes * _MINUTE_S))
    return found


def _positional(given: Any) -> Iterator[VariableExample]:
    for place, one in enumerate(texts(given), 1):
        yield VariableExample(variable=str(place), example=one)


def _named(given: Any) -> Iterator[VariableExample]:
    for one in mappings(given):
        yield VariableExample(variable=text(one, "param_name"), example=text(one, "example"))
