"""What no request may hold is told by its place, and nothing of what people wrote with it."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from chassis.malformed import malformed
from merhaba.ingest.v1 import ListWebhooksRequest, WebhookFilter
from merhaba.segment.v1 import (
    BatchGetCatalogItemsRequest,
    ListTriggersRequest,
    StartInstancesRequest,
)
from merhaba.sender.v1 import Campaign, Variant

LAST_S, FIRST_S = 253_402_300_799, -62_135_596_800


def unset(field: str, value: Any) -> Message:
    found = ListWebhooksRequest()
    getattr(found, field).CopyFrom(value)
    return found


@pytest.mark.parametrize(
    ("message", "field", "problem"),
    [
        (BatchGetCatalogItemsRequest(item_ids=["a", "b\0c"]), "item_ids[1]", "zero byte"),
        (
            ListWebhooksRequest(filter=WebhookFilter(waba_ids=["\0"])),
            "filter.waba_ids[0]",
            "zero byte",
        ),
        (ListTriggersRequest(states=[1, 9_999]), "states[1]", "9999 is no value"),  # type: ignore[list-item]
        (unset("end_time", Timestamp(seconds=LAST_S + 1)), "end_time", "years 1 and 9999"),
        (unset("end_time", Timestamp(seconds=-(2**62))), "end_time", "years 1 and 9999"),
        (unset("start_time", Timestamp(nanos=-1)), "start_time", "years 1 and 9999"),
        (Timestamp(nanos=10**9), "", "years 1 and 9999"),
        (Duration(seconds=2**62), "", "ten thousand years"),
        (Duration(seconds=1, nanos=-1), "", "ten thousand years"),
        (
            Campaign(variants=[Variant(), Variant(template_name="a\0")]),
            "variants[1].template_name",
            "zero byte",
        ),
    ],
)
def test_it_is_told_where_it_stands(message: Message, field: str, problem: str) -> None:
    found = malformed(message)
    assert found is not None
    assert found.field == field
    assert problem in found.problem


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")), st.integers(FIRST_S, LAST_S))
def test_all_else_is_for_the_call_to_judge(text: str, seconds: int) -> None:
    assert malformed(StartInstancesRequest(journey_id=text, parameters_json=b"\0\xff")) is None
    assert malformed(unset("end_time", Timestamp(seconds=seconds, nanos=999_999_999))) is None


@given(st.text())
def test_nothing_of_a_text_is_repeated(text: str) -> None:
    found = malformed(
        BatchGetCatalogItemsRequest(
            catalog_id="secret" + text.encode("utf-8", "replace").decode() + "\0"
        )
    )
    assert found is not None
    assert "secret" not in f"{found}"
