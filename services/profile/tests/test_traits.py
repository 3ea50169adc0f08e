"""Traits: the same for any order of the same events, and for any way of joining their parts."""

from collections.abc import Sequence
from copy import deepcopy
from functools import reduce
from random import Random
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.profile.person import attributes, tongue, traits
from services.profile.person.model import Document, Fact, Happening
from services.profile.person.traits import engagement, sentiment

DAY = 86_400_000
NOW = 20_000 * DAY


def happening(event_id: str, name: str, time: int = NOW, **properties: Any) -> Happening:
    amount = properties.pop("amount", 0)
    return Happening(event_id, name, time, 0, "test", amount=amount, properties=properties)


def folded(happenings: Sequence[Happening], into: Document | None = None) -> Document:
    document = into or Document(0)
    for one in happenings:
        traits.count(document, one)
    return document


def values(document: Document) -> dict[str, Any]:
    return {
        name: orjson.loads(traits.value_json(document, name)) for name in traits.names(document)
    }


def after(*events: tuple[str, dict[str, Any]], step: int = 1000) -> dict[str, Any]:
    found = [
        happening(str(n), name, NOW + n * step, **more) for n, (name, more) in enumerate(events)
    ]
    return values(folded(found))


_SKUS = st.sampled_from(["a", "b", "c", "d", *(f"sku{n}" for n in range(60))])
_PRODUCT = st.fixed_dictionaries(
    {"product_id": _SKUS},
    optional={
        "category": st.sampled_from(["dress", "shoe", "hat", *(f"c{n}" for n in range(50))]),
        "price": st.sampled_from([1, 9.99, 120.5, "12.5", None, -3]),
        "quantity": st.sampled_from([1, 2, "3", 0, None]),
    },
)
_NAMES = sorted(engagement.SORT.events | {n for t in traits.TRAITS.values() for n in t.events})
_PROPERTIES = st.one_of(
    _PRODUCT,
    st.fixed_dictionaries(
        {"products": st.lists(_PRODUCT, max_size=8)}, optional={"total": st.integers(0, 500)}
    ),
    st.fixed_dictionaries({"order_id": st.sampled_from([f"o{n}" for n in range(30)])}),
    st.fixed_dictionaries({"complaint_id": st.sampled_from(["1", "2", 3])}),
    st.fixed_dictionaries({"score": st.sampled_from([1, 4.5, 10, "x", float("nan")])}),
    st.fixed_dictionaries(
        {"text": st.sampled_from(["çok kötü", "great, thanks", "ok", "😡😡"])},
        optional={"tongue": st.sampled_from(["tr", "en"]), "kind": st.just("text")},
    ),
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["image", "text", "order"])},
        optional={"message_time": st.integers(NOW - 9 * DAY, NOW)},
    ),
    st.fixed_dictionaries(
        {"device": st.sampled_from(["mobile", "desktop", ""]), "browser": st.just("Chrome")},
        optional={"locale": st.just("tr-TR"), "device_zone": st.just("Europe/Paris")},
    ),
    st.fixed_dictionaries({"latitude": st.floats(-90, 90), "longitude": st.floats(-180, 180)}),
    st.fixed_dictionaries({"sentiment": st.floats(-2, 2)}),
)
# A few close times, so that many are the same, and some over a year apart, so that parts are let go
_TIMES = st.one_of(
    st.integers(NOW - 2, NOW + 2), st.integers(NOW - 900 * DAY, NOW), st.integers(-DAY, DAY)
)
_EVENTS = st.lists(st.tuples(st.sampled_from(_NAMES), _TIMES, _PROPERTIES), max_size=120)


