"""What Meta posts, as events: every payload seen in the wild, every item by itself."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.failures import FieldInvalid
from merhaba.event.v1.event_pb2 import Event
from services.ingest import account, content, payload, wire
from services.ingest.intake import Intake
from services.ingest.model import Occurrence, Posted, RawWebhook
from services.ingest.tests.bodies import message, status, value, webhook

FIXTURES = Path(__file__).parent / "fixtures"
WILD = Path(__file__).parents[4] / "shared" / "webhooks"
RECEIVED_MS = 1_763_000_000_000

# Of all payloads in the wild, the one field that nobody knew.
UNRECOGNISED = {"negative__unknown-field-xyz__value__01.json"}
# Negative payloads that are webhooks of WhatsApp's: only what is wrong in them is refused.
ITEMS_REFUSED = {
    "negative__message-template-status-update__invalid-event__01.json": "no state of a template",
    "negative__messages__calls-payload-under-messages__01.json": "has none of messages, statuses",
    "negative__messages__empty-value__01.json": "has none of messages, statuses",
    "negative__messages__none__01.json": "type: is missing",
    "negative__messages__template-status-under-messages__01.json": "has none of messages",
    "negative__messages__text-batch__01.json": "type: is missing",
}


class MemoryWriter:
    """Remembers what would be on the log."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.raws: list[RawWebhook] = []
        self.retries: list[Posted] = []
        self.appends = 0

    def event(self, occurrence: Occurrence, received_ms: int, trace: str) -> Any:
        return wire.event(occurrence, received_ms, trace)

    def raw(self, webhook: RawWebhook) -> Any:
        return webhook

    def retry(self, posted: Posted) -> Any:
        return posted

    async def append(self, records: Sequence[Any]) -> None:
        self.appends += 1
        for record in records:
            kinds: dict[type, list[Any]] = {
                Event: self.events,
                RawWebhook: self.raws,
                Posted: self.retries,
            }
            kinds[type(record)].append(record)


async def taken(body: bytes | dict[str, Any]) -> MemoryWriter:
    writer = MemoryWriter()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    await Intake(writer, "", "TR").large_webhook(raw, "shop", RECEIVED_MS, "")
    return writer


async def only(body: dict[str, Any]) -> Event:
    writer = await taken(body)
    assert not writer.retries
    (event,) = writer.events
    return event


async def fixture(name: str) -> list[Event]:
    writer = await taken((FIXTURES / f"{name}.json").read_bytes())
    assert not writer.retries
    return writer.events


def refusals(body: bytes) -> list[str]:
    found: list[str] = []
    for item in payload.items(payload.webhook(body), RECEIVED_MS):
        try:
            payload.read(item)
        except FieldInvalid as failure:
            found.append(failure.message)
    return found


async def walk(folder: Path) -> int:
    """Take every payload of a folder and see that each became what its name promises."""
    files = sorted(folder.glob("*.json"))
    for file in files:
        body = file.read_bytes()
        writer = await taken(body)
        (raw,) = writer.raws
        assert raw.body == body, file.name
        unrecognised = [e for e in writer.events if e.WhichOneof("body") == "webhook_unrecognised"]
        assert bool(unrecognised) == (file.name in UNRECOGNISED), file.name
        if file.name in ITEMS_REFUSED:
            (why,) = refusals(body)
            assert ITEMS_REFUSED[file.name] in why, file.name
            assert raw.refused_count == len(writer.retries) == 1, file.name
        elif file.name.startswith("negative__") and file.name not in UNRECOGNISED:
            assert raw.reason and not writer.events, file.name
        else:
            assert not raw.reason and not writer.retries, file.name
            assert raw.unrecognised_count == (file.name in UNRECOGNISED), file.name
            assert len(writer.events) == raw.item_count > 0, file.name
    return len(files)


async def test_representative_payloads_become_what_their_names_promise() -> None:
    assert await walk(FIXTURES) > 20


async def test_every_payload_seen_in_the_wild_is_accounted_for() -> None:
    if not WILD.exists():
        assert "CI" not in os.environ, f"{WILD} is missing"
        pytest.skip(f"{WILD} is not here: only the payloads in {FIXTURES} were walked")
    assert await walk(WILD) > 200


