"""The names that expressions may use by themselves; what the business declared comes besides.

Every event takes other properties than these too; their types are looked at when evaluating.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from expressions import Area, EventType, Registry
from expressions.registry import WEATHER
from expressions.schema import Spec

WEATHER_FIELDS: Final = (
    "temperature_c",
    "apparent_temperature_c",
    "humidity_percent",
    "precipitation_mm",
    "rain_mm",
    "snow_cm",
    "cloud_cover_percent",
    "wind_kmh",
    "gusts_kmh",
    "code",
)
"""What `weather()` says; `code` is of table 4677 of the WMO."""

ATTRIBUTES: Final[Mapping[str, Spec]] = {
    "first_name": "string",
    "last_name": "string",
    "name": "string",
    "profile_name": "string",
    "gender": "string",
    "birthday": "date",
    "age": "int",
    "city": "string",
    "region": "string",
    "country": "string",
    "market": "string",
    "language": "string",
    "email": "string",
    "phone": "string",
    "street": "string",
    "postal_code": "string",
    "state": "string",
    "title": "string",
    "company": "string",
    "plan": "string",
    "tags": "list<string>",
    "created_at": "timestamp",
    "traits.order_count": "int",
    "traits.cancelled_count": "int",
    "traits.refund_count": "int",
    "traits.message_count": "int",
    "traits.sent_count": "int",
    "traits.delivered_count": "int",
    "traits.read_count": "int",
    "traits.click_count": "int",
    "traits.reply_count": "int",
    "traits.failed_count": "int",
    "traits.order_total": "double",
    "traits.cancelled_total": "double",
    "traits.refund_total": "double",
    "traits.read_rate": "double",
    "traits.click_rate": "double",
    "traits.reply_rate": "double",
    "traits.first_order_time": "timestamp",
    "traits.last_order_time": "timestamp",
    "traits.first_message_time": "timestamp",
    "traits.last_message_time": "timestamp",
    "traits.last_sent_time": "timestamp",
    "traits.last_read_time": "timestamp",
    "traits.last_click_time": "timestamp",
    "traits.last_reply_time": "timestamp",
    "traits.average_order_value": "double",
    "traits.net_total": "double",
    "traits.category_affinity": "map",
    "traits.top_category": "string",
    "traits.top_product": "string",
    "traits.cart_open": "bool",
    "traits.cart_item_count": "int",
    "traits.cart_value": "double",
    "traits.cart_items": "list<string>",
    "traits.cart_update_time": "timestamp",
    "traits.last_order_id": "string",
    "traits.last_order_state": "string",
    "traits.content_response": "map",
    "traits.content_preference": "string",
    "traits.feedback_count": "int",
    "traits.feedback_score": "double",
    "traits.last_feedback_score": "double",
    "traits.complaint_count": "int",
    "traits.open_complaint": "bool",
    "traits.sentiment": "double",
    "traits.last_sentiment": "double",
    "traits.response_seconds": "int",
    "traits.engagement": "string",
    "traits.last_seen_time": "timestamp",
    "traits.device": "string",
    "traits.os": "string",
    "traits.browser": "string",
    "traits.last_location": {
        "latitude": "double",
        "longitude": "double",
        "accuracy_meters": "double",
    },
    "traits.last_location_time": "timestamp",
    WEATHER: {**dict.fromkeys(WEATHER_FIELDS, "double"), "code": "int"},
}

FIXED: Final = frozenset(
    {"stage", "zone", WEATHER, *(name for name in ATTRIBUTES if name.startswith("traits."))}
)
"""Attributes that Merhaba computes itself: nobody declares another type of them."""

_PRODUCT: Final[Mapping[str, Spec]] = {
    "product_id": "string",
    "sku": "string",
    "name": "string",
    "brand": "string",
    "category": "string",
    "variant": "string",
    "price": "double",
    "quantity": "int",
    "currency": "string",
    "url": "string",
    "image_url": "string",
}
_ORDER: Final[Mapping[str, Spec]] = {
    "order_id": "string",
    "cart_id": "string",
    "total": "double",
    "revenue": "double",
    "shipping": "double",
    "tax": "double",
    "discount": "double",
    "coupon": "string",
    "currency": "string",
    "products": [_PRODUCT],
}
_CART: Final[Mapping[str, Spec]] = {
    "cart_id": "string",
    "total": "double",
    "currency": "string",
    "products": [_PRODUCT],
}
_OUTCOME: Final[Mapping[str, Spec]] = {
    "message_id": "string",
    "campaign_id": "string",
    "template": "string",
    "variant": "string",
    "category": "string",
}
_VIEW: Final[Mapping[str, Spec]] = {
    "name": "string",
    "category": "string",
    "url": "string",
    "path": "string",
    "title": "string",
    "referrer": "string",
}
_NONE: Final[Mapping[str, Spec]] = {}

EVENTS: Final[Mapping[str, Mapping[str, Spec]]] = {
    # Conversations
    "message_received": {
        "kind": "string",
        "text": "string",
        "phone_number_id": "string",
        "payload": "string",
    },
    "message_edited": {"phone_number_id": "string"},
    "message_revoked": {"phone_number_id": "string"},
    "preference_changed": {"category": "string", "value": "string"},
    "call_changed": {"state": "string", "phone_number_id": "string"},
    # What became of messages
    "message_planned": _OUTCOME,
    "message_suppressed": {**_OUTCOME, "gate": "string", "reason": "string"},
    "message_sent": _OUTCOME,
    "message_delivered": _OUTCOME,
    "message_read": _OUTCOME,
    "message_played": _OUTCOME,
    "message_failed": {**_OUTCOME, "code": "int", "kind": "string"},
    "message_held": {**_OUTCOME, "reason": "string"},
    "message_clicked": {**_OUTCOME, "kind": "string", "target": "string"},
    "message_replied": _OUTCOME,
    "message_held_out": {**_OUTCOME, "group": "string"},
    # Links, pages, places
    "link_clicked": {"link_id": "string", "campaign_id": "string", "url": "string"},
    "page_viewed": _VIEW,
    "screen_viewed": _VIEW,
    "location_pinged": {
        "latitude": "double",
        "longitude": "double",
        "accuracy_meters": "double",
    },
    # Shopping, by the names that trackers use
    "products_searched": {"query": "string"},
    "product_list_viewed": {"list_id": "string", "category": "string", "products": [_PRODUCT]},
    "product_list_filtered": {"list_id": "string", "category": "string"},
    "product_clicked": _PRODUCT,
    "product_viewed": _PRODUCT,
    "product_added": {**_PRODUCT, "cart_id": "string"},
    "product_removed": {**_PRODUCT, "cart_id": "string"},
    "product_added_to_wishlist": {**_PRODUCT, "wishlist_id": "string"},
    "product_removed_from_wishlist": {**_PRODUCT, "wishlist_id": "string"},
    "wishlist_product_added_to_cart": {**_PRODUCT, "wishlist_id": "string", "cart_id": "string"},
    "product_shared": _PRODUCT,
    "product_reviewed": {"product_id": "string", "rating": "double"},
    "cart_viewed": _CART,
    "cart_shared": _CART,
    "cart_updated": _CART,
    "cart_abandoned": _CART,
    "checkout_started": _ORDER,
    "checkout_step_viewed": {"checkout_id": "string", "step": "int"},
    "checkout_step_completed": {"checkout_id": "string", "step": "int"},
    "payment_info_entered": {"checkout_id": "string", "payment_method": "string"},
    "order_completed": _ORDER,
    "order_updated": _ORDER,
    "order_refunded": _ORDER,
    "order_cancelled": _ORDER,
    "order_shipped": _ORDER,
    "order_delivered": _ORDER,
    "order_returned": _ORDER,
    "coupon_entered": {"coupon_id": "string", "coupon": "string"},
    "coupon_applied": {"coupon_id": "string", "coupon": "string", "discount": "double"},
    "coupon_denied": {"coupon_id": "string", "coupon": "string", "reason": "string"},
    "coupon_removed": {"coupon_id": "string", "coupon": "string", "discount": "double"},
    "promotion_viewed": {"promotion_id": "string", "name": "string"},
    "promotion_clicked": {"promotion_id": "string", "name": "string"},
    # What people think of us
    "feedback_given": {"score": "double"},
    "complaint_opened": {"complaint_id": "string"},
    "complaint_closed": {"complaint_id": "string"},
    "call_scored": {"sentiment": "double"},
    # Accounts
    "signed_up": _NONE,
    "signed_in": _NONE,
    "signed_out": _NONE,
    "subscribed": _NONE,
    "unsubscribed": _NONE,
    # The contact itself
    "consent_changed": {"purpose": "string", "granted": "bool", "channel": "string"},
    "contact_created": _NONE,
    "contact_merged": _NONE,
    "contact_split": _NONE,
    "attributes_set": _NONE,
    "identified": _NONE,
    "stage_changed": {"previous_stage": "string", "stage": "string"},
}

_AT_PLACE: Final[Mapping[str, Spec]] = {
    "place_id": "string",
    "name": "string",
    "labels": "list<string>",
    "latitude": "double",
    "longitude": "double",
    "accuracy_meters": "double",
}
CAUSES: Final[Mapping[str, Mapping[str, Spec]]] = {
    "place_entered": _AT_PLACE,
    "place_left": _AT_PLACE,
}
"""Events that only start triggers: the place, and where the contact was seen."""
ITEM: Final[Mapping[str, Spec]] = {
    "catalog_id": "string",
    "item_id": "string",
    "title": "string",
    "category": "string",
    "url": "string",
    "image_url": "string",
    "stock": "int",
    "price": "double",
    "former_price": "double",
    "currency_code": "string",
    "properties": "map",
}
"""What `item` says. Prices are in units of the currency; `former_price` is there after a drop."""


def registry(
    extra_events: Iterable[str] = (),
    extra_attributes: Mapping[str, str] | None = None,
    segments: Iterable[str] | None = None,
    areas: Mapping[str, Area] | None = None,
    weather: bool = True,
) -> Registry:
    """What is known by itself and what the business declared. `segments` None: any may be named,
    and any place. `areas`: where places are, looked up when evaluating. `weather`: whether
    somebody tells it.

    Raises ValueError for an attribute whose type is none.
    """
    properties = {**EVENTS, **{name: EVENTS.get(name, _NONE) for name in extra_events}}
    attributes = {**ATTRIBUTES, **(extra_attributes or {})}
    if not weather:
        del attributes[WEATHER]
    return Registry(
        attributes,
        {name: EventType(fields, open=True) for name, fields in properties.items()},
        causes=CAUSES,
        segments=segments,
        areas=areas,
        given={"item": ITEM},
        known_places=None if segments is None else areas,
    )
