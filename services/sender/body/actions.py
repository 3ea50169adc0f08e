"""What can be tapped in a message, one pair of functions for each kind."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, ParseDict

from merhaba.sender.v1 import (
    AddressForm,
    CatalogInvitation,
    FlowInvitation,
    InteractiveCard,
    InteractiveCarousel,
    InteractiveHeader,
    OptionList,
    OrderDetails,
    OrderStatus,
    ProductList,
    ProductRef,
    ProductSection,
    ReplyButton,
    ReplyButtons,
    UrlButton,
    VoiceCall,
)
from services.sender.body import media, rules
from services.sender.body.rules import broken

_BUTTON: Final = 20
_FLOW_BUTTON: Final = 30
_SECTION: Final = 24
_ROW: Final = 24
_DESCRIPTION: Final = 72
_CARD_BODY: Final = 160
_ID: Final = 256
_ROW_ID: Final = 200
_MOST_ITEMS: Final = 30
_LONGEST_CALL_MINUTES: Final = 43_200
_MINUTE: Final = timedelta(minutes=1)


def to_graph(kind: str, action: Any, where: str) -> dict[str, Any]:
    """Meta's `action`."""
    return _TO[kind](action, where)


def from_graph(kind: str, said: Mapping[str, Any]) -> Any:
    """The other way."""
    return _FROM[kind](said)


def header_from_graph(said: Mapping[str, Any]) -> InteractiveHeader:
    """The other way, of a header."""
    kind = said["type"].lower()
    if kind == "text":
        return InteractiveHeader(text=said["text"])
    found = InteractiveHeader()
    getattr(found, kind).CopyFrom(media.from_graph(said[kind]))
    return found


def _reply_buttons(action: ReplyButtons, where: str, word: str = "reply") -> dict[str, Any]:
    rules.count(f"{where}.buttons", action.buttons, 1, 3)
    rules.unique(f"{where}.buttons", [button.id for button in action.buttons])
    rules.unique(f"{where}.buttons", [button.title for button in action.buttons])
    buttons = []
    for index, button in enumerate(action.buttons):
        at = f"{where}.buttons[{index}]"
        reply = {
            "id": rules.text(f"{at}.id", button.id, _ID),
            "title": rules.text(f"{at}.title", button.title, _BUTTON),
        }
        buttons.append({"type": word, word: reply})
    return {"buttons": buttons}


def _reply_buttons_back(said: Mapping[str, Any]) -> ReplyButtons:
    replies = [button[button["type"]] for button in said["buttons"]]
    return ReplyButtons(buttons=[ReplyButton(id=r["id"], title=r["title"]) for r in replies])


def _option_list(action: OptionList, where: str) -> dict[str, Any]:
    rules.count(f"{where}.sections", action.sections, 1, 10)
    rows = [row for section in action.sections for row in section.rows]
    rules.count(f"{where}.sections.rows", rows, 1, 10)
    rules.unique(f"{where}.sections.rows", [row.id for row in rows])
    for i, section in enumerate(action.sections):
        at = f"{where}.sections[{i}]"
        several = len(action.sections) > 1
        rules.text(f"{at}.title", section.title, _SECTION, required=several)
        rules.count(f"{at}.rows", section.rows, 1, 10)
        for j, row in enumerate(section.rows):
            rules.text(f"{at}.rows[{j}].id", row.id, _ROW_ID)
            rules.text(f"{at}.rows[{j}].title", row.title, _ROW)
            rules.text(f"{at}.rows[{j}].description", row.description, _DESCRIPTION, required=False)
    rules.text(f"{where}.button", action.button, _BUTTON)
    return MessageToDict(action)


def _url_button(action: UrlButton, where: str) -> dict[str, Any]:
    parameters = {
        "display_text": rules.text(f"{where}.display_text", action.display_text, _BUTTON),
        "url": rules.url(f"{where}.url", action.url),
    }
    return {"name": "cta_url", "parameters": parameters}


def _flow(action: FlowInvitation, where: str) -> dict[str, Any]:
    named = action.WhichOneof("flow")
    if named is None:
        raise broken(f"{where}.flow_id", "required", "missing; name the flow")
    parameters: dict[str, Any] = {
        "flow_message_version": action.message_version or "3",
        named: rules.text(f"{where}.{named}", getattr(action, named), _ID),
        "flow_cta": rules.text(f"{where}.button", action.button, _FLOW_BUTTON),
    }
    if action.flow_token:
        parameters["flow_token"] = rules.text(f"{where}.flow_token", action.flow_token, _ID)
    if action.flow_action:
        known = ("navigate", "data_exchange")
        parameters["flow_action"] = rules.one_of(f"{where}.flow_action", action.flow_action, known)
    if action.data_json and not action.screen:
        raise broken(f"{where}.screen", "required", "data is for a screen; name it")
    if action.screen:
        if action.flow_action == "data_exchange":
            raise broken(f"{where}.screen", "kind", "only with flow_action `navigate`")
        data = rules.object_of(f"{where}.data_json", action.data_json or b"{}")
        # Meta takes no empty object
        parameters["flow_action_payload"] = {
            "screen": action.screen,
            **({"data": data} if data else {}),
        }
    if action.draft:
        parameters["mode"] = "draft"
    return {"name": "flow", "parameters": parameters}


