"""Segments: whatever goes in comes out, and any choice is the one made webhook by webhook."""

import time
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.ids import fresh_id
from services.ingest.archive import segment
from services.ingest.archive.segment import ArchiveQuery, BlindIndex
from services.ingest.model import RawWebhook

INDEX = BlindIndex(b"key")
NOW_MS = 1_763_000_000_000

names = st.sampled_from(["a", "b", "c", "d\0"])
several = st.lists(names, max_size=3).map(tuple)
webhook_ids = st.builds(
    "wh_{:012x}{:020x}".format,
    st.integers(NOW_MS, NOW_MS + 300_000),
    st.integers(0, 2**80 - 1),
)
webhooks = st.builds(
    RawWebhook,
    webhook_id=webhook_ids,
    received_ms=st.integers(NOW_MS, NOW_MS + 9),
    app=names,
    body=st.binary(max_size=200),
    reason=st.sampled_from(["", "not JSON"]),
    item_count=st.integers(0, 3),
    unrecognised_count=st.integers(0, 1),
    refused_count=st.integers(0, 1),
    fields=several,
    waba_ids=several,
    phone_number_ids=several,
    identities=st.lists(st.sampled_from(["p1", "p2", "p3"]), min_size=1, max_size=2).map(tuple),
)
many = st.lists(webhooks, max_size=30, unique_by=lambda one: one.webhook_id)
states = st.lists(st.sampled_from(["normalised", "partial", "broken"]), max_size=2)
queries = st.builds(
    ArchiveQuery,
    start_ms=st.sampled_from([0, NOW_MS + 3]),
    end_ms=st.sampled_from([0, NOW_MS + 6]),
    fields=several,
    waba_ids=several,
    phone_number_ids=several,
    apps=several,
    states=states,
    identities=st.lists(st.sampled_from(["p1", "p2", "p4"]), max_size=2),
)


def naive(query: ArchiveQuery, one: RawWebhook) -> bool:
    state = "partial" if one.unrecognised_count or one.refused_count else "normalised"
    asked: list[tuple[Sequence[str], Sequence[str]]] = [
        (query.fields, one.fields),
        (query.waba_ids, one.waba_ids),
        (query.phone_number_ids, one.phone_number_ids),
        (query.apps, [one.app]),
        (query.states, ["broken" if one.reason else state]),
        (query.identities, one.identities),
    ]
    later = not query.end_ms or one.received_ms < query.end_ms
    return (
        query.start_ms <= one.received_ms
        and later
        and all(not wanted or set(wanted) & set(there) for wanted, there in asked)
    )


@given(many)
def test_what_goes_into_segments_comes_out_by_id(given_: list[RawWebhook]) -> None:
    found: list[tuple[str, bytes]] = []
    for piece in segment.cut([*given_, *given_[:3]]):
        heads = segment.heads_of(piece, INDEX)
        kept = segment.packed(heads, [one.body for one in piece])
        assert segment.unpacked_heads(kept[0]) == heads
        bodies = segment.unpacked_bodies(kept[1], heads)
        found += zip([head.webhook_id for head in heads], bodies, strict=True)
    assert found == sorted((one.webhook_id, one.body) for one in given_)


@given(many, queries)
@settings(max_examples=300)
def test_any_choice_is_the_one_made_webhook_by_webhook(
    given_: list[RawWebhook], query: ArchiveQuery
) -> None:
    chosen = segment.chooser(query, map(INDEX.of, query.identities))
    found: list[str] = []
    for piece in segment.cut(given_):
        heads = segment.heads_of(piece, INDEX)
        found += [head.webhook_id for head in heads if chosen(head)]
        if found:
            said = segment.summary(heads)
            mine = {h.webhook_id for h in heads} & set(found)
            # The columns of a segment never hide what is inside
            assert (
                not mine
                or not query.fields
                or {*map(segment.as_text, query.fields)} & {*said.fields}
            )
            assert not mine or not query.states or {*query.states} & {*said.states}
            people = {*map(INDEX.of, query.identities)}
            assert not mine or not people or people & {*said.blind_indexes}
    assert found == sorted(one.webhook_id for one in given_ if naive(query, one))


@given(many)
def test_a_segment_spans_no_more_than_a_minute_and_lies_between_its_bounds(
    given_: list[RawWebhook],
) -> None:
    for piece in segment.cut(given_):
        first, last = piece[0].webhook_id, piece[-1].webhook_id
        assert int(last[3:15], 16) - int(first[3:15], 16) < segment.SPAN_MS
        for one in piece:
            assert segment.from_id(one.webhook_id) <= first
            assert last < segment.until_id(one.webhook_id)


def test_a_segment_is_bounded_in_number_and_bytes() -> None:
    def made(size: int) -> RawWebhook:
        return RawWebhook(fresh_id("wh"), NOW_MS, "a", b"x" * size, identities=("p",))

    assert [len(p) for p in segment.cut([made(1) for _ in range(1_500)])] == [1_000, 500]
    sizes = [
        sum(len(one.body) for one in p)
        for p in segment.cut([made(2**20)] * 0 + [made(2**20) for _ in range(9)])
    ]
    assert max(sizes) <= 4 * 2**20
    assert [len(p) for p in segment.cut([made(5 * 2**20), made(1)])] == [1, 1]


def test_ids_of_webhooks_sort_by_the_moment_of_receipt() -> None:
    before = segment.least_id(int(time.time() * 1000))
    one = fresh_id("wh")
    assert segment.valid(one)
    assert before <= one < segment.least_id(int(time.time() * 1000) + 1)


def test_what_nobody_could_read_is_indexed_by_every_word_that_could_be_a_person() -> None:
    body = b'{"from": "447700900123", "user": "US.13491208655302741918", "n": +4915112345678,'
    broken = RawWebhook(fresh_id("wh"), NOW_MS, "a", body, reason="not JSON")
    (head,) = segment.heads_of([broken], INDEX)
    people = ("447700900123", "US.13491208655302741918", "4915112345678")
    assert set(map(INDEX.of, people)) <= set(head.blind_indexes)


def test_whoever_has_another_key_tells_nobody_apart() -> None:
    assert BlindIndex(b"another").of("447700900123") != INDEX.of("447700900123")
    assert BlindIndex(b"key").of("447700900123") == INDEX.of("447700900123")
