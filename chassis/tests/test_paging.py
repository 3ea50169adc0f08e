"""Pages: a token leads to its place in its own query, and nothing else leads anywhere."""

import base64

import pytest
from google.longrunning.operations_pb2 import ListOperationsRequest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from chassis import paging
from chassis.failures import FieldInvalid, TokenInvalid

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLACES = st.lists(TEXT | INT64, max_size=5)


@given(st.binary(), PLACES)
def test_a_token_leads_to_its_place(query: bytes, place: list[str | int]) -> None:
    token = paging.token(query, place)
    assert paging.place(token, query, [type(part) for part in place]) == tuple(place)


@given(st.binary(), st.binary(), PLACES)
def test_another_querys_token_is_refused(
    query: bytes, other: bytes, place: list[str | int]
) -> None:
    assume(query != other)
    with pytest.raises(TokenInvalid) as refused:
        paging.place(paging.token(other, place), query, [type(part) for part in place], "cursor")
    assert (refused.value.reason, refused.value.facts) == ("TOKEN_INVALID", {"field": "cursor"})


@given(PLACES, st.lists(st.sampled_from([str, int, bool, float]), max_size=5))
def test_a_place_of_other_kinds_is_refused(place: list[str | int], kinds: list[type]) -> None:
    assume([type(part) for part in place] != kinds)
    with pytest.raises(TokenInvalid):
        paging.place(paging.token(b"query", place), b"query", kinds)


@given(st.text(min_size=1) | st.binary(min_size=1).map(lambda raw: base64.b64encode(raw).decode()))
@example("!")
@example("AAAA")
@example("ü")
@example("\udcff")
@example("bnVsbA==")  # null
@example("W10=")  # []
@example("e30=")  # {}
@example(base64.b64encode(b"[" * 10_000).decode())
def test_garbage_is_refused(garbage: str) -> None:
    with pytest.raises(TokenInvalid):
        paging.place(garbage, b"query", [])


@given(PLACES, st.data())
def test_a_damaged_token_is_refused(place: list[str | int], data: st.DataObject) -> None:
    token, kinds = paging.token(b"query", place), [type(part) for part in place]
    at = data.draw(st.integers(0, len(token)))
    with pytest.raises(TokenInvalid):
        paging.place(f"{token[:at]}!{token[at:]}", b"query", kinds)
    with pytest.raises(TokenInvalid):
        paging.place(token[: max(at - 1, 1)], b"query", kinds)


def test_no_token_is_the_beginning() -> None:
    assert paging.place("", b"query", [str]) is None


@given(st.integers(0, 5_000))
def test_a_size_is_as_asked_within_bounds(asked: int) -> None:
    assert paging.size(asked, 100, 1_000) == (min(asked, 1_000) if asked else 100)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(FieldInvalid, match="page_size: negative") as refused:
        paging.size(-1, 100, 1_000)
    assert refused.value.facts["field"] == "page_size"


def test_a_query_is_all_of_a_request_but_where_it_begins() -> None:
    asked = ListOperationsRequest(name="n", filter="f")
    begun = ListOperationsRequest(name="n", filter="f", page_size=3, page_token="t")
    other = ListOperationsRequest(name="n", filter="g")
    assert paging.query(begun) == paging.query(asked)
    assert paging.query(begun) != paging.query(other)
    assert paging.query(begun, "filter") == paging.query(other, "filter")
    assert begun.page_token == "t"


def test_queries_of_two_kinds_differ() -> None:
    assert paging.query(ListOperationsRequest()) != paging.query(HealthCheckRequest())


def test_one_more_than_a_page_says_that_another_follows() -> None:
    query = paging.query(ListOperationsRequest(name="n"))
    page, token = paging.page(query, "abcd", 3, lambda one: [one])
    assert (page, paging.place(token, query, [str])) == ("abc", ("c",))
    assert paging.page(query, "abc", 3, lambda one: [one]) == ("abc", "")
    assert paging.page(query, "", 3, lambda one: [one]) == ("", "")
