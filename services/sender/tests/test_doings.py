"""What people did, as expressions of messages read it."""

from typing import Any

import pytest

from merhaba.event.v1 import Event
from services.sender.outside.doings import name_of, properties_of, split


def event(kind: str, **fields: Any) -> Event:
    return Event(**{kind: fields})


@pytest.mark.parametrize(
    ("said", "name", "properties"),
    [
        (
            event("tracked", name="order_completed", properties_json=b'{"total": 9.5}'),
            "order_completed",
            {"total": 9.5},
        ),
        (event("tracked", name="x", properties_json=b"no json"), "x", {}),
        (
            event("link_clicked", link_id="l", url="https://a.example"),
            "link_clicked",
            {"link_id": "l", "url": "https://a.example"},
        ),
        (
            event("page_viewed", name="Çanta", properties_json=b'{"sku": "c1"}'),
            "page_viewed",
            {"name": "Çanta", "sku": "c1"},
        ),
        (
            event("message_read", message={"campaign_id": "c", "template_name": "sepet"}),
            "message_read",
            {"campaign_id": "c", "template": "sepet"},
        ),
    ],
)
def test_events_have_the_names_and_properties_of_the_language(
    said: Event, name: str, properties: dict[str, Any]
) -> None:
    assert (name_of(said), properties_of(said)) == (name, properties)


def test_what_is_needed_is_asked_of_whoever_has_it() -> None:
    needs = ["city", "events.order_completed", "segments.vip", "traits.points"]
    assert split(needs) == (["city", "traits.points"], ["order_completed"], ["vip"])
