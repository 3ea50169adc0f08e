"""HTTP as nobody should speak it: answers come in order, each 200 has its event, and no request
hides inside another."""

from collections.abc import Callable, Iterator
from random import Random

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chassis.ids import fresh_id
from services.ingest.tests.bodies import message, value, webhook
from services.ingest.tests.exchange import Exchange, cut, exchange, head, signed
from services.ingest.tests.process import LONG, PATH, Door, door

FEW = settings(
    max_examples=5_000 if LONG else 80,
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
TOPIC = "inbound.message"


@pytest.fixture(scope="module")
def front(migrated: str, redis_url: str) -> Iterator[Door]:
    with door(migrated, redis_url, HTTP_HEAD_S="2") as running:
        yield running


def telling(wamid: str, text: str = "merhaba") -> bytes:
    """A webhook of one message."""
    said = message(wamid, text={"body": text})
    return orjson.dumps(webhook(value(messages=[said])))


def tracked(message_id: str) -> bytes:
    call = {"type": "track", "event": "x", "userId": "c1", "messageId": message_id}
    body = orjson.dumps({"batch": [call], "writeKey": "key-of-shop"})
    return head("POST", "/v1/batch", f"Content-Length: {len(body)}") + body


@FEW
@given(st.lists(st.integers(0, 2_000), max_size=12), st.integers(1, 4))
@example(list(range(2_000)), 2)
def test_however_the_bytes_are_split_each_request_is_answered_once_and_in_order(
    front: Door, places: list[int], count: int
) -> None:
    wamids = [fresh_id("wamid") for _ in range(count)]
    whole = b"".join(signed(front, telling(wamid)) for wamid in wamids)
    whole += head("GET", "/healthz")
    pieces = cut(whole, places)
    found = exchange(front, pieces, count + 1, pause_s=0.0002 if len(pieces) > 50 else 0.002)
    assert found.statuses == [200] * (count + 1)
    assert found.answers[-1].body == b"ok"
    on_log = front.event_ids(TOPIC, 50)
    assert [on_log.count(wamid) for wamid in wamids] == [1] * count


def unsigned(wamid: str) -> bytes:
    body = telling(wamid)
    return head("POST", PATH, f"Content-Length: {len(body)}") + body


def challenged(word: str) -> bytes:
    asked = f"hub.mode=subscribe&hub.verify_token=verify%20me&hub.challenge={word}"
    return head("GET", f"{PATH}?{asked}")


KINDS: dict[str, tuple[Callable[[Door, str], bytes], int]] = {
    "good": (lambda d, i: signed(d, telling(i)), 200),
    "long": (lambda d, i: signed(d, telling(i, "ü" * 100_000)), 200),
    "broken": (lambda d, i: signed(d, b"{" + i.encode()), 400),
    "unsigned": (lambda d, i: unsigned(i), 401),
    "challenge": (lambda d, i: challenged(i), 200),
    "health": (lambda d, i: head("GET", "/healthz"), 200),
    "nowhere": (lambda d, i: head("GET", f"/{i}"), 404),
    "nowhere else": (lambda d, i: head("POST", f"/{i}", "Content-Length: 3") + b"abc", 404),
    "wrong method": (lambda d, i: head("DELETE", PATH, "Content-Length: 0"), 405),
    "link": (lambda d, i: head("GET", f"/l/{i}"), 404),
    "tracked": (lambda d, i: tracked(i), 200),
}


@FEW
@given(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=8), st.randoms())
@example(sorted(KINDS), Random(1))
def test_requests_of_every_path_on_one_connection_are_answered_in_their_order(
    front: Door, kinds: list[str], chance: Random
) -> None:
    ids = [fresh_id("id") for _ in kinds]
    whole = b"".join(KINDS[kind][0](front, one) for kind, one in zip(kinds, ids, strict=True))
    pieces = cut(whole, chance.choices(range(len(whole)), k=chance.randint(0, 3)))
    found = exchange(front, pieces, len(kinds))
    assert found.statuses == [KINDS[kind][1] for kind in kinds]
    for kind, one, answer in zip(kinds, ids, found.answers, strict=True):
        if kind == "challenge":
            assert answer.body == one.encode()
        if kind in ("good", "long"):
            assert front.event_ids(TOPIC, 50).count(one) == 1


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_chunked_body_is_taken_once_or_refused(front: Door, size: int) -> None:
    wamid = fresh_id("wamid")
    body = telling(wamid, "x" * 300)
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in chunks) + b"0\r\n\r\n"
    request = head(
        "POST", PATH, f"X-Hub-Signature-256: {front.signature(body)}", "Transfer-Encoding: chunked"
    )
    found = exchange(front, [request + coded + head("GET", "/healthz")], 2)
    assert found.statuses[0] in (200, 411)
    assert front.event_ids(TOPIC).count(wamid) == (found.statuses[0] == 200)
    assert found.statuses[1:] == [200] or found.closed


