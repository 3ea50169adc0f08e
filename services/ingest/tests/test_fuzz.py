"""Whatever is posted: an answer below 500 in time, the log goes on, and all of it is somewhere."""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.tests.hostile import FIXTURES, WILD, body
from services.ingest.tests.process import LONG, Door, door, until

LIMITED = settings(
    max_examples=30_000 if LONG else 700,
    derandomize=not LONG,  # the same bodies in every short run: a failure is somebody's change
    database=None,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
WEBHOOK_BYTES, TRACKING_BYTES = 3 * 1024 * 1024, 4 * 1024 * 1024
TOPICS = ("inbound.message", "inbound.status", "inbound.track")
RANDOM = st.randoms(use_true_random=False)
CALLS = [
    {"type": "track", "event": "Order Completed", "userId": "c1", "messageId": "m1",
     "timestamp": "2026-11-22T09:00:00Z",
     "context": {"ip": "1.2.3.4", "traits": {"email": "a@b.c"}},
     "properties": {"order_id": "1", "total": 12.5, "currency": "TRY",
                    "products": [{"sku": "s", "price": 1.5, "quantity": 2}]}},
    {"type": "identify", "anonymousId": "a1", "messageId": "m2",
     "traits": {"phone": "+905321234567", "birthday": "1990-01-01", "address": {"city": "İzmir"}}},
    {"type": "page", "userId": "c1", "name": "Start", "properties": {"url": "https://a.b/c?d=e"}},
    {"type": "screen", "userId": "c1", "name": "Start"},
    {"type": "group", "userId": "c1", "groupId": "g", "traits": {"name": "G"}},
    {"type": "alias", "userId": "c1", "previousId": "a1"},
]  # fmt: skip


@pytest.fixture(scope="module")
def front(migrated: str, redis_url: str) -> Iterator[Door]:
    with door(migrated, redis_url) as running:
        yield running


@pytest.fixture(scope="module")
def payloads() -> list[str]:
    """What is posted in the wild; where that is not at hand, what the fixtures keep of it."""
    wild = sorted(WILD.glob("*.json"))
    assert wild or "CI" not in os.environ, f"{WILD} is missing"
    files: list[Path] = [*sorted(FIXTURES.glob("*.json")), *wild]
    return [file.read_text() for file in files]


@pytest.mark.timeout(3600 if LONG else 180)
def test_no_webhook_breaks_anything_and_every_item_is_on_the_log_or_a_dead_letter(
    front: Door, payloads: list[str]
) -> None:
    to = front.connect()
    sizes: list[int] = []
    events, letters = events_of(front), front.dead_letters()

    @LIMITED
    @given(st.integers(0, len(payloads) - 1), RANDOM, st.binary(max_size=60))
    def post(which: int, chance: Random, raw: bytes) -> None:
        posted = raw if which == 0 else body(payloads[which], chance)
        status = front.post(to, posted)
        if len(posted) > WEBHOOK_BYTES:
            assert status == 413
            return
        assert status in (200, 400), front.said()
        sizes.append(len(posted))

    post()
    to.close()
    until(lambda: len(front.archived()) == len(sizes), 30)
    archived = front.archived()
    assert sorted(one.size_bytes for one in archived) == sorted(sizes)
    items = sum(one.item_count for one in archived)
    until(
        lambda: events_of(front) - events + front.dead_letters() - letters == items,
        60 if LONG else 20,
    )
    assert front.works()


@pytest.mark.timeout(3600 if LONG else 180)
def test_no_tracking_call_breaks_anything_and_every_call_is_on_the_log_or_a_dead_letter(
    front: Door,
) -> None:
    to = front.connect()
    given_calls = 0
    events, letters = events_of(front), front.dead_letters()
    text = orjson.dumps({"sentAt": "2026-11-22T09:00:01Z", "batch": CALLS}).decode()

    @LIMITED
    @given(RANDOM, st.sampled_from(["batch", "track", "identify", "page", "group", "alias"]))
    def post(chance: Random, path: str) -> None:
        nonlocal given_calls
        said = text if path == "batch" else orjson.dumps(chance.choice(CALLS)).decode()
        posted = body(said, chance)
        to.request("POST", f"/v1/{path}", posted, {"Authorization": "Bearer key-of-shop"})
        response = to.getresponse()
        said = response.read()
        assert response.status in (200, 400) or len(posted) > TRACKING_BYTES, front.said()
        answer = orjson.loads(said)
        if response.status == 200:
            calls = orjson.loads(posted)["batch"] if path == "batch" else [None]
            assert len(answer["rejected"]) <= len(calls)
            given_calls += len(calls)
        else:
            assert answer["code"] and answer["message"]

    post()
    to.close()
    until(lambda: events_of(front) - events + front.dead_letters() - letters == given_calls, 20)
    assert front.works()


def events_of(front: Door) -> int:
    return sum(len(front.records(topic)) for topic in TOPICS)
