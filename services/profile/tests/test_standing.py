"""Where contacts stand: by rules, by the moment, and compared to everybody."""

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.failures import FieldInvalid
from services.profile.person import attributes, consent, traits
from services.profile.person.model import Consent, Document, Fact, Happening, Standing, ValueType
from services.profile.person.standing import (
    DEFAULT,
    Borders,
    ExpressionInvalid,
    Rules,
    StageRule,
    StageRules,
    borders,
    moved,
)
from services.profile.person.vocabulary import ATTRIBUTES, AttributeType

DAY = 86_400_000
NOW = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()) * 1000
TYPES = list(ATTRIBUTES.values())


def rules(*given_: tuple[str, str], borders: Borders | None = None, **ages: int) -> Rules:
    stages = StageRules(tuple(StageRule(*one) for one in given_), "other") if given_ else DEFAULT
    aged = [AttributeType(name, ValueType.NUMBER, max_age=age) for name, age in ages.items()]
    return Rules(stages, [*TYPES, *aged], borders)


def happening(event_id: str, name: str, time: int = NOW, **properties: Any) -> Happening:
    return Happening(event_id, name, time, 0, "test", properties=properties)


def picture(*happenings: Happening) -> Document:
    document = Document(0)
    for one in happenings:
        traits.count(document, one)
        attributes.tell(document, one)
    return document


def ordered(*times: int) -> Document:
    return picture(*(happening(f"o{n}", "order_completed", t) for n, t in enumerate(times)))


def test_somebody_of_whom_nothing_is_known_is_aware_of_us() -> None:
    assert rules().stand(Document(0), None, NOW, NOW) == Standing("awareness", NOW)


@pytest.mark.parametrize(
    ("event", "properties"),
    [
        ("message_received", {"kind": "text"}),
        ("message_clicked", {}),
        ("product_viewed", {"product_id": "a"}),
        ("product_added", {"product_id": "a", "price": 3}),
    ],
)
def test_interest_is_consideration(event: str, properties: dict[str, Any]) -> None:
    found = rules().stand(picture(happening("1", event, **properties)), None, NOW, NOW)
    assert found.stage == "consideration"


def test_orders_lead_to_purchase_and_loyalty_and_their_lack_to_lapsing() -> None:
    assert rules().stand(ordered(NOW), None, NOW, NOW).stage == "purchase"
    assert rules().stand(ordered(NOW, NOW, NOW), None, NOW, NOW).stage == "loyalty"
    assert rules().stand(ordered(NOW - 181 * DAY), None, NOW, NOW).stage == "lapsed"


def test_the_instant_at_which_a_stage_may_change_is_exact() -> None:
    document = ordered(NOW)
    standing = rules().stand(document, None, NOW, NOW)
    assert standing.due is not None
    now, steps = NOW, 0
    while standing.stage == "purchase":
        assert standing.due is not None
        assert standing.due > now
        now, steps = standing.due, steps + 1
        before = rules().stand(document, standing, now, now - 1)
        assert before.stage == "purchase"
        standing = rules().stand(document, standing, now, now)
    assert (standing.stage, now) == ("lapsed", NOW + 180 * DAY + 1)
    assert (standing.previous_stage, standing.enter_time, steps) == ("purchase", now, 2)
    assert standing.due is None


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["order_completed", "product_added", "message_received", "message_clicked"]
            ),
            st.integers(NOW - 400 * DAY, NOW),
        ),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_the_stage_does_not_depend_on_the_order_of_events(
    events: list[tuple[str, int]], random: Random
) -> None:
    happenings = [
        happening(str(n), name, time, product_id="a") for n, (name, time) in enumerate(events)
    ]

    def found(several: list[Happening]) -> Standing:
        document, standing = Document(0), None
        for one in several:
            traits.count(document, one)
            standing = rules().stand(document, standing, one.time, NOW)
        return standing or Standing()

    one, other = found(happenings), found(random.sample(happenings, len(happenings)))
    assert (one.stage, one.due, one.score) == (other.stage, other.due, other.score)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    *("order_completed", "product_viewed", "product_added", "product_removed"),
                    *("message_received", "message_clicked", "identified"),
                ]
            ),
            st.integers(NOW - 400 * DAY, NOW),
            st.sampled_from(["a", "b", "c"]),
        ),
        max_size=12,
    )
)
def test_looking_only_at_what_changed_finds_the_same_stage(
    events: list[tuple[str, int, str]],
) -> None:
    own = rules(
        ("lapsed", 'traits.last_order_time < now() - duration("180d")'),
        ("of_b", 'profile.plan == "b" && traits.order_count >= 1'),
        ("hour", 'traits.order_count >= 2 && localTime().hour == 2 && profile.plan != "c"'),
        ("looking", "has(traits.top_product) || traits.cart_open"),
    )
    document, standing = Document(0), None
    for n, (name, time, which) in enumerate(events):
        one = happening(str(n), name, time, product_id=which)
        if name == "identified":
            one.attributes = {"plan": which, "zone": "Europe/Berlin"}
        changed = [*attributes.tell(document, one)]
        changed += [f"traits.{trait}" for trait in traits.count(document, one)]
        whole = own.stand(document, standing, time, NOW)
        standing = own.stand(document, standing, time, NOW, changed)
        assert standing == whole