def test_who_asks_before_sending_a_body_is_told_to_go_on(front: Door) -> None:
    wamid = fresh_id("wamid")
    body = telling(wamid)
    whole = signed(front, body, "Expect: 100-continue")
    found = exchange(front, [whole[: -len(body)], body], 1, pause_s=0.2)
    assert found.statuses == [200]
    assert front.event_ids(TOPIC).count(wamid) == 1


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title, str.swapcase])
def test_header_names_have_no_case(front: Door, case: Callable[[str], str]) -> None:
    wamid = fresh_id("wamid")
    body = telling(wamid)
    names = {"X-Hub-Signature-256": front.signature(body), "Content-Length": len(body)}
    lines = [f"{case(name)}:{said}" for name, said in names.items()]
    found = exchange(front, [head("POST", PATH, *lines) + body], 1)
    assert found.statuses == [200]
    assert front.event_ids(TOPIC).count(wamid) == 1


def test_http_1_0_and_connection_close_are_answered_and_closed(front: Door) -> None:
    for whole in (
        signed(front, telling(fresh_id("wamid")), version="1.0"),
        signed(front, telling(fresh_id("wamid")), "Connection: close"),
    ):
        found = exchange(front, [whole], None, within_s=5)
        assert (found.statuses, found.closed) == ([200], True)


def test_a_connection_is_good_for_more_after_an_error(front: Door) -> None:
    wamids = [fresh_id("wamid") for _ in range(3)]
    good = [signed(front, telling(wamid)) for wamid in wamids]
    wrong = telling("never").replace(b"merhaba", b"MERHABA")
    unsigned = signed(front, telling("never")).replace(telling("never"), wrong)
    broken = signed(front, b"no json")
    found = exchange(front, [good[0], unsigned, good[1], broken, good[2]], 5)
    assert found.statuses == [200, 401, 200, 400, 200]
    assert set(wamids) <= set(front.event_ids(TOPIC))
    assert "never" not in front.event_ids(TOPIC)


SMUGGLED = "smuggled"
LENGTHS = {
    "two lengths": ["Content-Length: {n}", "Content-Length: {m}"],
    "two lengths, the shorter last": ["Content-Length: {m}", "Content-Length: {n}"],
    "a list of lengths": ["Content-Length: {n}, {m}"],
    "a length and chunked": ["Content-Length: {m}", "Transfer-Encoding: chunked"],
    "chunked and a length": ["Transfer-Encoding: chunked", "Content-Length: {m}"],
    "chunked, in disguise": ["Content-Length: {n}", "Transfer-Encoding : chunked"],
    "chunked, folded": ["Content-Length: {n}", "Transfer-Encoding:", " chunked"],
    "chunked, misspelt": ["Content-Length: {n}", "Transfer-Encoding: xchunked"],
    "chunked, twice": ["Content-Length: {n}", "Transfer-Encoding: chunked, chunked"],
    "chunked, not at last": ["Content-Length: {n}", "Transfer-Encoding: chunked, identity"],
    "chunked, with a tab": ["Content-Length: {n}", "Transfer-Encoding:\tchunked"],
    "chunked, after a zero": ["Content-Length: {n}", "Transfer-Encoding: \0chunked"],
    "a signed length": ["Content-Length: +{n}"],
    "a negative length": ["Content-Length: -1"],
    "a length in hex": ["Content-Length: 0x10"],
    "a length with an underscore": ["Content-Length: 1_0"],
    "an empty length": ["Content-Length:"],
    "an endless length": ["Content-Length: " + "9" * 40],
    "a length with a word": ["Content-Length: {n} bytes"],
    "a length in other digits": ["Content-Length: ٣"],
    "no length at all": [],
}


