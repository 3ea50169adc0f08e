"""Every ready definition: made over gRPC, with somebody who is in and somebody who is not, decided
alike by the service and by the oracle."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import orjson
import pytest

from expressions.oracle import Happening, Oracle, Person
from merhaba.event.v1 import ConsentChanged, Event, PlaceChanged
from merhaba.segment.v1 import (
    CheckMembershipRequest,
    CreateSegmentRequest,
    ListSegmentDefinitionsRequest,
    Segment,
)
from services.segment.defining import ready
from services.segment.engine.rules import ALLOWED_UNLESS_WITHDRAWN
from services.segment.engine.things import PlaceRecord, area
from services.segment.vocabulary import registry

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SHOP = PlaceRecord("kadikoy", 1, latitude=40.9903, longitude=29.0275, radius=50)
REGISTRY = registry((), {"churn_score": "double"}, areas={"kadikoy": area(SHOP)})
CHOSEN = {"near_place": {"place": "kadikoy"}, "predicted": {"attribute": "churn_score"}}


@dataclass
class Someone:
    """What is known of somebody, in ages before now."""

    attributes: dict[str, Any]
    happened: tuple[tuple[Any, ...], ...] = ()
    """Name, age and properties."""
    consent: bool = False


def knows(**attributes: Any) -> Someone:
    """Traits are written `traits_x`."""
    return Someone({n.replace("traits_", "traits.", 1): v for n, v in attributes.items()})


def did(*happened: tuple[Any, ...], **attributes: Any) -> Someone:
    return Someone(knows(**attributes).attributes, happened)


ORDER, CART = "order_completed", "cart_updated"
NEAR = {"latitude": 40.9910, "longitude": 29.0275, "accuracy_meters": 5.0}
FAR = {"latitude": 40.9990, "longitude": 29.0275, "accuracy_meters": 5.0}
CASES: dict[str, tuple[Someone, Someone]] = {
    **{
        f"engagement_{level}": (knows(traits_engagement=level), knows(traits_engagement=other))
        for level, other in (("high", "low"), ("medium", "high"), ("low", "medium"))
    },
    "active_recently": (did(("message_read", DAY)), did(("message_read", 8 * DAY))),
    "buyers_frequent": (
        did((ORDER, DAY), (ORDER, 30 * DAY), (ORDER, 89 * DAY)),
        did((ORDER, DAY), (ORDER, 30 * DAY), (ORDER, 91 * DAY)),
    ),
    "buyers_occasional": (
        did((ORDER, DAY), (ORDER, 300 * DAY)),
        did((ORDER, DAY), (ORDER, 30 * DAY), (ORDER, 300 * DAY)),
    ),
    "buyers_new": (
        knows(traits_first_order_time=29 * DAY),
        knows(traits_first_order_time=31 * DAY),
    ),
    "buyers_lapsed": (
        knows(traits_order_count=2, traits_last_order_time=181 * DAY),
        knows(traits_order_count=2, traits_last_order_time=179 * DAY),
    ),
    "buyers_never": (
        did(("product_viewed", 100 * DAY)),
        did(("product_viewed", 100 * DAY), (ORDER, 900 * DAY)),
    ),
    "big_spenders": (knows(traits_net_total=10_000.0), knows(traits_net_total=9_999.0)),
    "prefers_visual": (knows(traits_content_preference="media"), knows()),
    "prefers_text": (
        knows(traits_content_preference="text"),
        knows(traits_content_preference="media"),
    ),
    "cart_abandoned_24h": (
        did((ORDER, 5 * HOUR), (CART, 2 * HOUR)),
        did((CART, 2 * HOUR), (ORDER, HOUR / 2)),
    ),
    "cart_valuable": (
        knows(traits_cart_open=True, traits_cart_value=1_000.0),
        knows(traits_cart_open=False, traits_cart_value=5_000.0),
    ),
    "rfm_champions": (
        knows(traits_last_order_time=DAY, traits_order_count=5, traits_net_total=5_000.0),
        knows(traits_last_order_time=31 * DAY, traits_order_count=5, traits_net_total=5_000.0),
    ),
    "rfm_loyal": (
        knows(traits_last_order_time=80 * DAY, traits_order_count=5),
        knows(traits_last_order_time=80 * DAY, traits_order_count=4),
    ),
    "rfm_at_risk": (
        knows(traits_last_order_time=91 * DAY, traits_order_count=1, traits_net_total=2_000.0),
        knows(traits_last_order_time=91 * DAY, traits_order_count=1, traits_net_total=200.0),
    ),
    "rfm_cell": (
        knows(traits_last_order_time=60 * DAY, traits_order_count=3, traits_net_total=600.0),
        knows(traits_last_order_time=60 * DAY, traits_order_count=5, traits_net_total=600.0),
    ),
    "birthday_today": (knows(birthday="1990-11-22"), knows(birthday="1990-11-23")),
    "language": (knows(language="tr-TR"), knows(language="trv")),
    "near_place": (
        knows(traits_last_location=NEAR, traits_last_location_time=HOUR / 2),
        knows(traits_last_location=FAR, traits_last_location_time=HOUR / 2),
    ),
    "journey_stage": (knows(stage="consideration"), knows(stage="purchase")),
    "stage_reached": (
        did(("stage_changed", DAY, {"stage": "purchase"}), stage="purchase"),
        did(("stage_changed", 8 * DAY, {"stage": "purchase"}), stage="purchase"),
    ),
    "predicted": (knows(churn_score=0.8), knows(churn_score=0.79)),
    "unhappy": (knows(traits_open_complaint=True), knows(traits_sentiment=-0.3)),
    "no_reply": (
        did(("message_read", 2 * DAY)),
        did(("message_read", 2 * DAY), ("message_received", 1.5 * DAY)),
    ),
    "may_be_told": (Someone({}, consent=True), Someone({})),
}


def value(given: Any, now: datetime) -> Any:
    return (now - given).isoformat() if isinstance(given, timedelta) else given


def persona(one: Someone, now: datetime) -> Person:
    """For the oracle."""
    ms = int(now.timestamp() * 1000)
    return Person(
        {name: value(v, now) for name, v in one.attributes.items()},
        dict.fromkeys(ALLOWED_UNLESS_WITHDRAWN, True) | {"marketing": one.consent},
        happenings=tuple(
            Happening(name, ms - int(age / timedelta(milliseconds=1)), *rest)
            for name, age, *rest in one.happened
        ),
    )


def events(suite: Any, contact: str, one: Someone) -> list[Event]:
    """For the service."""
    told = [
        suite.tracked(contact, name, orjson.dumps(rest[0]).decode() if rest else "{}", age)
        for name, age, *rest in one.happened
        if name != "stage_changed"
    ]
    for name, age, *rest in one.happened:
        if name == "stage_changed":
            event = suite.tracked(contact, name, ago=age)
            event.stage_changed.stage = rest[0]["stage"]
            told.append(event)
    facts = [
        (name, orjson.dumps(value(v, suite.now)).decode()) for name, v in one.attributes.items()
    ]
    told.append(suite.tracked(contact, "product_clicked", changes=facts))
    if one.consent:
        event = suite.tracked(contact, "x")
        event.consent_changed.CopyFrom(ConsentChanged(purpose="marketing", granted=True))
        told.append(event)
    return told


def test_there_is_a_case_for_every_definition() -> None:
    assert set(CASES) == set(ready.BY_NAME)
    assert len(ready.BY_NAME) == len(ready.READY)


async def test_every_definition_is_made_and_decides_as_the_oracle_does(suite: Any) -> None:
    place = suite.tracked(str(uuid4()), "x")
    place.contact_id = ""
    place.place_changed.CopyFrom(
        PlaceChanged(
            place_id=SHOP.place_id,
            latitude=SHOP.latitude,
            longitude=SHOP.longitude,
            radius_meters=SHOP.radius,
        )
    )
    await suite.things.handle([place.SerializeToString()])
    listed = await suite.segments.ListSegmentDefinitions(ListSegmentDefinitionsRequest())
    made: dict[str, str] = {}
    for one in listed.definitions:
        segment = Segment(name=one.name, definition_name=one.name)
        answer = await suite.segments.CreateSegment(
            CreateSegmentRequest(segment=segment, definition_parameters=CHOSEN.get(one.name, {}))
        )
        assert answer.segment.state == Segment.STATE_ACTIVE
        assert "{" not in answer.segment.expression
        made[one.name] = answer.segment.segment_id
    people = {(name, at): str(uuid4()) for name in CASES for at in (0, 1)}
    for (name, at), contact in people.items():
        await suite.hear(*events(suite, contact, CASES[name][at]))
    for (name, at), contact in people.items():
        source = ready.filled(ready.BY_NAME[name], CHOSEN.get(name))
        now_ms = int(suite.now.timestamp() * 1000)
        meant = Oracle(source, REGISTRY).evaluate(persona(CASES[name][at], suite.now), now_ms)
        assert (meant is True) == (at == 0), (name, at, "the oracle")
        request = CheckMembershipRequest(contact_ids=[contact], segment_ids=[made[name]])
        (found,) = (await suite.segments.CheckMembership(request)).memberships
        assert found.member == (at == 0), (name, at, "the service")


@pytest.mark.parametrize(
    ("born", "today", "zone", "is_it"),
    [
        ("1992-02-29", date(2027, 2, 28), "Europe/Istanbul", True),
        ("1992-02-29", date(2027, 3, 1), "Europe/Istanbul", False),
        ("1992-02-29", date(2028, 2, 28), "Europe/Istanbul", False),
        ("1992-02-29", date(2028, 2, 29), "Europe/Istanbul", True),
        ("1990-05-17", date(2026, 5, 17), "Pacific/Auckland", True),
    ],
)
def test_who_was_born_on_29_february_has_a_birthday_every_year(
    born: str, today: date, zone: str, is_it: bool
) -> None:
    noon = datetime(today.year, today.month, today.day, 12, tzinfo=ZoneInfo(zone))
    person = Person({"birthday": born}, zone=zone)
    source = ready.filled(ready.BY_NAME["birthday_today"])
    assert Oracle(source, REGISTRY).evaluate(person, int(noon.timestamp() * 1000)) is is_it


async def test_definitions_are_listed_in_both_languages_by_category_and_name(suite: Any) -> None:
    request = ListSegmentDefinitionsRequest(language="tr", page_size=10)
    found = []
    while True:
        page = await suite.segments.ListSegmentDefinitions(request)
        found += page.definitions
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert [(one.category, one.name) for one in found] == sorted(
        (one.category, one.name) for one in ready.READY
    )
    named = {one.name: one for one in found}
    assert named["birthday_today"].display_name == "Bugün doğum günü olanlar"
    (place, distance, _) = named["near_place"].parameters
    assert (place.type, place.default_json) == ("place", b"")
    assert (distance.type, distance.default_json) == ("distance", b'"500m"')
    english = await suite.segments.ListSegmentDefinitions(ListSegmentDefinitionsRequest())
    for one in english.definitions:
        assert one.display_name and one.description
        assert one.description != named[one.name].description


def test_the_page_for_marketing_names_every_definition() -> None:
    page = (Path(__file__).parents[3] / "docs" / "tr" / "segmentler.md").read_text()
    assert [name for name in ready.BY_NAME if f"`{name}`" not in page] == []


def test_a_definition_is_filled_with_what_fits_it() -> None:
    frequent = ready.BY_NAME["buyers_frequent"]
    assert ready.filled(frequent, {"orders": "5"}).endswith('within("90d").count() >= 5')
    with pytest.raises(ValueError, match="orders: many is no int"):
        ready.filled(frequent, {"orders": "many"})
    with pytest.raises(ValueError, match="nothing is no parameter"):
        ready.filled(frequent, {"nothing": 1})
    with pytest.raises(ValueError, match="place must be chosen"):
        ready.filled(ready.BY_NAME["near_place"])
    quoted = ready.filled(ready.BY_NAME["journey_stage"], {"stage": 'a" || true || "'})
    assert quoted == 'stage() == "a\\" || true || \\""'