def test_a_move_is_always_later_than_the_one_before() -> None:
    bought = rules().stand(ordered(NOW), None, NOW, NOW)
    late = rules().stand(ordered(NOW, NOW - 5, NOW - 9), bought, NOW - 9, NOW)
    assert (late.stage, late.previous_stage, late.enter_time) == ("loyalty", "purchase", NOW + 1)
    assert moved(bought, late) == [("stage", b'"loyalty"')]
    assert moved(late, late) == []


def test_rules_may_look_at_attributes_and_consents_and_their_end() -> None:
    own = rules(("vip", 'profile.plan == "vip" && consent("marketing")'))
    document = picture()
    document.attributes["plan"] = Fact("vip", 1, 1, "crm")
    assert own.stand(document, None, NOW, NOW).stage == "other"
    line = Consent("1", NOW, "marketing", True, expire_time=NOW + DAY)
    assert consent.record(document, line)
    standing = own.stand(document, None, NOW, NOW)
    assert (standing.stage, standing.due) == ("vip", NOW + DAY)
    assert own.stand(document, standing, NOW + DAY, NOW + DAY).stage == "other"


def test_a_value_that_is_too_old_no_longer_counts() -> None:
    own = rules(("risky", "profile.churn > 0.5"), churn=10 * DAY)
    document = picture()
    document.attributes["churn"] = Fact(0.9, NOW, 1, "model:churn")
    standing = own.stand(document, None, NOW, NOW)
    assert (standing.stage, standing.due) == ("risky", NOW + 10 * DAY)
    assert own.stale(document, NOW, NOW + 10 * DAY - 1) == []
    assert own.stale(document, NOW, NOW + 10 * DAY) == ["churn"]
    later = own.stand(document, standing, NOW + 10 * DAY, NOW + 10 * DAY)
    assert (later.stage, later.due) == ("other", None)


@pytest.mark.parametrize(
    ("expression", "column", "hint"),
    [
        ("traits.order_cuont > 1", 8, "did you mean"),
        ("traits.order_count >", 21, "too early"),
        ("traits.order_count", 1, "yes or no"),
        ('events("order_completed").exists()', 8, "unknown event"),
        ('stage() == "x"', 1, "cannot follow from the stage"),
        ('traits.engagement == "high"', 1, "everybody"),
        ('segment("vip")', 1, "segments may follow from it"),
    ],
)
def test_a_rule_that_cannot_be_says_where_and_why(expression: str, column: int, hint: str) -> None:
    with pytest.raises(ExpressionInvalid) as raised:
        rules(("a", "true"), ("b", expression))
    assert raised.value.facts["field"] == "stage_rules.rules[1].expression"
    assert raised.value.facts["column"] == str(column)
    assert hint in raised.value.facts["problem"]


@pytest.mark.parametrize("stages", [[("A b", "true")], [("a", "true")] * 2, [("a", "true")] * 51])
def test_stages_have_names_of_their_own(stages: list[tuple[str, str]]) -> None:
    with pytest.raises(FieldInvalid):
        rules(*stages)


def test_levels_begin_where_fifths_of_everybody_lie() -> None:
    assert borders({}) is None
    assert borders(dict.fromkeys(range(100), 1)) == Borders(40, 80)
    assert borders({7: 50}) == Borders(7, 8)
    assert borders({1: 90, 5: 9, 9: 1}) == Borders(5, 5)


def test_a_level_changes_only_beyond_a_margin() -> None:
    def level(score: int, former: str) -> str:
        document = picture(happening("1", "page_viewed"))
        own = traits.engagement.score(document) or 0
        compared = rules(borders=Borders(own - score + 40, own - score + 80))
        return compared.stand(document, Standing("x", level=former), NOW, NOW).level

    assert [level(score, "") for score in (39, 40, 79, 80)] == ["low", "medium", "medium", "high"]
    assert [level(score, "high") for score in (80, 79, 78)] == ["high", "high", "medium"]
    assert [level(score, "medium") for score in (39, 38, 79)] == ["medium", "low", "medium"]
    assert [level(score, "low") for score in (39, 40)] == ["low", "medium"]


def test_nobody_has_a_level_before_there_is_anybody_to_compare_with() -> None:
    document = picture(happening("1", "page_viewed"))
    assert rules().stand(document, None, NOW, NOW).level == ""
    assert rules(borders=Borders(1, 2)).stand(Document(0), None, NOW, NOW).level == "low"