async def test_a_message_becomes_an_event_with_metas_time_and_id() -> None:
    event = await only(webhook(value(messages=[message("wamid.1")])))
    assert event.event_id == "wamid.1"
    assert event.event_time.seconds == 1_750_101_000
    assert event.received_time.ToMilliseconds() == RECEIVED_MS
    assert event.source == "whatsapp:106540352242922"
    assert event.message_received.content.text == "merhaba"
    assert [(i.kind, i.value) for i in event.identities] == [(1, "447700900123")]


@pytest.mark.parametrize("stamp", ["1750101000", 1750101000, "1750101000000", 1750101000.0])
async def test_metas_time_is_read_in_every_spelling(stamp: Any) -> None:
    event = await only(webhook(value(messages=[message(timestamp=stamp)])))
    assert event.event_time.seconds == 1_750_101_000


async def test_a_message_without_a_readable_time_happened_when_it_came() -> None:
    event = await only(webhook(value(messages=[message(timestamp="<TIMESTAMP>")])))
    assert event.event_time.ToMilliseconds() == RECEIVED_MS


BSUID = "US.13491208655302741918"


@pytest.mark.parametrize(
    ("said", "contact", "expected"),
    [
        ({}, {"wa_id": "447700900123"}, [(1, "447700900123")]),
        (
            {"from_user_id": BSUID},
            {"wa_id": "447700900123", "user_id": BSUID},
            [(1, "447700900123"), (2, BSUID)],
        ),
        ({"from": "", "from_user_id": BSUID}, {"wa_id": "", "user_id": BSUID}, [(2, BSUID)]),
        ({"from": None}, {"user_id": BSUID}, [(2, BSUID)]),
        ({"from": BSUID}, {}, [(2, BSUID)]),
        (
            {"from": "5511987654321"},
            {"wa_id": "551187654321"},
            [(1, "5511987654321"), (1, "551187654321")],
        ),
        ({}, {"wa_id": "12025550100", "user_id": BSUID}, [(1, "447700900123")]),
    ],
    ids=[
        "phone",
        "phone and user id",
        "user id",
        "user id of the contact block",
        "user id in place of the phone",
        "two spellings of one phone",
        "a contact block of somebody else",
    ],
)
async def test_a_person_is_recognised_by_every_shape_of_identity(
    said: dict[str, Any], contact: dict[str, Any], expected: list[tuple[int, str]]
) -> None:
    event = await only(webhook(value(messages=[message(**said)], contacts=[contact])))
    assert [(i.kind, i.value) for i in event.identities] == expected
    assert all(i.scope == ("1020" if i.kind == 2 else "") for i in event.identities)


async def test_a_known_portfolio_is_the_scope_of_user_ids() -> None:
    writer = MemoryWriter()
    body = json.dumps(webhook(value(messages=[message(from_user_id=BSUID)]))).encode()
    await Intake(writer, "portfolio", "TR").large_webhook(body, "shop", RECEIVED_MS, "")
    assert writer.events[0].identities[1].scope == "portfolio"


async def test_a_status_carries_our_id_its_price_and_its_errors() -> None:
    error = {"code": 131047, "title": "t", "error_data": {"details": "d"}}
    price = {"billable": True, "pricing_model": "PMP", "category": "marketing", "type": "regular"}
    said = status("wamid.2", "failed", errors=[error], pricing=price)
    event = await only(webhook(value(statuses=[said | {"biz_opaque_callback_data": "msg_1"}])))
    assert event.event_id == "wamid.2/failed"
    received = event.status_received
    assert (received.status, received.callback_data) == ("failed", "msg_1")
    assert (received.pricing.category, received.pricing.billable) == ("marketing", True)
    assert [(e.code, e.details) for e in received.errors] == [(131047, "d")]


async def test_statuses_of_a_group_are_apart_by_participant() -> None:
    events = await fixture("messages__status-read-conv-group-batch__01")
    assert len({e.event_id for e in events}) == len(events) > 1
    assert all(e.status_received.group_id and e.status_received.pricing.category for e in events)


async def test_history_tells_who_wrote() -> None:
    events = await fixture("history__history-threads__01")
    assert all(e.message_echoed.historical for e in events)
    assert {e.message_echoed.from_person for e in events} == {True, False}


async def test_a_preference_names_the_person_and_the_wish() -> None:
    (event,) = await fixture("user-preferences__stop__01")
    assert event.preference_changed.value == "stop"
    assert event.identities[0].value == BSUID