@settings(max_examples=120, deadline=None)
@given(_EVENTS, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_and_any_parts_of_the_same_events_give_the_same(
    events: list[tuple[str, int, dict[str, Any]]], random: Random, parts: int
) -> None:
    happenings = [
        Happening(f"e{n}", name, time, 0, "test", amount=n, properties=properties)
        for n, (name, time, properties) in enumerate(events)
    ]
    straight = folded(happenings)
    shuffled = random.sample(happenings, len(happenings))
    assert folded(shuffled) == straight
    members = [folded(shuffled[n::parts]) for n in range(parts)]
    random.shuffle(members)
    for member in members[1:]:
        traits.join(members[0], member)
    assert members[0] == straight
    assert values(members[0]) == values(straight)


@settings(max_examples=40, deadline=None)
@given(st.tuples(_EVENTS, _EVENTS, _EVENTS))
def test_joining_is_commutative_and_associative(
    several: tuple[list[tuple[str, int, dict[str, Any]]], ...],
) -> None:
    a, b, c = (
        folded(
            [
                Happening(f"{who}{n}", name, time, 0, "test", properties=properties)
                for n, (name, time, properties) in enumerate(events)
            ]
        )
        for who, events in zip("abc", several, strict=True)
    )

    def joined(one: Document, other: Document) -> Document:
        into = deepcopy(one)
        traits.join(into, other)
        return into

    assert joined(a, b) == joined(b, a)
    assert joined(joined(a, b), c) == joined(a, joined(b, c))


@settings(max_examples=40, deadline=None)
@given(_EVENTS)
def test_what_changed_is_what_is_named(events: list[tuple[str, int, dict[str, Any]]]) -> None:
    document = Document(0)
    for n, (name, time, properties) in enumerate(events):
        before = values(document)
        changed = traits.count(
            document, Happening(f"e{n}", name, time, 0, "test", properties=properties)
        )
        now = values(document)
        differ = {t for t in before | now if before.get(t) != now.get(t)}
        assert set(changed) == {t for t in differ if traits.TRAITS[t].published}
        assert {t: orjson.loads(json) if json else None for t, json in changed.items()} == {
            t: now.get(t) for t in changed
        }
        assert set(changed) <= set(traits.affected(name))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1, True, "x"]), st.integers(0, 12)), min_size=1),
    st.randoms(use_true_random=False),
    st.integers(1, 4),
)
def test_since_when_a_value_holds_does_not_depend_on_the_order_it_was_said_in(
    said: list[tuple[Any, int]], random: Random, parts: int
) -> None:
    facts = [Fact(value, time, tie, "test") for tie, (value, time) in enumerate(said)]
    whole = reduce(Fact.joined, facts)
    random.shuffle(facts)
    members = [reduce(Fact.joined, facts[n::parts]) for n in range(parts) if facts[n::parts]]
    random.shuffle(members)
    found = reduce(Fact.joined, members)
    assert (found.value, found.time, found.change_time) == (
        whole.value,
        whole.time,
        whole.change_time,
    )
    assert found.joined(facts[0]) == found.joined(facts[0]).joined(facts[0])
    others = [t for v, t in said if type(v) is not type(found.value)]
    assert max([t for t in others if t < found.time], default=-1) <= found.change_time
    assert found.change_time <= found.time


def test_a_value_holds_since_it_was_first_said_or_changed() -> None:
    def since(*said: tuple[str, int]) -> int:
        return reduce(Fact.joined, [Fact(v, t, 0, "test") for v, t in said]).change_time

    assert since(("a", 5)) == 5
    assert since(*(("a", t) for t in range(3, 90))) == 3
    assert since(("a", 1), ("b", 10), ("b", 20)) == 10
    assert since(("b", 20), ("b", 10), ("a", 1)) == 10
    assert since(("a", 1), ("b", 10), ("b", 20), ("a", 15)) == 20
    assert 10 <= since(("a", 1), *(("b", t) for t in range(10, 90))) <= 89