def _flow_back(said: Mapping[str, Any]) -> FlowInvitation:
    given = said["parameters"]
    payload = given.get("flow_action_payload", {})
    data = payload.get("data")
    return FlowInvitation(
        flow_id=given.get("flow_id"),
        flow_name=given.get("flow_name"),
        button=given["flow_cta"],
        flow_token=given.get("flow_token", ""),
        flow_action=given.get("flow_action", ""),
        screen=payload.get("screen", ""),
        data_json=msgspec.json.encode(data) if data else b"",
        draft=given.get("mode") == "draft",
        message_version=given["flow_message_version"],
    )


def _voice_call(action: VoiceCall, where: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    if action.display_text:
        words = rules.text(f"{where}.display_text", action.display_text, _BUTTON)
        parameters["display_text"] = words
    if action.HasField("ttl_duration"):
        parameters["ttl_minutes"] = minutes(f"{where}.ttl_duration", action.ttl_duration)
    if action.payload:
        parameters["payload"] = rules.text(f"{where}.payload", action.payload, 512)
    return {"name": "voice_call", **({"parameters": parameters} if parameters else {})}


def minutes(field: str, duration: Duration) -> int:
    """How long a call button works."""
    whole = duration.ToTimedelta() // _MINUTE
    return int(rules.within(field, whole, 1, _LONGEST_CALL_MINUTES))


def _voice_call_back(said: Mapping[str, Any]) -> VoiceCall:
    given = said.get("parameters", {})
    found = VoiceCall(display_text=given.get("display_text", ""), payload=given.get("payload", ""))
    if "ttl_minutes" in given:
        found.ttl_duration.FromTimedelta(given["ttl_minutes"] * _MINUTE)
    return found


def _address_form(action: AddressForm, where: str) -> dict[str, Any]:
    country = rules.one_of(f"{where}.country_code", action.country_code, ("IN", "SG"))
    parameters: dict[str, Any] = {"country": country} | rules.filled(
        {
            "values": dict(action.values),
            "validation_errors": dict(action.validation_errors),
        }
    )
    if action.saved_addresses_json:
        where = f"{where}.saved_addresses_json"
        try:
            saved = msgspec.json.decode(action.saved_addresses_json, type=list[dict[str, Any]])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise broken(where, "json", "not a JSON array of objects") from None
        parameters["saved_addresses"] = saved
    return {"name": "address_message", "parameters": parameters}


def _address_form_back(said: Mapping[str, Any]) -> AddressForm:
    given = said["parameters"]
    saved = given.get("saved_addresses")
    return AddressForm(
        country_code=given["country"],
        values=given.get("values", {}),
        validation_errors=given.get("validation_errors", {}),
        saved_addresses_json=msgspec.json.encode(saved) if saved else b"",
    )


def product(action: ProductRef, where: str) -> dict[str, Any]:
    """One item of a catalogue."""
    return {
        "catalog_id": rules.text(f"{where}.catalog_id", action.catalog_id, _ID),
        "product_retailer_id": rules.text(
            f"{where}.product_retailer_id", action.product_retailer_id, _ID
        ),
    }


def product_back(said: Mapping[str, Any]) -> ProductRef:
    """The other way."""
    return ProductRef(
        catalog_id=said["catalog_id"], product_retailer_id=said["product_retailer_id"]
    )


def sections(found: Sequence[ProductSection], where: str) -> list[dict[str, Any]]:
    """Titled items; a title is required when there are several."""
    rules.count(where, found, 1, 10)
    items = [item for section in found for item in section.product_retailer_ids]
    rules.count(f"{where}.product_retailer_ids", items, 1, _MOST_ITEMS)
    told = []
    for index, section in enumerate(found):
        at = f"{where}[{index}]"
        rules.count(f"{at}.product_retailer_ids", section.product_retailer_ids, 1, _MOST_ITEMS)
        title = rules.text(f"{at}.title", section.title, _SECTION, required=len(found) > 1)
        products = [
            {"product_retailer_id": rules.text(f"{at}.product_retailer_ids", one, _ID)}
            for one in section.product_retailer_ids
        ]
        told.append({**({"title": title} if title else {}), "product_items": products})
    return told


def sections_back(said: Sequence[Mapping[str, Any]]) -> list[ProductSection]:
    """The other way."""
    return [
        ProductSection(
            title=one.get("title", ""),
            product_retailer_ids=[item["product_retailer_id"] for item in one["product_items"]],
        )
        for one in said
    ]


def _product_list(action: ProductList, where: str) -> dict[str, Any]:
    return {
        "catalog_id": rules.text(f"{where}.catalog_id", action.catalog_id, _ID),
        "sections": sections(action.sections, f"{where}.sections"),
    }


def _product_list_back(said: Mapping[str, Any]) -> ProductList:
    return ProductList(catalog_id=said["catalog_id"], sections=sections_back(said["sections"]))


def _catalog(action: CatalogInvitation, where: str) -> dict[str, Any]:
    shown = action.thumbnail_product_retailer_id
    if not shown:
        return {"name": "catalog_message"}
    rules.text(f"{where}.thumbnail_product_retailer_id", shown, _ID)
    return {"name": "catalog_message", "parameters": {"thumbnail_product_retailer_id": shown}}


def _catalog_back(said: Mapping[str, Any]) -> CatalogInvitation:
    return CatalogInvitation(**said.get("parameters", {}))


def _carousel(action: InteractiveCarousel, where: str) -> dict[str, Any]:
    rules.count(f"{where}.cards", action.cards, 2, 10)
    alike = {
        (c.WhichOneof("action"), c.header.WhichOneof("header"), len(c.reply_buttons.buttons))
        for c in action.cards
    }
    if len(alike) > 1:
        raise broken(f"{where}.cards", "alike", "all cards need the same header and buttons")
    cards = [_card(card, i, f"{where}.cards[{i}]") for i, card in enumerate(action.cards)]
    return {"cards": cards}


def _card(card: InteractiveCard, index: int, where: str) -> dict[str, Any]:
    kind = card.WhichOneof("action")
    if kind == "product":
        action = product(card.product, f"{where}.product")
        return {"card_index": index, "type": "product", "action": action}
    header = card.header.WhichOneof("header")
    if header not in {"image", "video"}:
        raise broken(f"{where}.header", "required", "a card needs a picture or a film")
    shown = media.to_graph(header, getattr(card.header, header), f"{where}.header.{header}")
    # Meta writes `cta_url` over cards with replies, too.
    found: dict[str, Any] = {
        "card_index": index,
        "type": "cta_url",
        "header": {"type": header, header: shown},
    }
    if card.body:
        found["body"] = {"text": rules.text(f"{where}.body", card.body, _CARD_BODY)}
    match kind:
        case "url_button":
            return {**found, "action": _url_button(card.url_button, f"{where}.url_button")}
        case "reply_buttons":
            at = f"{where}.reply_buttons"
            return {**found, "action": _reply_buttons(card.reply_buttons, at, "quick_reply")}
        case _:
            raise broken(where, "required", "say what is to be tapped")


def _carousel_back(said: Mapping[str, Any]) -> InteractiveCarousel:
    return InteractiveCarousel(cards=[_card_back(card) for card in said["cards"]])


def _card_back(said: Mapping[str, Any]) -> InteractiveCard:
    action = said["action"]
    if said["type"] == "product":
        return InteractiveCard(product=product_back(action))
    found = InteractiveCard(
        header=header_from_graph(said["header"]), body=said.get("body", {}).get("text", "")
    )
    if "buttons" in action:
        found.reply_buttons.CopyFrom(_reply_buttons_back(action))
    else:
        found.url_button.CopyFrom(UrlButton(**action["parameters"]))
    return found


def _order_details(action: OrderDetails, where: str) -> dict[str, Any]:
    parameters = rules.object_of(f"{where}.parameters_json", action.parameters_json)
    return {"name": "review_and_pay", "parameters": parameters}


def _order_status(action: OrderStatus, where: str) -> dict[str, Any]:
    parameters = rules.object_of(f"{where}.parameters_json", action.parameters_json)
    return {"name": "review_order", "parameters": parameters}


def _json(said: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(said["parameters"])


_TO: Final[Mapping[str, Callable[[Any, str], dict[str, Any]]]] = {
    "reply_buttons": _reply_buttons,
    "option_list": _option_list,
    "url_button": _url_button,
    "flow": _flow,
    "voice_call": _voice_call,
    "address_form": _address_form,
    "product": product,
    "product_list": _product_list,
    "catalog": _catalog,
    "carousel": _carousel,
    "order_details": _order_details,
    "order_status": _order_status,
}
_FROM: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "reply_buttons": _reply_buttons_back,
    "option_list": lambda said: ParseDict(dict(said), OptionList()),
    "url_button": lambda said: UrlButton(**said["parameters"]),
    "flow": _flow_back,
    "voice_call": _voice_call_back,
    "address_form": _address_form_back,
    "product": product_back,
    "product_list": _product_list_back,
    "catalog": _catalog_back,
    "carousel": _carousel_back,
    "order_details": lambda said: OrderDetails(parameters_json=_json(said)),
    "order_status": lambda said: OrderStatus(parameters_json=_json(said)),
}