async def test_a_coming_category_is_told_with_the_day_it_begins() -> None:
    (event,) = await fixture("template-category-update__impending__02")
    changed = event.template_category_changed
    assert (changed.previous_category, changed.category) == ("UTILITY", "MARKETING")
    assert changed.effective_time.seconds - event.event_time.seconds == 24 * 3600
    assert changed.language == "en_US"


async def test_what_a_business_may_do_is_a_number() -> None:
    for said, limit in ((2000, 2000), ("TIER_1K", 1000), ("TIER_250", 250), ("TIER_UNLIMITED", -1)):
        body = webhook(
            {"max_daily_conversations_per_business": said}, field="business_capability_update"
        )
        assert (await only(body)).capability_changed.max_daily_recipients == limit


async def test_session_descriptions_of_calls_are_left_out() -> None:
    (event,) = await fixture("calls__connect__05")
    assert event.call_changed.from_person
    assert b"sdp" not in event.call_changed.detail_json


async def test_a_kind_of_message_nobody_knew_is_kept_whole_and_counted() -> None:
    writer = await taken(webhook(value(messages=[message(type="poll", poll={"q": 1})])))
    assert writer.events[0].message_received.content.other_json == b'{"q":1}'
    assert writer.raws[0].unrecognised_count == 1


async def test_what_a_later_version_makes_of_the_same_bytes_is_no_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    poll = webhook(value(messages=[message(type="poll", poll={"q": 1})]))
    change = webhook({"status": "x"}, field="new_field")
    before = [(await only(body)).event_id for body in (poll, change)]
    assert [(await only(body)).event_id for body in (poll, change)] == before
    monkeypatch.setitem(content._READERS, "poll", lambda _: {})
    monkeypatch.setitem(account.READERS, "new_field", lambda *_: ("account_changed", {}))
    after = [(await only(body)).event_id for body in (poll, change)]
    assert set(after).isdisjoint(before)


BAD = [
    pytest.param(message() | {"id": None}, id="no id"),
    pytest.param(message() | {"id": ["x"]}, id="an id that is no text"),
    pytest.param(message() | {"text": "hi"}, id="content of the wrong type"),
    pytest.param(message(type="order", order={"product_items": [{"quantity": 10**18 * 99}]}), id="too large"),  # noqa: E501
    pytest.param(message() | {"from": None}, id="from nobody"),
    pytest.param(["a list"], id="no object"),
    pytest.param(None, id="nothing"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
async def test_one_bad_item_costs_nobody_else_and_can_be_read_again(bad: Any) -> None:
    good = [message(), message()]
    writer = await taken(
        webhook(value(messages=[good[0], bad, good[1]]), value(statuses=[status()]))
    )
    assert len(writer.events) == 3
    (retry,) = writer.retries
    assert writer.appends == 1
    alone = json.loads(retry.body)["entry"][0]["changes"][0]["value"]
    assert alone["messages"] == [bad]
    assert alone["metadata"]["phone_number_id"] == "106540352242922"


async def test_a_change_without_field_or_value_costs_nobody_else() -> None:
    body = webhook(value(messages=[message()]))
    body["entry"][0]["changes"] += [{"value": {}}, {"field": "messages"}, "nonsense"]
    body["entry"] += [None, {"id": "1"}]
    writer = await taken(body)
    assert (len(writer.events), len(writer.retries)) == (1, 5)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"object":"page","entry":[]}', b"[" * 100_000]
)
async def test_what_is_no_webhook_is_archived_with_its_reason(body: bytes) -> None:
    writer = await taken(body)
    (raw,) = writer.raws
    assert raw.reason and raw.body == body and not writer.events


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "type", "text", "from", "timestamp", "status", "errors", "context", "system"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from([*sorted(payload.PARTS), "account_update", "flows", "new_field"]), JSON)
@settings(max_examples=300, deadline=None)
def test_whatever_stands_in_a_webhook_is_kept_and_nothing_breaks(field: str, inside: Any) -> None:
    parts = [*payload.PARTS.get(field, ()), "x"]
    body = json.dumps(webhook({part: [inside] for part in parts}, field=field))
    try:
        payload.webhook(body.encode())
    except payload.Unreadable:
        return
    writer = asyncio.run(taken(body.encode()))
    assert len(writer.events) + len(writer.retries) == writer.raws[0].item_count
