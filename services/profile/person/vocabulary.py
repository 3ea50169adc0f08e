"""What can be known of people: the attributes and events that are there without registering. Pure.

The business's own are registered by it, or as they are seen.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from expressions import Registry
from expressions.schema import Spec
from services.profile.person import traits
from services.profile.person.model import ValueType

SPECS: Final[Mapping[ValueType, Spec]] = {
    ValueType.STRING: "string",
    ValueType.INTEGER: "int",
    ValueType.NUMBER: "double",
    ValueType.BOOLEAN: "bool",
    ValueType.TIMESTAMP: "timestamp",
    ValueType.DATE: "date",
    ValueType.STRING_LIST: "list<string>",
    ValueType.NUMBER_LIST: "list<double>",
    ValueType.NUMBER_MAP: "map",
    ValueType.LOCATION: {
        "latitude": "double",
        "longitude": "double",
        "accuracy_meters": "double",
    },
    ValueType.JSON: "dyn",
}
"""The types as expressions have them."""


class AttributeType(NamedTuple):
    """The registration of an attribute or trait."""

    name: str
    type: ValueType
    description: str = ""
    category: str = ""
    """The data category whose retention and disclosure apply."""
    personal: bool = False
    """Whether it identifies the person, or is sensitive."""
    allowed: tuple[bytes, ...] = ()
    """The only values allowed, as JSON; empty is any."""
    max_age: int = 0
    """A value older than this (ms) no longer counts; 0 is never."""
    computed: bool = False
    revision: int = 0
    """Counts changes of the registration; 0 of what is built in and was never changed."""


class EventType(NamedTuple):
    """The registration of an event."""

    name: str
    description: str = ""
    properties: Mapping[str, ValueType] = {}
    category: str = ""
    built_in: bool = False
    last_time: int = 0
    """When one was last seen, to the minute; 0 is never."""
    revision: int = 0


def _told(name: str, kind: ValueType, description: str, personal: bool = False) -> AttributeType:
    return AttributeType(name, kind, description, "identity" if personal else "contact", personal)


_TOLD: Final = (
    _told("first_name", ValueType.STRING, "First name", personal=True),
    _told("last_name", ValueType.STRING, "Last name", personal=True),
    _told("name", ValueType.STRING, "Full name", personal=True),
    _told("profile_name", ValueType.STRING, "Name on the WhatsApp profile", personal=True),
    _told("email", ValueType.STRING, "E-mail address", personal=True),
    _told("phone", ValueType.STRING, "Phone number", personal=True),
    _told("birthday", ValueType.DATE, "Day of birth", personal=True),
    _told("age", ValueType.INTEGER, "Age in years"),
    _told("gender", ValueType.STRING, "Gender, as the business writes it"),
    _told("street", ValueType.STRING, "Street and number", personal=True),
    _told("postal_code", ValueType.STRING, "Postal code"),
    _told("city", ValueType.STRING, "City"),
    _told("region", ValueType.STRING, "Region or state"),
    _told("state", ValueType.STRING, "State or province"),
    _told("country", ValueType.STRING, "Country, ISO 3166 alpha-2 where it is known"),
    _told("market", ValueType.STRING, "The business's own market"),
    _told("language", ValueType.STRING, "Language, BCP 47"),
    _told("zone", ValueType.STRING, "Time zone, IANA name"),
    _told("company", ValueType.STRING, "Company"),
    _told("title", ValueType.STRING, "Title or position"),
    _told("plan", ValueType.STRING, "Plan or tier"),
    _told("tags", ValueType.STRING_LIST, "Labels"),
    _told("created_at", ValueType.TIMESTAMP, "When the business first knew the person"),
)

BEHAVIOUR: Final = "behaviour"
CONSENT: Final = "consent"
EVENT_CATEGORIES: Final[Mapping[str, str]] = {
    event: category
    for category, events in {
        "message_content": (
            *("message_received", "message_edited", "message_revoked", "message_echoed"),
            *("feedback_given", "complaint_opened", "complaint_closed", "call_scored"),
        ),
        "transaction": (
            *("checkout_started", "order_completed", "order_updated", "order_shipped"),
            *("order_delivered", "order_cancelled", "order_refunded", "order_returned"),
        ),
        "location": ("location_pinged",),
        "preference": ("preference_changed",),
        "identity": (
            *("identified", "aliased", "user_id_changed", "contact_merged", "contact_split"),
        ),
        "contact": ("contact_created", "contact_synced", "attributes_set", "grouped"),
        CONSENT: (
            *("consent_changed", "consent_granted", "consent_withdrawn", "restriction_changed"),
        ),
    }.items()
    for event in events
}
"""Data categories of Merhaba's own events; the others are behaviour."""
ENGAGEMENT: Final = "traits.engagement"
STAGE: Final = "stage"

ATTRIBUTES: Final[Mapping[str, AttributeType]] = {
    one.name: one
    for one in (
        *_TOLD,
        *(
            AttributeType(
                f"traits.{trait.name}",
                trait.type,
                trait.description,
                "location" if trait.type == ValueType.LOCATION else BEHAVIOUR,
                personal=trait.type == ValueType.LOCATION,
                computed=True,
            )
            for trait in traits.TRAITS.values()
        ),
        AttributeType(
            ENGAGEMENT,
            ValueType.STRING,
            "high, medium or low: how much the person does with us, compared to everybody",
            BEHAVIOUR,
            computed=True,
        ),
        AttributeType(
            STAGE,
            ValueType.STRING,
            "Where the person stands in the customer journey",
            BEHAVIOUR,
            computed=True,
        ),
    )
}
"""Attributes that are there without registering, by name."""


