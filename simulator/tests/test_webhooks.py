"""What webhooks say and how they are written; addresses, batches, and real payloads beside ours."""

import csv
import json
import os
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.messages.content import Choice
from simulator.people.person import Behaviour
from simulator.webhooks.notices import number_quality
from simulator.webhooks.subscriptions import Subscriptions
from simulator.webhooks.updates import Metadata, Update, body_of, choice_of

NOW = 1_790_000_000.0
REAL = Path(__file__).parents[3] / "shared" / "webhooks"
needs_real = pytest.mark.skipif(
    not REAL.exists() and "CI" not in os.environ,
    reason=f"no real payloads at {REAL}: the shapes of webhooks are not compared with them",
)


@given(st.text(max_size=30), st.integers(1, 6))
def test_a_body_is_escaped_as_meta_does_and_loses_nothing(text, count):
    rng = Random(count)
    updates = [
        Update(
            f"waba{rng.randrange(2)}",
            "messages",
            Metadata("90", str(rng.randrange(2))),
            rng.choice(["messages", "statuses"]),
            {"n": n, "text": text + "/ç"},
            {"wa_id": "1"},
            NOW,
        )
        for n in range(count)
    ]
    raw = body_of(updates)
    assert raw.isascii()
    assert b"\\u00e7" in raw
    assert b"/" not in raw.replace(b"\\/", b"")
    changes = [c for e in json.loads(raw)["entry"] for c in e["changes"]]
    items = [i for c in changes for k in ("messages", "statuses") for i in c["value"].get(k, [])]
    assert sorted(i["n"] for i in items) == list(range(count))
    assert all(i["text"] == text + "/ç" for i in items)
    assert all(len(c["value"]["contacts"]) == 1 for c in changes)


def test_plain_and_escaped_bodies_are_written_alike():
    def of(name):
        item, contact = {"id": "a/b", "n": 1}, {"profile": {"name": name}, "wa_id": "1"}
        return body_of([Update("1", "messages", Metadata("90", "1"), "messages", item, contact, 0)])

    assert of("Zoe").replace(b"Zoe", b"?") == of("Zoë").replace(rb"Zo\u00eb", b"?")


def _update(field="messages", number="1", account="10"):
    return Update(account, field, Metadata("90", number), "messages", {}, None, NOW)


def test_a_number_s_own_address_comes_before_the_account_s_and_the_app_s():
    told = Subscriptions("http://app")
    told.know("10")
    assert told.address(_update()) == "http://app"
    told.follow("10", "http://account")
    assert told.address(_update()) == "http://account"
    told.override_number("1", "http://number")
    assert told.address(_update()) == "http://number"
    assert told.address(_update(number="2")) == "http://account"
    assert told.address(_update("account_update")) == "http://app"
    told.override_number("1", "")
    told.follow("10")
    assert told.address(_update()) == "http://app"


def test_only_subscribed_accounts_and_fields_are_told():
    told = Subscriptions("http://app")
    assert told.address(_update()) is None
    told.know("10")
    told.fields = frozenset({"messages"})
    assert told.address(_update()) == "http://app"
    assert told.address(_update("account_update")) is None
    told.leave("10")
    assert told.address(_update()) is None


# --- beside what Meta really posts ------------------------------------------------------------


def paths(value, at=""):
    """Every key in a JSON value with the keys above it, and the kind of what stands there."""
    if isinstance(value, dict):
        return {p for k, v in value.items() for p in paths(v, f"{at}.{k}")} | {at}
    if isinstance(value, list):
        return {p for v in value for p in paths(v, f"{at}[]")}
    return {at}


def real_items(field, list_name):
    """(file, item) of every real payload of a field."""
    with (REAL / "index.tsv").open() as index:
        files = [row["file"] for row in csv.DictReader(index, delimiter="\t")]
    for file in files:
        if file.startswith("negative"):
            continue
        for entry in json.loads((REAL / file).read_text()).get("entry", []):
            for change in entry.get("changes", []):
                if change["field"] == field:
                    value = change["value"]
                    for item in value.get(list_name, []) if list_name else [value]:
                        yield file, item


# What real statuses have and the simulator never writes, and why.
NOT_SIMULATED = {
    ".recipient_type": "groups",
    ".recipient_participant_id": "groups",
    ".participant_recipient_id": "groups",
    ".recipient_participant_user_id": "groups",
    ".recipient_participant_parent_user_id": "groups",
    ".conversation.pricing": "groups",
    ".conversation.pricing.billable": "groups",
    ".conversation.pricing.pricing_model": "groups",
    ".conversation.pricing.category": "groups",
    ".recipient_parent_user_id": "linked portfolios",
    ".recipient_identity_key_hash": "identity checks",
    ".type": "on-premises API",
}


