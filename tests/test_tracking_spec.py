"""The names of the tracking API's e-commerce spec (version 2) mean the same at both ends: as a
tracker writes them at the front door, and as expressions know them."""

from datetime import UTC, datetime

import pytest

from services.ingest.track import occurrence
from services.segment.vocabulary import EVENTS

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
NAMES = [
    # Browsing
    "Products Searched",
    "Product List Viewed",
    "Product List Filtered",
    # Promotions
    "Promotion Viewed",
    "Promotion Clicked",
    # Ordering
    "Product Clicked",
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Cart Viewed",
    "Checkout Started",
    "Checkout Step Viewed",
    "Checkout Step Completed",
    "Payment Info Entered",
    "Order Completed",
    "Order Updated",
    "Order Refunded",
    "Order Cancelled",
    # Coupons
    "Coupon Entered",
    "Coupon Applied",
    "Coupon Denied",
    "Coupon Removed",
    # Wishlists
    "Product Added to Wishlist",
    "Product Removed from Wishlist",
    "Wishlist Product Added to Cart",
    # Sharing and reviewing
    "Product Shared",
    "Cart Shared",
    "Product Reviewed",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_spec_arrives_as_the_name_that_expressions_know(name: str) -> None:
    call = {"type": "track", "event": name, "userId": "c1", "messageId": "m1"}
    found = occurrence(call, "shop", int(NOW.timestamp() * 1000), NOW.isoformat(), "TR")
    assert found.body["name"] == name.lower().replace(" ", "_")
    assert found.body["name"] in EVENTS