@pytest.mark.parametrize("how", LENGTHS)
def test_no_request_hides_in_another(front: Door, how: str) -> None:
    hidden = fresh_id(SMUGGLED)
    inner = signed(front, telling(hidden))
    first = b"0\r\n\r\n"
    whole_body = first + inner
    lines = [line.format(n=len(whole_body), m=len(first)) for line in LENGTHS[how]]
    # The signature holds for either reading, as far as that can be had
    signature = f"X-Hub-Signature-256: {front.signature(whole_body)}"
    found = exchange(front, [head("POST", PATH, signature, *lines) + whole_body], None, within_s=2)
    assert found.closed, "whoever sends such a thing is not listened to any more"
    assert_refused(found)
    assert hidden not in front.event_ids(TOPIC)
    assert front.works()


def assert_refused(found: Exchange) -> None:
    """At most one answer, of an error of the client's or of what is not implemented."""
    assert len(found.answers) <= 1
    assert not found.rest
    for status in found.statuses:
        assert 400 <= status < 500 or status == 501


BAD_HEADS = {
    "a name with a space": b"POST %s HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n",
    "a line without a colon": b"GET /healthz HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
    "a zero in a value": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "a bare carriage return": b"GET /healthz HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    "a very long line": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    "very many lines": b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    "a very long path": b"GET /" + b"y" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a version to come": b"GET /healthz HTTP/7.3\r\nHost: a\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a greeting of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 300,
    "a long word": b"\xff" * 100_000,
}


@pytest.mark.parametrize("what", BAD_HEADS)
def test_what_is_no_http_is_refused_and_closed(front: Door, what: str) -> None:
    found = exchange(front, [BAD_HEADS[what]], None, within_s=5)
    assert found.closed
    assert len(found.answers) <= 1
    for status in found.statuses:
        assert 400 <= status < 500 or status in (501, 505)
    assert front.works()


@pytest.mark.parametrize("missing", [1, 100])
def test_a_body_shorter_than_it_said_is_not_taken(front: Door, missing: int) -> None:
    wamid = fresh_id("wamid")
    whole = signed(front, telling(wamid))[:-missing]
    found = exchange(front, [whole], 1, within_s=0.3)
    assert found.answers == []
    assert wamid not in front.event_ids(TOPIC)


@pytest.mark.parametrize(
    "coded",
    [
        *(b"zz\r\nab\r\n0\r\n\r\n", b"-1\r\nab\r\n0\r\n\r\n", b"2\r\nabc\r\n0\r\n\r\n"),
        b"fffffffffffffffffff\r\nab",
        *(b"2\nab\n0\n\n", b"\r\n\r\n", b"0x2\r\nab\r\n0\r\n\r\n", b"2 \r\nab\r\n0\r\n\r\n"),
    ],
)
def test_chunks_that_lie_are_refused(front: Door, coded: bytes) -> None:
    signature = f"X-Hub-Signature-256: {front.signature(b'ab')}"
    hidden = fresh_id(SMUGGLED)
    after = signed(front, telling(hidden))
    request = head("POST", PATH, signature, "Transfer-Encoding: chunked") + coded + after
    found = exchange(front, [request], None, within_s=1)
    assert_refused(found)
    assert hidden not in front.event_ids(TOPIC)
    assert front.works()


@FEW
@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 20))
def test_bytes_gone_wrong_never_make_an_error_of_ours(
    front: Door, noise: bytes, at: int, dropped: int
) -> None:
    hidden = fresh_id(SMUGGLED)
    whole = signed(front, telling(hidden))
    spoilt = whole[:at] + noise + whole[at + dropped :]
    found = exchange(front, [spoilt], 1, within_s=0.05)
    assert all(200 <= status < 500 or status in (501, 505) for status in found.statuses)
    if found.statuses == [200] and noise:
        assert front.event_ids(TOPIC, 50).count(hidden) <= 1


def test_after_all_this_the_door_still_works(front: Door) -> None:
    assert front.works()
    said = front.said()
    assert "Traceback" not in said, said