@pytest.mark.parametrize(
    ("text", "language"),
    [
        *(
            ("siparişim nerede?", "tr"),
            ("iade etmek istiyorum", "tr"),
            ("kargo ne zaman gelir", "tr"),
        ),
        *(("where is my order?", "en"), ("do you have it in size 38?", "en")),
        *(("Wo ist meine Bestellung?", "de"), ("أين طلبي", "ar"), ("где мой заказ", "ru")),
        *(("ok", ""), ("38", ""), ("evet", ""), ("👍👍👍👍👍👍", "")),
    ],
)
def test_the_language_of_a_short_text_is_found_or_left_open(text: str, language: str) -> None:
    assert tongue.detect(text) == language


def test_what_people_write_in_tells_more_than_their_device_and_less_than_they() -> None:
    said = [happening(str(n), "message_received", NOW + n, tongue="tr") for n in range(2)]
    clicked = happening("c", "link_clicked", locale="de-DE")
    assert attributes.language(folded([clicked]))[:2] == ("de-DE", "device")
    assert attributes.language(folded([clicked, *said[:1]]))[:2] == ("de-DE", "device")
    assert attributes.language(folded([clicked, *said])) == ("tr", "messages", NOW + 1)
    mixed = [happening(f"m{n}", "message_received", NOW, tongue="en") for n in range(2)]
    assert attributes.language(folded([clicked, *said, *mixed]))[1] == "device"
    document = folded(said)
    document.attributes["language"] = Fact("fr_FR", 1, 1, "crm")
    assert attributes.language(document) == ("fr-FR", "declared", 1)


def test_the_zone_is_declared_or_the_devices_or_the_only_one_of_the_country() -> None:
    document = folded([happening("1", "page_viewed", device_zone="Asia/Baku")])
    assert attributes.zone(document) == ("Asia/Baku", "device", NOW)
    document = folded([happening("1", "page_viewed", device_zone="Nowhere")])
    document.attributes["country"] = Fact("tr", 7, 1, "crm")
    assert attributes.zone(document) == ("Europe/Istanbul", "country", 7)
    document.attributes["country"] = Fact("US", 7, 1, "crm")
    assert attributes.zone(document) == ("", "", 0)


def test_what_is_kept_is_bounded_whatever_a_person_does() -> None:
    products = [{"product_id": f"p{n}", "category": f"c{n}"} for n in range(100)]
    document = Document(0)
    for n in range(600):
        time = NOW - n * DAY
        for name in ("product_viewed", "cart_updated", "order_completed", "complaint_opened"):
            more = {"products": products, "order_id": f"o{n}", "complaint_id": f"{n}"}
            traits.count(document, happening(f"{name}{n}", name, time, **more))
    assert len(msgspec.msgpack.encode(document)) < 30_000
    assert len(document.tallies.fading["products"]) == 26
    assert {len(sums) for sums in document.tallies.fading["products"].values()} == {32}
    assert len(document.tallies.newest["cart"]) == 50


def test_every_value_is_of_its_type_and_survives_storage() -> None:
    document = folded(
        [
            happening("1", "order_completed", amount=9_990_000, order_id=7, product_id="a"),
            happening("2", "message_received", text="harika", latitude=41.0, longitude=29.0),
        ]
    )
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(document), type=Document)
    assert stored == document
    assert values(stored) == values(document)
    assert set(traits.names(document)) == values(document).keys()
    assert orjson.loads(traits.value_json(document, "last_order_id")) == "7"
    assert traits.value_json(document, "cart_value") == b""


def test_spending_has_an_average_and_a_net() -> None:
    found = after(
        ("order_completed", {"amount": 100_000_000}),
        ("order_completed", {"amount": 50_000_000}),
        ("order_refunded", {"amount": 30_000_000}),
    )
    assert (found["order_count"], found["order_total"]) == (2, 150.0)
    assert (found["average_order_value"], found["net_total"]) == (75.0, 120.0)
    assert found["last_order_time"] == "2024-10-04T00:00:01.000Z"


