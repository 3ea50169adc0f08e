"""Templates with their values filled in."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from google.protobuf.json_format import MessageToDict, ParseDict

from chassis.times import milliseconds, timestamp
from merhaba.sender.v1 import (
    CatalogInvitation,
    TemplateButtonParameter,
    TemplateCallButton,
    TemplateCardParameters,
    TemplateCurrency,
    TemplateDateTime,
    TemplateFlowButton,
    TemplateHeaderParameter,
    TemplateMessage,
    TemplateParameter,
    TemplateProductsButton,
)
from services.sender.body import actions, media, plain, rules
from services.sender.body.rules import broken

_NAME: Final = 512
_LANGUAGE: Final = 15
_VALUE: Final = 32_768  # Meta's limit on the whole text, its variables filled in
_COUPON: Final = 20
_PAYLOAD: Final = 256
_SUFFIX: Final = 2_000
_UNEVEN: Final = re.compile(r"[\n\r\t]| {5}")
_MEDIA: Final = ("image", "video", "gif", "document")


def to_graph(template: TemplateMessage, where: str) -> dict[str, Any]:
    """`template`."""
    language: dict[str, str] = {
        "code": rules.text(f"{where}.language", template.language, _LANGUAGE)
    }
    if template.language_policy:
        policy = template.language_policy
        language["policy"] = rules.one_of(f"{where}.language_policy", policy, ("deterministic",))
    components = _components(template, where)
    if template.HasField("offer_expire_time"):
        offer = {"expiration_time_ms": milliseconds(template.offer_expire_time)}
        parameters = [{"type": "limited_time_offer", "limited_time_offer": offer}]
        components.append({"type": "limited_time_offer", "parameters": parameters})
    if template.cards:
        rules.count(f"{where}.cards", template.cards, 2, 10)
        rules.unique(f"{where}.cards", [card.card_index for card in template.cards])
        cards = [_card(card, f"{where}.cards[{i}]") for i, card in enumerate(template.cards)]
        components.append({"type": "carousel", "cards": cards})
    components += _buttons(template.buttons, f"{where}.buttons")
    found: dict[str, Any] = {
        "name": rules.text(f"{where}.name", template.name, _NAME),
        "language": language,
    }
    if components:
        found["components"] = components
    if template.extensions_json:
        more = rules.object_of(f"{where}.extensions_json", template.extensions_json)
        if taken := found.keys() & more.keys():
            raise broken(f"{where}.extensions_json", "keys", f"{min(taken)} has its own field")
        found |= more
    return found


def _components(
    holder: TemplateMessage | TemplateCardParameters, where: str
) -> list[dict[str, Any]]:
    """Header and body."""
    components: list[dict[str, Any]] = []
    if holder.HasField("header"):
        header = _header(holder.header, f"{where}.header")
        components.append({"type": "header", "parameters": [header]})
    if holder.body:
        if len({bool(parameter.name) for parameter in holder.body}) > 1:
            raise broken(f"{where}.body", "names", "name all of the parameters, or none")
        rules.unique(f"{where}.body", [p.name for p in holder.body if p.name])
        parameters = [
            _parameter(parameter, f"{where}.body[{i}]") for i, parameter in enumerate(holder.body)
        ]
        components.append({"type": "body", "parameters": parameters})
    return components


def _card(card: TemplateCardParameters, where: str) -> dict[str, Any]:
    rules.within(f"{where}.card_index", card.card_index, 0, 9)
    components = [*_components(card, where), *_buttons(card.buttons, f"{where}.buttons")]
    return {"card_index": card.card_index, "components": components}


def _header(header: TemplateHeaderParameter, where: str) -> dict[str, Any]:
    kind = header.WhichOneof("value")
    match kind:
        case "text":
            return _parameter(header.text, f"{where}.text")
        case "image" | "video" | "gif" | "document":
            shown = media.to_graph(kind, getattr(header, kind), f"{where}.{kind}")
            return {"type": kind, kind: shown}
        case "location":
            at = f"{where}.location"
            return {"type": kind, kind: plain.location_to_graph(header.location, at)}
        case "product":
            return {"type": kind, kind: actions.product(header.product, f"{where}.product")}
        case _:
            raise broken(where, "required", "empty; leave it out")


def _parameter(parameter: TemplateParameter, where: str) -> dict[str, Any]:
    name = {"parameter_name": parameter.name} if parameter.name else {}
    kind = parameter.WhichOneof("value")
    match kind:
        case "text":
            return {"type": "text", "text": _value(f"{where}.text", parameter.text), **name}
        case "currency":
            money = parameter.currency
            if money.amount_micros % 1_000:
                problem = "Meta takes thousandths of the currency, nothing smaller"
                raise broken(f"{where}.currency.amount_micros", "multiple", problem, 1_000)
            currency = {
                "fallback_value": _value(f"{where}.currency.fallback_value", money.fallback_value),
                "code": rules.text(f"{where}.currency.currency_code", money.currency_code, 3),
                "amount_1000": money.amount_micros // 1_000,
            }
            return {"type": "currency", "currency": currency, **name}
        case "date_time":
            at = f"{where}.date_time.fallback_value"
            _value(at, parameter.date_time.fallback_value)
            date_time = MessageToDict(parameter.date_time, preserving_proto_field_name=True)
            return {"type": "date_time", "date_time": date_time, **name}
        case _:
            raise broken(where, "required", "has no value")


def _value(field: str, value: str) -> str:
    """A value as Meta puts it into a sentence."""
    rules.text(field, value, _VALUE)
    if _UNEVEN.search(value):
        problem = "has a line break, a tab or more than four spaces in a row"
        raise broken(field, "spaces", problem)
    return value


def _buttons(buttons: Sequence[TemplateButtonParameter], where: str) -> list[dict[str, Any]]:
    rules.unique(where, [button.index for button in buttons])
    return [_button(button, f"{where}[{i}]") for i, button in enumerate(buttons)]


def _button(button: TemplateButtonParameter, where: str) -> dict[str, Any]:
    rules.within(f"{where}.index", button.index, 0, 9)
    kind = button.WhichOneof("value")
    parameter: dict[str, Any]
    match kind:
        case "quick_reply_payload":
            payload = rules.text(f"{where}.{kind}", button.quick_reply_payload, _PAYLOAD)
            sub_type, parameter = "quick_reply", {"type": "payload", "payload": payload}
        case "url_suffix":
            suffix = rules.text(f"{where}.{kind}", button.url_suffix, _SUFFIX)
            sub_type, parameter = "url", {"type": "text", "text": suffix}
            if button.HasField("payment_link_preview"):
                parameter["payment_link_preview"] = button.payment_link_preview
        case "coupon_code":
            coupon = rules.text(f"{where}.{kind}", button.coupon_code, _COUPON)
            sub_type, parameter = "copy_code", {"type": "coupon_code", "coupon_code": coupon}
        case "flow":
            sub_type, parameter = "flow", _action(_flow(button.flow, f"{where}.flow"))
        case "catalog":
            sub_type = "catalog"
            parameter = _action(
                rules.filled(MessageToDict(button.catalog, preserving_proto_field_name=True))
            )
        case "products":
            at = f"{where}.products"
            shown = button.products.thumbnail_product_retailer_id
            products = {
                "thumbnail_product_retailer_id": rules.text(
                    f"{at}.thumbnail_product_retailer_id", shown, _PAYLOAD
                ),
                "sections": actions.sections(button.products.sections, f"{at}.sections"),
            }
            sub_type, parameter = "mpm", _action(products)
        case "order_details_json":
            order = rules.object_of(f"{where}.{kind}", button.order_details_json)
            sub_type, parameter = "order_details", _action({"order_details": order})
        case "voice_call":
            sub_type, parameter = "voice_call", _call(button.voice_call, f"{where}.voice_call")
        case _:
            raise broken(where, "required", "has no value")
    return {
        "type": "button",
        "sub_type": sub_type,
        "index": str(button.index),
        "parameters": [parameter],
    }


def _action(action: dict[str, Any]) -> dict[str, Any]:
    return {"type": "action", "action": action}


def _flow(flow: TemplateFlowButton, where: str) -> dict[str, Any]:
    data = rules.object_of(f"{where}.action_data_json", flow.action_data_json or b"{}")
    return rules.filled({"flow_token": flow.flow_token, "flow_action_data": data})


def _call(call: TemplateCallButton, where: str) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "ttl_minutes"}
    if call.HasField("ttl_duration"):
        found["ttl_minutes"] = actions.minutes(f"{where}.ttl_duration", call.ttl_duration)
    if call.payload:
        found["payload"] = rules.text(f"{where}.payload", call.payload, 512)
    return found


# --- the other way --------------------------------------------------------------------------------


def from_graph(said: Mapping[str, Any]) -> TemplateMessage:
    """The values that fill a template."""
    more = {k: v for k, v in said.items() if k not in {"name", "language", "components"}}
    found = TemplateMessage(
        name=said["name"],
        language=said["language"]["code"],
        language_policy=said["language"].get("policy", ""),
        extensions_json=msgspec.json.encode(more) if more else b"",
    )
    _read(found, said.get("components", ()))
    return found


def _read(
    found: TemplateMessage | TemplateCardParameters, components: Sequence[Mapping[str, Any]]
) -> None:
    for component in components:
        match component["type"].lower():
            case "header":
                found.header.CopyFrom(_header_back(component["parameters"][0]))
            case "body":
                found.body.extend(_parameter_back(one) for one in component["parameters"])
            case "button":
                found.buttons.append(_button_back(component))
            case "limited_time_offer" if isinstance(found, TemplateMessage):
                offer = component["parameters"][0]["limited_time_offer"]
                found.offer_expire_time.CopyFrom(timestamp(offer["expiration_time_ms"]))
            case "carousel" if isinstance(found, TemplateMessage):
                for one in component["cards"]:
                    card = TemplateCardParameters(card_index=one["card_index"])
                    _read(card, one["components"])
                    found.cards.append(card)
            case other:
                raise ValueError(f"no component is called {other}")


def _header_back(said: Mapping[str, Any]) -> TemplateHeaderParameter:
    kind = said["type"].lower()
    if kind in _MEDIA:
        found = TemplateHeaderParameter()
        getattr(found, kind).CopyFrom(media.from_graph(said[kind]))
        return found
    if kind == "location":
        return TemplateHeaderParameter(location=plain.location_from_graph(said["location"]))
    if kind == "product":
        return TemplateHeaderParameter(product=actions.product_back(said["product"]))
    return TemplateHeaderParameter(text=_parameter_back(said))


def _parameter_back(said: Mapping[str, Any]) -> TemplateParameter:
    found = TemplateParameter(name=said.get("parameter_name", ""))
    match said["type"].lower():
        case "text":
            found.text = said["text"]
        case "currency":
            money = said["currency"]
            found.currency.CopyFrom(
                TemplateCurrency(
                    fallback_value=money["fallback_value"],
                    currency_code=money["code"],
                    amount_micros=money["amount_1000"] * 1_000,
                )
            )
        case "date_time":
            found.date_time.CopyFrom(ParseDict(said["date_time"], TemplateDateTime()))
        case other:
            raise ValueError(f"no parameter is of type {other}")
    return found


def _button_back(said: Mapping[str, Any]) -> TemplateButtonParameter:
    found = TemplateButtonParameter(index=int(said["index"]))
    given = said["parameters"][0]
    action = given.get("action", {})
    match said["sub_type"].lower():
        case "quick_reply":
            found.quick_reply_payload = given["payload"]
        case "url":
            found.url_suffix = given["text"]
            if "payment_link_preview" in given:
                found.payment_link_preview = given["payment_link_preview"]
        case "copy_code":
            found.coupon_code = given["coupon_code"]
        case "flow":
            data = action.get("flow_action_data")
            found.flow.CopyFrom(
                TemplateFlowButton(
                    flow_token=action.get("flow_token", ""),
                    action_data_json=msgspec.json.encode(data) if data else b"",
                )
            )
        case "catalog":
            found.catalog.CopyFrom(ParseDict(action, CatalogInvitation()))
        case "mpm":
            found.products.CopyFrom(
                TemplateProductsButton(
                    thumbnail_product_retailer_id=action["thumbnail_product_retailer_id"],
                    sections=actions.sections_back(action["sections"]),
                )
            )
        case "order_details":
            found.order_details_json = msgspec.json.encode(action["order_details"])
        case "voice_call":
            call = TemplateCallButton(payload=given.get("payload", ""))
            if "ttl_minutes" in given:
                call.ttl_duration.FromSeconds(given["ttl_minutes"] * 60)
            found.voice_call.CopyFrom(call)
        case other:
            raise ValueError(f"no button is of type {other}")
    return found