def _event(name: str, description: str, /, **properties: ValueType) -> EventType:
    category = EVENT_CATEGORIES.get(name, BEHAVIOUR)
    return EventType(name, description, properties, category, built_in=True)


_PRODUCT: Final = {
    "product_id": ValueType.STRING,
    "category": ValueType.STRING,
    "price": ValueType.NUMBER,
    "quantity": ValueType.INTEGER,
}
_ORDER: Final = {
    "order_id": ValueType.STRING,
    "total": ValueType.NUMBER,
    "products": ValueType.JSON,
}
_MESSAGE: Final = {
    "message_id": ValueType.STRING,
    "campaign_id": ValueType.STRING,
    "template": ValueType.STRING,
    "variant": ValueType.STRING,
    "category": ValueType.STRING,
}
_VIEW: Final = {"name": ValueType.STRING, "category": ValueType.STRING, "url": ValueType.STRING}

EVENTS: Final[Mapping[str, EventType]] = {
    one.name: one
    for one in (
        _event(
            "message_received",
            "The person wrote to us",
            kind=ValueType.STRING,
            text=ValueType.STRING,
            phone_number_id=ValueType.STRING,
            payload=ValueType.STRING,
        ),
        _event("message_sent", "A message left", **_MESSAGE),
        _event("message_delivered", "A message reached the person", **_MESSAGE),
        _event("message_read", "The person saw a message", **_MESSAGE),
        _event("message_clicked", "The person tapped a button or link", **_MESSAGE),
        _event("message_replied", "The person answered a message", **_MESSAGE),
        _event("message_failed", "A message will not arrive", **_MESSAGE),
        _event("link_clicked", "The person opened a tracked link", url=ValueType.STRING),
        _event("page_viewed", "The person looked at a page", **_VIEW),
        _event("screen_viewed", "The person looked at a screen of the app", **_VIEW),
        _event(
            "location_pinged",
            "The person's device said where it is",
            latitude=ValueType.NUMBER,
            longitude=ValueType.NUMBER,
        ),
        _event("product_viewed", "The person looked at a product", **_PRODUCT),
        _event("product_clicked", "The person chose a product from a list", **_PRODUCT),
        _event("product_shared", "The person shared a product", **_PRODUCT),
        _event("product_reviewed", "The person reviewed a product", rating=ValueType.NUMBER),
        _event("product_added", "A product was put into the cart", **_PRODUCT),
        _event("product_removed", "A product was taken out of the cart", **_PRODUCT),
        _event("product_added_to_wishlist", "A product was put on the wish list", **_PRODUCT),
        _event("cart_viewed", "The person looked at the cart", **_ORDER),
        _event("cart_updated", "The cart changed", **_ORDER),
        _event("checkout_started", "The person began to check out", **_ORDER),
        _event("order_completed", "The person placed an order", **_ORDER),
        _event("order_updated", "An order changed", **_ORDER),
        _event("order_shipped", "An order was shipped", **_ORDER),
        _event("order_delivered", "An order was delivered", **_ORDER),
        _event("order_cancelled", "An order was cancelled", **_ORDER),
        _event("order_refunded", "Money was paid back", **_ORDER),
        _event("order_returned", "An order was sent back", **_ORDER),
        _event("feedback_given", "The person rated us", score=ValueType.NUMBER),
        _event("complaint_opened", "The person complained", complaint_id=ValueType.STRING),
        _event("complaint_closed", "A complaint was settled", complaint_id=ValueType.STRING),
        _event("call_scored", "Somebody scored a call", sentiment=ValueType.NUMBER),
        _event("identified", "The business told who somebody is"),
        _event("attributes_set", "Attributes were set, or computed anew"),
        _event(
            "consent_changed",
            "The person agreed to something, or no longer",
            purpose=ValueType.STRING,
            granted=ValueType.BOOLEAN,
            channel=ValueType.STRING,
        ),
        _event(
            "stage_changed",
            "The person moved to another stage",
            previous_stage=ValueType.STRING,
            stage=ValueType.STRING,
        ),
        _event("contact_created", "The person was seen for the first time"),
        _event("contact_merged", "Two contacts turned out to be one person"),
        _event("contact_split", "A contact turned out to be another person's"),
    )
}
"""Events that are there without registering, by name."""


def registry(attributes: Iterable[AttributeType]) -> Registry:
    """The names that rules of stages may use: what is known of a contact, not what it did."""
    return Registry({one.name: SPECS[one.type] for one in attributes if one.name != STAGE})


def inferred(value: Any) -> ValueType:
    """The type that a value is taken to be of when nobody registered it."""
    match value:
        case bool():
            return ValueType.BOOLEAN
        case int():
            return ValueType.INTEGER
        case float():
            return ValueType.NUMBER
        case str():
            return ValueType.STRING
        case [_, *_] if all(isinstance(one, str) for one in value):
            return ValueType.STRING_LIST
        case [_, *_] if all(isinstance(one, int | float) for one in value):
            return ValueType.NUMBER_LIST
        case _:
            return ValueType.JSON
