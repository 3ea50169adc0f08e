"""Words, places, address-book cards, reactions and pins."""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.json_format import MessageToDict, ParseDict

from merhaba.event.v1 import Location, Reaction
from merhaba.sender.v1 import ContactCard, ContactCards, Pin, Text
from services.sender.body import rules
from services.sender.body.rules import broken

_TEXT: Final = 4_096
_CARDS: Final = 257
_EMOJI: Final = 32  # code points; families and flags are of many
_PLACE: Final = 1_000
_PINNED_DAYS: Final = 30
_PINS: Final = {Pin.OPERATION_PIN: "pin", Pin.OPERATION_UNPIN: "unpin"}


def text_to_graph(text: Text, where: str) -> dict[str, Any]:
    """`text`."""
    preview = {"preview_url": text.preview_url} if text.HasField("preview_url") else {}
    return {"body": rules.text(f"{where}.body", text.body, _TEXT), **preview}


def text_from_graph(said: Mapping[str, Any]) -> Text:
    """The other way."""
    return Text(body=said["body"], preview_url=said.get("preview_url"))


def location_to_graph(location: Location, where: str) -> dict[str, Any]:
    """`location`."""
    return {
        "latitude": rules.within(f"{where}.latitude", location.latitude, -90, 90),
        "longitude": rules.within(f"{where}.longitude", location.longitude, -180, 180),
        **{
            field: rules.text(f"{where}.{field}", value, _PLACE)
            for field in ("name", "address")
            if (value := getattr(location, field))
        },
    }


def location_from_graph(said: Mapping[str, Any]) -> Location:
    """The other way."""
    return Location(
        latitude=float(said["latitude"]),
        longitude=float(said["longitude"]),
        name=said.get("name", ""),
        address=said.get("address", ""),
    )


def contacts_to_graph(cards: ContactCards, where: str) -> list[dict[str, Any]]:
    """`contacts`."""
    rules.count(f"{where}.cards", cards.cards, 1, _CARDS)
    return [_card(card, f"{where}.cards[{i}]") for i, card in enumerate(cards.cards)]


def _card(card: ContactCard, where: str) -> dict[str, Any]:
    rules.text(f"{where}.name.formatted_name", card.name.formatted_name, _PLACE)
    if len(card.name.ListFields()) < 2:
        raise broken(f"{where}.name", "required", "give one more part, such as first_name")
    found = MessageToDict(card, preserving_proto_field_name=True)
    if "organization" in found:
        found["org"] = found.pop("organization")
    return found


def contacts_from_graph(said: list[dict[str, Any]]) -> ContactCards:
    """The other way."""
    cards = []
    for one in said:
        card = {**one, "organization": one["org"]} if "org" in one else dict(one)
        card.pop("org", None)
        cards.append(ParseDict(card, ContactCard()))
    return ContactCards(cards=cards)


def reaction_to_graph(reaction: Reaction, where: str) -> dict[str, Any]:
    """`reaction`; without an emoji it is taken back."""
    return {
        "message_id": rules.wamid(f"{where}.wamid", reaction.wamid),
        "emoji": rules.text(f"{where}.emoji", reaction.emoji, _EMOJI, required=False),
    }


def reaction_from_graph(said: Mapping[str, Any]) -> Reaction:
    """The other way."""
    return Reaction(wamid=said["message_id"], emoji=said["emoji"])


def pin_to_graph(pin: Pin, where: str) -> dict[str, Any]:
    """`pin`."""
    if pin.operation not in _PINS:
        raise broken(f"{where}.operation", "required", "say whether to pin or to unpin")
    found: dict[str, Any] = {
        "type": _PINS[pin.operation],
        "message_id": rules.wamid(f"{where}.wamid", pin.wamid),
    }
    if pin.expiration_days:
        days = rules.within(f"{where}.expiration_days", pin.expiration_days, 1, _PINNED_DAYS)
        found["expiration_days"] = int(days)
    return found


def pin_from_graph(said: Mapping[str, Any]) -> Pin:
    """The other way."""
    operations = {word: operation for operation, word in _PINS.items()}
    return Pin(
        operation=operations[said["type"]],
        wamid=said["message_id"],
        expiration_days=said.get("expiration_days", 0),
    )
