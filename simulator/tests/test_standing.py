"""What blocks and reports lead to, and what good messages earn."""

import pytest

from simulator.people.person import Behaviour

NOW = 1_790_000_000.0
KIND = Behaviour(reads=1, clicks=0, replies=0, stops=0, blocks=0)
ANGRY = KIND._replace(blocks=1)


def _deliver(made, count, behaviour=KIND, first=0):
    """So many people get the offer; what Meta told of standing, and what is still to come."""
    updates, later = [], []
    for n in range(first, first + count):
        to = f"90532{n:07d}"
        made.person(to, behaviour=behaviour)
        found = made.everything(made.send(made.offer(to)).message)
        updates += [u for u in found[0] if u.metadata is None]
        later += found[2]
    return updates, later


def _events(updates, field="message_template_status_update"):
    return [u.item["event"] for u in updates if u.field == field]


def _scores(updates):
    return [
        u.item["new_quality_score"] for u in updates if u.field == "message_template_quality_update"
    ]


def test_a_template_that_nobody_minds_becomes_green(small):
    made = small()
    updates, _ = _deliver(made, 250)
    assert _scores(updates) == ["GREEN"]
    assert made.template.seen_by_graph()["quality_score"]["score"] == "GREEN"


def test_blocks_pause_a_template_twice_and_then_disable_it(small):
    made = small(quality_after=50)
    made.number.feedback.delivered = 1e9  # this is about templates
    story, first = [], 0
    for _ in range(3):
        updates, _ = _deliver(made, 50, first=first)
        first += 50
        story += _events(updates)
        while made.template.status == "APPROVED":
            updates, later = _deliver(made, 1, ANGRY, first=first)
            first += 1
            story += [
                (u.item["event"], u.item["other_info"]["title"])
                for u in updates
                if u.field == "message_template_status_update"
            ]
        assert made.refusal(made.offer()) in {132015, 132016}
        if later:
            (pause,) = later
            story.append(pause.after / 3600)
            story += _events(pause.happen(NOW))
    assert story == [
        ("PAUSED", "FIRST_PAUSE"), 3.0, "APPROVED",
        ("PAUSED", "SECOND_PAUSE"), 6.0, "APPROVED",
        ("DISABLED", "DISABLED"),
    ]  # fmt: skip


def test_a_number_with_a_bad_name_opens_no_conversations_until_it_is_forgiven(small):
    made = small(quality_after=50)
    made.template.feedback.delivered = 1e9  # this is about numbers
    _deliver(made, 50)
    flagged, first = [], 50
    while not made.number.flagged:
        updates, later = _deliver(made, 1, ANGRY, first=first)
        flagged += _events(updates, "phone_number_quality_update")
        first += 1
    assert flagged == ["FLAGGED"]
    assert made.number.seen_by_graph(made.world.portfolio)["quality_rating"] == "RED"
    assert made.refusal(made.offer()) == 131048
    made.heard()
    made.send(made.words())
    assert [u.item["event"] for u in later[-1].happen(NOW)] == ["UNFLAGGED"]
    made.send(made.offer("905320000000"), NOW + 60)


def test_the_limit_can_be_told_by_a_failed_status_instead(small):
    made = small(limit_error="async")
    made.number.flagged = True
    assert made.failure(made.offer()) == 131048


def test_the_messaging_limit_counts_people_reached_outside_a_window_in_a_day(small):
    made = small(pair_interval_s=0)
    made.world.portfolio.put(250)
    _deliver(made, 250)
    assert made.refusal(made.offer("905339999999")) == 131048
    # Whoever was reached may be reached again, and whoever wrote does not count.
    made.send(made.offer("905320000000"))
    made.heard("905339999999")
    made.send(made.offer("905339999999"))
    assert made.refusal(made.offer("905338888888"), NOW + 86_399) == 131048
    made.send(made.offer("905338888888"), NOW + 86_401)


def test_what_fails_does_not_count_for_the_messaging_limit(small):
    made = small()
    made.world.portfolio.put(250)
    _deliver(made, 300, Behaviour(fail_code=131026))
    assert made.world.portfolio.used == 0


def test_half_of_the_limit_used_well_earns_the_next(small):
    made = small()
    made.world.portfolio.put(250)
    _, later = _deliver(made, 130)
    (rise,) = later
    assert rise.after == 6 * 3600
    told = rise.happen(NOW)
    assert [u.field for u in told] == ["business_capability_update", "phone_number_quality_update"]
    assert told[0].item["max_daily_conversations_per_business"] == 2000
    assert made.world.portfolio.tier == "TIER_2K"
    assert (
        made.number.seen_by_graph(made.world.portfolio)["whatsapp_business_manager_messaging_limit"]
        == "TIER_2K"
    )


@pytest.mark.parametrize("liked", [True, False])
def test_a_new_template_is_held_back_until_meta_saw_how_it_is_taken(small, liked):
    made = small(pacing_after=20, pacing_delay_s=600)
    behaviour = KIND if liked else ANGRY
    for n in range(20):
        to = f"90532{n:07d}"
        made.person(to, behaviour=behaviour)
        sent = made.send(made.offer(to))
        assert sent.answer["messages"][0]["message_status"] == "accepted"
        made.everything(sent.message)
    held = [made.send(made.offer(f"90533{n:07d}"), NOW + n) for n in range(10)]
    assert {h.answer["messages"][0]["message_status"] for h in held} == {
        "held_for_quality_assessment"
    }
    # All are decided at the same moment.
    assert {h.message.steps[0].after + n for n, h in enumerate(held)} == {600.0}
    updates = [u for h in held for u in made.everything(h.message, NOW + 600)[0]]
    failed = [u.item for u in updates if u.item.get("status") == "failed"]
    if liked:
        assert not failed
        assert _scores(updates) == ["GREEN"]
        return
    assert [f["errors"][0]["code"] for f in failed] == [132015] * 10
    (paused,) = [u.item for u in updates if u.field == "message_template_status_update"]
    assert paused["other_info"]["title"] == "RATE_LIMITING_PAUSE"
    # Nobody ends this pause but the business.
    made.account.unpause(made.template, NOW)
    assert made.template.status == "APPROVED"


def test_utility_is_not_paced(small):
    made = small(pacing_after=1)
    made.template.category = "UTILITY"
    status = [
        made.send(made.offer(f"90532{n:07d}")).answer["messages"][0]["message_status"]
        for n in range(5)
    ]
    assert status == ["accepted"] * 5