@pytest.fixture
def our_statuses(small):
    """Statuses of every kind, of both ways of addressing, as old and new versions have them."""
    found = []
    for version in (23, 25):
        made = small(webhook_version=version, pair_interval_s=0)
        made.heard()
        made.person(behaviour=Behaviour(reads=1, answers=0, clicks=0, replies=0, stops=0, blocks=0))
        voice = {"link": "https://shop.example/a.ogg", "voice": True}
        for _ in range(20):
            found += made.statuses(made.offer(biz_opaque_callback_data="x"))
            found += made.statuses(made.words() | {"type": "audio", "audio": voice})
        made.person(behaviour=Behaviour(fail_code=131026))
        found += made.statuses(made.offer())
    return found


@needs_real
def test_statuses_have_the_keys_that_meta_s_have_and_no_others(our_statuses):
    ours = {p for status in our_statuses for p in paths(status)}
    theirs = set()
    for file, item in real_items("messages", "statuses"):
        theirs |= paths(item)
        assert paths(item) - ours <= NOT_SIMULATED.keys(), file
    assert ours <= theirs
    assert {s["status"] for s in our_statuses} == {"sent", "delivered", "read", "played", "failed"}


@needs_real
def test_a_status_s_values_are_of_the_types_that_meta_s_are(our_statuses):
    def types(items):
        found = {}
        for item in items:
            for key, value in item.items():
                found.setdefault(key, set()).add(type(value))
        return found

    theirs = types(item for _, item in real_items("messages", "statuses"))
    for key, ours in types(our_statuses).items():
        assert ours <= theirs[key], key


@needs_real
def test_every_real_message_can_be_said_and_comes_out_as_it_was(small):
    made, walked = small(), 0
    envelope = {"from", "id", "timestamp", "from_user_id", "from_parent_user_id"}
    for file, real in real_items("messages", "messages"):
        message = {k: v for k, v in real.items() if k not in envelope}
        # Groups are not simulated, and what the system says is told with webhook/tell.
        if "group_id" in message or message.get("type") in {None, "system"}:
            continue
        if not real.keys() & {"from", "from_user_id"}:
            continue  # a test of somebody's, where only the contact says who it was
        mode = "bsuid" if "from" not in real else "phone"
        mode = "phone_bsuid" if {"from", "from_user_id"} <= real.keys() else mode
        person = made.person("16505551234", identity_mode=mode)
        _, (update,) = made.world.say("1060", person, message, NOW)
        not_simulated = {"from_parent_user_id"}
        assert update.item.keys() == real.keys() - not_simulated | {"id", "timestamp"}, file
        assert {k: update.item[k] for k in message} == message, file
        assert isinstance(update.item["timestamp"], str)
        walked += 1
    assert walked > 50


@needs_real
@pytest.mark.parametrize(
    ("choice", "part"),
    [
        (Choice("button", "yes", "Yes"), "button"),
        (Choice("button_reply", "1", "Yes"), "button_reply"),
        (Choice("list_reply", "1", "Yes", "more"), "list_reply"),
    ],
)
def test_what_people_pick_has_the_keys_that_meta_s_answers_have(choice, part):
    ours = paths(choice_of(choice))
    theirs = [
        paths({k: v for k, v in item.items() if k in {"type", "button", "interactive"}})
        for _, item in real_items("messages", "messages")
        if item.get("type") == part or part in item.get("interactive", {})
    ]
    assert ours in theirs


@needs_real
def test_notices_of_templates_and_numbers_have_the_keys_that_meta_s_have(small):
    made = small()
    updates = made.standing.decide(made.template, "REJECTED", "SCAM", NOW)
    updates += made.standing.decide(made.template, "DISABLED", "NONE", NOW)
    updates += made.standing.unpause(made.template, NOW)
    updates += made.standing._rise(made.number, NOW) or [made.standing.limit_told("1020", NOW)]
    updates.append(number_quality(made.number, "FLAGGED", "TIER_2K", NOW))
    made.template.feedback.delivered = 1000
    updates += made.standing.delivered(made.number, made.template, NOW).updates
    documented = {
        # In Meta's reference, not in the payloads at hand.
        "message_template_status_update": {
            ".other_info", ".other_info.title", ".other_info.description",
        },
        "phone_number_quality_update": {".max_daily_conversations_per_business"},
        "business_capability_update": {".max_phone_numbers_per_business"},
    }  # fmt: skip
    for update in updates:
        theirs = {p for _, item in real_items(update.field, "") for p in paths(item)}
        assert paths(update.item) - documented.get(update.field, set()) <= theirs, update.field


@needs_real
def test_a_preference_has_the_keys_that_meta_s_have(small):
    made, ours = small(), set()
    for mode in ("phone", "phone_bsuid", "bsuid"):
        update = made.world.prefer(made.number, made.person(identity_mode=mode), "stop", NOW)
        ours |= paths(update.item)
    theirs = [paths(item) for _, item in real_items("user_preferences", "user_preferences")]
    assert ours <= set().union(*theirs)