def test_what_was_liked_long_ago_counts_less() -> None:
    document = folded(
        [
            *(happening(f"o{n}", "product_viewed", NOW - 84 * DAY, category="old") for n in "123"),
            happening("n", "product_viewed", NOW, category="new"),
        ]
    )
    found = values(document)
    assert found["top_category"] == "new"
    assert found["category_affinity"]["new"] > found["category_affinity"]["old"] > 0
    assert sum(found["category_affinity"].values()) == pytest.approx(1, abs=0.001)


def test_the_cart_is_what_was_last_said_of_each_item() -> None:
    added = ("product_added", {"product_id": "a", "price": 10, "quantity": 2})
    other = ("product_added", {"product_id": "b", "price": 5})
    found = after(added, other)
    assert (found["cart_open"], found["cart_item_count"], found["cart_value"]) == (True, 3, 25.0)
    found = after(added, other, ("product_removed", {"product_id": "a"}))
    assert (found["cart_items"], found["cart_value"]) == (["b"], 5.0)
    found = after(added, ("cart_updated", {"products": [{"product_id": "b"}], "total": 4}))
    assert (found["cart_items"], found["cart_value"]) == (["b"], 4.0)
    found = after(added, ("cart_updated", {"products": []}))
    assert not found["cart_open"]
    assert "cart_items" not in found
    found = after(("cart_updated", {"total": 80}))
    assert (found["cart_open"], found["cart_value"]) == (True, 80.0)


def test_an_order_empties_the_cart_and_what_is_added_later_opens_it() -> None:
    added = ("product_added", {"product_id": "a", "price": 10})
    found = after(added, ("order_completed", {"order_id": "1"}))
    assert not found["cart_open"]
    assert "cart_value" not in found
    found = after(("order_completed", {"order_id": "1"}), added)
    assert (found["cart_open"], found["cart_items"]) == (True, ["a"])


def test_the_last_order_and_what_became_of_it() -> None:
    found = after(
        ("order_completed", {"order_id": "1"}),
        ("order_completed", {"order_id": 2}),
        ("order_shipped", {"order_id": 2}),
        ("order_delivered", {"order_id": "1"}),
    )
    assert (found["last_order_id"], found["last_order_state"]) == ("2", "shipped")


def test_a_complaint_is_open_until_it_is_closed() -> None:
    opened = ("complaint_opened", {"complaint_id": 1})
    assert after(opened)["open_complaint"]
    other = ("complaint_closed", {"complaint_id": 2})
    assert after(opened, other)["open_complaint"]
    assert not after(opened, ("complaint_closed", {"complaint_id": 1}))["open_complaint"]
    late = [
        happening("1", "complaint_closed", NOW, complaint_id=1),
        happening("2", "complaint_opened", NOW - 5, complaint_id=1),
    ]
    assert not values(folded(late))["open_complaint"]


def test_ratings_have_a_mean_and_a_last() -> None:
    found = after(*(("feedback_given", {"score": score}) for score in (5, 2, "much")))
    assert (found["feedback_count"], found["feedback_score"]) == (3, 3.5)
    assert found["last_feedback_score"] == 2.0


def test_media_are_preferred_when_they_are_answered_more() -> None:
    sent = [("message_delivered", {"kind": kind}) for kind in ("image", "text") for _ in range(4)]
    assert "content_preference" not in after(*sent)
    found = after(*sent, ("message_replied", {"kind": "image"}))
    assert found["content_preference"] == "media"
    assert found["content_response"] == {"media": 0.25, "text": 0.0}
    assert after(("message_received", {"kind": "audio"}))["content_preference"] == "media"


def test_the_time_to_answer_is_told_within_a_fifth() -> None:
    for seconds in (0, 1, 5, 61, 600, 4_000, 90_000):
        document = folded(
            [happening("1", "message_replied", NOW + seconds * 1000, message_time=NOW)]
        )
        found = values(document)
        assert found["response_seconds"] == pytest.approx(seconds, rel=0.2, abs=1)
        assert sum(found["response_times"].values()) == 1


def test_hours_are_local_also_when_the_zone_is_learnt_later() -> None:
    nine_in_istanbul = NOW + 6 * 3_600_000  # a Friday in October
    document = folded([happening("1", "page_viewed", nine_in_istanbul)])
    assert values(document)["active_hour"] == 6
    document.attributes["zone"] = Fact("Europe/Istanbul", 0, 0, "test")
    found = values(document)
    assert found["activity_by_hour"] == {"fri 09": 1}
    assert (found["active_hour"], found["active_day"]) == (9, 5)
    document.attributes["zone"] = Fact("Asia/Kolkata", 0, 0, "test")
    assert values(document)["active_hour"] == 11


def test_hours_follow_summer_time() -> None:
    july, january = 1_783_936_800_000, 1_768_212_000_000  # Mondays, 10:00 UTC
    document = folded([happening("1", "page_viewed", july), happening("2", "page_viewed", january)])
    document.attributes["zone"] = Fact("Europe/Berlin", 0, 0, "test")
    assert values(document)["activity_by_hour"] == {"mon 11": 1, "mon 12": 1}


def test_a_person_was_last_seen_with_what_they_last_used() -> None:
    found = after(
        ("page_viewed", {"device": "desktop", "browser": "Firefox"}),
        ("link_clicked", {"device": "mobile", "os": "iOS", "browser": "Safari"}),
        ("page_viewed", {"device": "", "browser": None}),
        ("location_pinged", {"latitude": 41.01, "longitude": 28.97}),
    )
    assert (found["device"], found["os"], found["browser"]) == ("mobile", "iOS", "Safari")
    assert found["last_location"] == {"latitude": 41.01, "longitude": 28.97, "accuracy_meters": 0.0}
    assert found["last_seen_time"] == found["last_location_time"] == "2024-10-04T00:00:03.000Z"


def test_engagement_compares_people_at_any_time() -> None:
    none = Document(0)
    once = folded([happening("1", "page_viewed")])
    often = folded([happening(str(n), "page_viewed") for n in range(8)])
    before = folded([happening(str(n), "page_viewed", NOW - 140 * DAY) for n in range(8)])
    assert engagement.score(none) is None
    scores = [engagement.score(document) or 0 for document in (before, once, often)]
    assert scores == sorted(scores)
    assert scores[2] - scores[1] == 3 * engagement.STEPS, "eight times as much"


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        *(("güzel", 1), ("çok güzel olmuş, teşekkürler", 1), ("sorun yok", 1), ("İYİ", 1)),
        *(("sorunsuz geldi", 1), ("this is great!!", 1), ("👍", 1), ("never late", 1)),
        *(("cok tesekkur ederim", 1), ("kötü değil", 1), ("Love it ❤️", 1)),
        *(("iyi değil", -1), ("hiç memnun kalmadım", -1), ("KÖTÜ BİR ÜRÜN", -1), ("kotu", -1)),
        *(("not good", -1), ("don’t love it", -1), ("tavsiye etmem", -1), ("😡", -1)),
        *(("ürün hala gelmedi, rezalet 😡", -1), ("I am very disappointed", -1)),
    ],
)
def test_a_text_sounds_good_or_bad(text: str, sign: int) -> None:
    score = sentiment.score(text)
    assert score is not None
    assert -1 <= score <= 1
    assert score * sign > 0.5


@pytest.mark.parametrize("text", ["", "merhaba", "siparişim nerede?", "hello there", "38", "…"])
def test_a_plain_text_sounds_like_nothing(text: str) -> None:
    assert sentiment.score(text) is None


def test_more_of_it_sounds_surer() -> None:
    scores = [sentiment.score(text) or 0 for text in ("iyi", "çok iyi", "çok iyi, harika 😍")]
    assert scores == sorted(scores)
    assert len(set(scores)) == 3


def test_scores_that_others_give_count_like_texts() -> None:
    found = after(("message_received", {"sentiment": -0.5}), ("feedback_given", {"sentiment": 7}))
    assert (found["sentiment"], found["last_sentiment"]) == (0.25, 1.0)
